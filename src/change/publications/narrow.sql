
DECLARE
  spot pg_catalog.text := $1;
  place pg_catalog.oid := pg_catalog.to_regclass(spot);
  found record;
  columns pg_catalog.text;
BEGIN
  FOR found IN
    SELECT p.pubname, COALESCE(pg_catalog.to_jsonb(p) ->> 'pubgencols', 'n') AS generated, pg_catalog.pg_get_expr(pr.prqual, pr.prrelid) AS passes
    FROM pg_catalog.pg_publication_rel AS pr JOIN pg_catalog.pg_publication AS p ON p.oid = pr.prpubid
    WHERE pr.prrelid = place AND p.pubname = ANY ($2) AND pr.prattrs IS NULL
    ORDER BY p.pubname
  LOOP
    columns := (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum)
      FROM pg_catalog.pg_attribute AS a
      WHERE a.attrelid = place AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL ($3)
        AND a.attgenerated::pg_catalog.text IN ('', found.generated));
    EXECUTE pg_catalog.format('ALTER PUBLICATION %I DROP TABLE ONLY %s', found.pubname, spot);
    EXECUTE pg_catalog.format('ALTER PUBLICATION %I ADD TABLE ONLY %s (%s)%s', found.pubname, spot, columns, ' WHERE (' || found.passes || ')');
  END LOOP;
END
