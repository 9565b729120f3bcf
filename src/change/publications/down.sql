
DECLARE
  spot pg_catalog.text := $1;
  place pg_catalog.oid := pg_catalog.to_regclass(spot);
  up pg_catalog.text[] := '{}';
  found record;
  columns pg_catalog.text;
BEGIN
  FOR found IN
    SELECT p.pubname, pr.prattrs::int2[] AS attnums, pg_catalog.pg_get_expr(pr.prqual, pr.prrelid) AS passes
    FROM pg_catalog.pg_publication_rel AS pr JOIN pg_catalog.pg_publication AS p ON p.oid = pr.prpubid
    WHERE pr.prrelid = place AND EXISTS (SELECT FROM pg_catalog.pg_depend AS d
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = place AND a.attnum = d.refobjsubid AND a.attname = ANY ($2)
      WHERE d.classid = 'pg_catalog.pg_publication_rel'::pg_catalog.regclass AND d.objid = pr.oid
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = place)
    ORDER BY p.pubname
  LOOP
    columns := (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum)
      FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = place AND a.attnum = ANY (found.attnums));
    up := up || pg_catalog.format('ALTER PUBLICATION %I ADD TABLE ONLY %s%s%s', found.pubname, spot,
      ' (' || columns || ')', ' WHERE (' || found.passes || ')');
    EXECUTE pg_catalog.format('ALTER PUBLICATION %I DROP TABLE ONLY %s', found.pubname, spot);
  END LOOP;
  PERFORM pg_catalog.set_config('crossfade.publications', pg_catalog.array_to_json(up)::text, true);
END
