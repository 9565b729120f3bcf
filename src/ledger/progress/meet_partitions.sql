-- Gives each partition of table $2 (oid), or each table that inherits from it, of every level, a number in run $1.
WITH RECURSIVE member AS (
    SELECT $2::bigint::oid AS oid
    UNION
    SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN member AS m ON m.oid = i.inhparent WHERE NOT i.inhdetachpending
)
INSERT INTO crossfade.relation (run_id, relation, table_oid, schema_name, table_name)
SELECT $1, (SELECT pg_catalog.max(r.relation) FROM crossfade.relation AS r WHERE r.run_id = $1)
           + pg_catalog.row_number() OVER (ORDER BY n.nspname, c.relname), c.oid, n.nspname, c.relname
FROM member JOIN pg_catalog.pg_class AS c ON c.oid = member.oid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND NOT EXISTS (SELECT FROM crossfade.relation AS r WHERE r.run_id = $1 AND r.table_oid = c.oid)
