-- How far the backfills of the runs $1 are whose tables are partitioned or inherited from, partition by partition, by name: their numbers, and whether every page that had to be
-- filled is. Those that the backfill has not met yet, and those that are none any more, are left out.
WITH RECURSIVE member AS (
    SELECT r.run_id, r.table_oid AS oid FROM crossfade.relation AS r WHERE r.run_id = ANY ($1) AND r.relation = 0
    UNION
    SELECT m.run_id, i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN member AS m ON m.oid = i.inhparent WHERE NOT i.inhdetachpending
)
SELECT r.run_id, r.relation, n.nspname::text AS schema_name, c.relname::text AS table_name,
       b.next_page >= b.bound AND NOT EXISTS (SELECT FROM crossfade.page_window AS w
           WHERE w.run_id = b.run_id AND w.relation = b.relation AND w.pass = b.pass AND w.done_at IS NULL) AS is_filled
FROM member AS m
JOIN crossfade.relation AS r ON r.run_id = m.run_id AND r.table_oid = m.oid
JOIN crossfade.backfill AS b ON b.run_id = r.run_id AND b.relation = r.relation
JOIN pg_catalog.pg_class AS c ON c.oid = m.oid AND c.relkind = 'r'
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
ORDER BY r.run_id, n.nspname, c.relname
