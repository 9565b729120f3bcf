-- Transactions of this database with a snapshot that may not see what transaction $1 did; not those of crossfade. None, if $1 is
-- of another server, or so long ago that no snapshot can be as old. Only sessions of other roles have no state, for a role
-- without pg_read_all_stats. VACUUM, ANALYZE and CREATE INDEX show nobody anything.
SELECT l.virtualtransaction AS transaction, a.pid, pg_catalog.textsend(a.usename::text) AS user,
       pg_catalog.textsend(a.application_name) AS application,
       pg_catalog.concat_ws(', ', a.state, 'whose snapshot is older than the end of the backfill') AS state,
       EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - a.xact_start)::bigint AS transaction_seconds, pg_catalog.textsend(a.query) AS query
FROM pg_catalog.pg_stat_activity AS a
JOIN pg_catalog.pg_locks AS l ON l.pid = a.pid AND l.locktype = 'virtualxid' AND l.granted AND l.mode = 'ExclusiveLock'
WHERE a.datname = pg_catalog.current_database() AND a.backend_type <> 'autovacuum worker'
  AND a.application_name NOT LIKE 'crossfade %' AND a.pid <> pg_catalog.pg_backend_pid()
  AND pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint - $1::text::bigint BETWEEN 0 AND 2000000000
  AND pg_catalog.age(a.backend_xmin) > pg_catalog.age($1::xid8::xid)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_vacuum AS v WHERE v.pid = a.pid)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_analyze AS v WHERE v.pid = a.pid)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index AS v WHERE v.pid = a.pid)
ORDER BY a.pid
