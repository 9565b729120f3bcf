-- The tables of a part of the database, with what it is called. Partitions are named only where they are asked for: their columns
-- are those of the partitioned table. $1: schema or NULL, $2: table or NULL, $3: the ledger's schema.
SELECT pg_catalog.json_build_object(
  'database', pg_catalog.current_database()::text,
  'server_version', pg_catalog.current_setting('server_version'),
  'tables', (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array(n.nspname::text, c.relname::text) ORDER BY n.nspname, c.relname), '[]')
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
      AND NOT pg_catalog.starts_with(n.nspname::text, 'pg_') AND n.nspname NOT IN ('information_schema', $3)
      AND ($1::text IS NULL OR n.nspname = $1) AND (c.relname = $2 OR $2::text IS NULL AND NOT c.relispartition)))::text
