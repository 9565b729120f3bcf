
DECLARE
  child record;
  statement text;
BEGIN
  FOR child IN
    WITH RECURSIVE member AS (
      SELECT pg_catalog.to_regclass($1)::pg_catalog.oid AS oid, 0 AS depth
      UNION
      SELECT i.inhrelid, m.depth + 1 FROM pg_catalog.pg_inherits AS i JOIN member AS m ON m.oid = i.inhparent
    )
    SELECT DISTINCT m.oid, m.oid::pg_catalog.regclass AS name, pg_catalog.quote_ident($3) AS beside, o.attacl AS acl, b.attacl AS own_acl,
      COALESCE(o.attoptions, '{}') AS options, COALESCE(b.attoptions, '{}') AS own_options,
      COALESCE(o.attstattarget, -1) AS target, COALESCE(b.attstattarget, -1) AS own_target,
      pg_catalog.col_description(o.attrelid, o.attnum) AS comment, pg_catalog.col_description(b.attrelid, b.attnum) AS own_comment
    FROM member AS m
    JOIN pg_catalog.pg_attribute AS o ON o.attrelid = m.oid AND o.attname = $2
    JOIN pg_catalog.pg_attribute AS b ON b.attrelid = m.oid AND b.attname = $3
    WHERE m.depth > 0 ORDER BY m.oid
  LOOP
    IF child.target <> child.own_target THEN
      EXECUTE pg_catalog.format('ALTER TABLE ONLY %s ALTER COLUMN %s SET STATISTICS %s', child.name, child.beside, child.target);
    END IF;
    IF child.options <> child.own_options THEN
      FOR statement IN
        SELECT pg_catalog.format('RESET (%s)', pg_catalog.string_agg(pg_catalog.split_part(x, '=', 1), ', '))
        FROM pg_catalog.unnest(child.own_options) AS x HAVING count(*) > 0
        UNION ALL
        SELECT pg_catalog.format('SET (%s)', pg_catalog.array_to_string(child.options, ', ')) WHERE child.options <> '{}'
      LOOP
        EXECUTE pg_catalog.format('ALTER TABLE ONLY %s ALTER COLUMN %s %s', child.name, child.beside, statement);
      END LOOP;
    END IF;
    IF child.comment IS DISTINCT FROM child.own_comment THEN
      EXECUTE pg_catalog.format('COMMENT ON COLUMN %s.%s IS %L', child.name, child.beside, child.comment);
    END IF;
    IF child.acl IS DISTINCT FROM child.own_acl THEN
      FOR statement IN
        SELECT DISTINCT pg_catalog.format('REVOKE ALL (%s) ON %s FROM %s', child.beside, child.name,
          CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END)
        FROM pg_catalog.aclexplode(child.own_acl) AS x
      LOOP
        EXECUTE statement;
      END LOOP;
      FOR statement IN
        SELECT pg_catalog.format('GRANT %s (%s) ON %s TO %s%s', x.privilege_type, child.beside, child.name,
          CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END,
          CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' END)
        FROM pg_catalog.aclexplode(child.acl) AS x
      LOOP
        EXECUTE statement;
      END LOOP;
    END IF;
  END LOOP;
END
