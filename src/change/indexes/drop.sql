
DECLARE
  built pg_catalog.regclass;
BEGIN
  -- What was built in partitions and never attached.
  FOR built IN
    SELECT i.indexrelid FROM pg_catalog.pg_partition_tree($1) AS t
    JOIN pg_catalog.pg_index AS i ON i.indrelid OPERATOR(pg_catalog.=) t.relid::pg_catalog.oid
    JOIN pg_catalog.pg_class AS x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
    WHERE x.relname OPERATOR(pg_catalog.=) pg_catalog.concat($2, '_', i.indrelid)::pg_catalog.name AND NOT x.relispartition
  LOOP
    EXECUTE pg_catalog.format('DROP INDEX %s', built);
  END LOOP;
END
