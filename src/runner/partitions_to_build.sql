-- The partitions of table $1 (qualified), of every level, that have no index $2 yet: neither one that was built there under this name and
-- the partition's oid, nor a part of index $3 of the table (qualified).
WITH RECURSIVE member AS (
  SELECT pg_catalog.to_regclass($1)::pg_catalog.oid AS oid
  UNION
  SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN member AS m ON m.oid = i.inhparent WHERE NOT i.inhdetachpending
), part AS (
  SELECT pg_catalog.to_regclass($3)::pg_catalog.oid AS oid
  UNION
  SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN part AS p ON p.oid = i.inhparent
)
SELECT c.oid::pg_catalog.int8 AS oid, n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name
FROM member AS m JOIN pg_catalog.pg_class AS c USING (oid) JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND NOT EXISTS (
  SELECT FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
  WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisready AND i.indislive
    AND (x.relname = pg_catalog.concat($2, '_', c.oid)::pg_catalog.name OR i.indexrelid IN (SELECT part.oid FROM part)))
ORDER BY c.oid
