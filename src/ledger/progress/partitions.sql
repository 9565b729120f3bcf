-- The tables that run $1 has met as partitions of its table $2 (oid), or as that table with those that inherit from it, by name: their numbers, whether they still are that, and whether
-- every page that had to be filled is. (It also knows tables that refer to its own.)
WITH RECURSIVE member AS (
    SELECT $2::bigint::oid AS oid
    UNION
    SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN member AS m ON m.oid = i.inhparent WHERE NOT i.inhdetachpending
)
SELECT r.relation, r.table_oid::bigint AS oid, n.nspname::text AS schema_name, c.relname::text AS table_name,
       r.table_oid IN (SELECT member.oid FROM member) AS is_partition,
       COALESCE((SELECT b.next_page >= b.bound AND NOT EXISTS (SELECT FROM crossfade.page_window AS w
                     WHERE w.run_id = b.run_id AND w.relation = b.relation AND w.pass = b.pass AND w.done_at IS NULL)
                 FROM crossfade.backfill AS b WHERE b.run_id = r.run_id AND b.relation = r.relation), false) AS is_filled
FROM crossfade.relation AS r
JOIN pg_catalog.pg_class AS c ON c.oid = r.table_oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE r.run_id = $1 AND (r.table_oid <> $2::bigint::oid OR c.relkind = 'r')
  AND (r.table_oid IN (SELECT member.oid FROM member)
       OR EXISTS (SELECT FROM crossfade.backfill AS b WHERE b.run_id = r.run_id AND b.relation = r.relation))
ORDER BY n.nspname, c.relname
