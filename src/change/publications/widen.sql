
DECLARE
  spot pg_catalog.text := $1;
  place pg_catalog.oid := pg_catalog.to_regclass(spot);
  found record;
BEGIN
  FOR found IN
    SELECT p.pubname, pg_catalog.pg_get_expr(pr.prqual, pr.prrelid) AS passes
    FROM pg_catalog.pg_publication_rel AS pr JOIN pg_catalog.pg_publication AS p ON p.oid = pr.prpubid
    WHERE pr.prrelid = place AND p.pubname = ANY ($2)
      -- A list that somebody else has made leaves something out.
      AND ARRAY(SELECT u.attnum FROM pg_catalog.unnest(pr.prattrs::int2[]) AS u (attnum) ORDER BY u.attnum) = ARRAY(
        SELECT a.attnum FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = place AND a.attnum > 0 AND NOT a.attisdropped
          AND a.attgenerated::pg_catalog.text IN ('', COALESCE(pg_catalog.to_jsonb(p) ->> 'pubgencols', 'n')) ORDER BY a.attnum)
    ORDER BY p.pubname
  LOOP
    EXECUTE pg_catalog.format('ALTER PUBLICATION %I DROP TABLE ONLY %s', found.pubname, spot);
    EXECUTE pg_catalog.format('ALTER PUBLICATION %I ADD TABLE ONLY %s%s', found.pubname, spot, ' WHERE (' || found.passes || ')');
  END LOOP;
END
