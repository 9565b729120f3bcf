-- Seconds for which an autovacuum to prevent wraparound has been at work on one of the tables $1 (oids) or its TOAST table, 0
-- where there is none; and whether a worker can be seen at all.
SELECT COALESCE(pg_catalog.max(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - a.xact_start)), 0)::float8 AS seconds,
       pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS visible
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_locks AS l ON l.relation IN (c.oid, c.reltoastrelid) AND l.granted
     AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid AND a.backend_type = 'autovacuum worker'
     AND a.query LIKE '%(to prevent wraparound)%'
WHERE c.oid = ANY ($1::bigint[]::oid[])
