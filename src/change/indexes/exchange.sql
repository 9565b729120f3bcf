
DECLARE
  own pg_catalog.oid := (SELECT i.indexrelid FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
    WHERE i.indrelid = $1::pg_catalog.regclass AND x.relname = $2);
  other pg_catalog.oid := (SELECT i.indexrelid FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
    WHERE i.indrelid = $1::pg_catalog.regclass AND x.relname = $3);
  part record;
  named record;
BEGIN
  -- PostgreSQL names the indexes of partitions to come after the columns of the index, which keep the names that they were made under.
  FOR named IN
    SELECT i.tree, i.name, i.a AS from_name, i.b AS to_name
    FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_attribute AS b ON b.attrelid = other AND b.attnum = a.attnum AND b.attname <> a.attname
    CROSS JOIN LATERAL (VALUES (own, own::pg_catalog.regclass, a.attname, b.attname), (other, other::pg_catalog.regclass, b.attname, a.attname)) AS i (tree, name, a, b)
    WHERE a.attrelid = own AND NOT EXISTS (SELECT FROM pg_catalog.pg_partition_tree(i.tree::pg_catalog.regclass) AS t
      JOIN pg_catalog.pg_attribute AS p ON p.attrelid = t.relid::pg_catalog.oid AND p.attnum = a.attnum AND p.attname <> i.a)
    ORDER BY a.attnum
  LOOP
    EXECUTE pg_catalog.format('ALTER TABLE %s RENAME COLUMN %I TO %I', named.name, named.from_name, named.to_name);
  END LOOP;
  -- A partition has a part of each, and may have given its own another name and a comment.
  FOR part IN
    SELECT i.indrelid AS place, n.nspname AS schema, x.relname AS name, o.level, o.relid::pg_catalog.oid AS oid, p.name AS other
    FROM pg_catalog.pg_partition_tree(own::pg_catalog.regclass) AS o
    JOIN pg_catalog.pg_index AS i ON i.indexrelid = o.relid::pg_catalog.oid
    JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = x.relnamespace
    JOIN (SELECT j.indrelid, y.relname AS name FROM pg_catalog.pg_partition_tree(other::pg_catalog.regclass) AS t
      JOIN pg_catalog.pg_index AS j ON j.indexrelid = t.relid::pg_catalog.oid JOIN pg_catalog.pg_class AS y ON y.oid = j.indexrelid) AS p USING (indrelid)
    ORDER BY o.level, i.indrelid
  LOOP
    EXECUTE pg_catalog.format('ALTER INDEX %I.%I RENAME TO %I', part.schema, part.name,
      CASE part.level WHEN 0 THEN $4 ELSE pg_catalog.concat($4, '_', part.place) END);
    EXECUTE pg_catalog.format('ALTER INDEX %I.%I RENAME TO %I', part.schema, part.other, part.name);
    IF part.level > 0 AND pg_catalog.obj_description(part.oid, 'pg_class') IS NOT NULL THEN
      EXECUTE pg_catalog.format('COMMENT ON INDEX %I.%I IS %L', part.schema, part.name, pg_catalog.obj_description(part.oid, 'pg_class'));
    END IF;
  END LOOP;
END
