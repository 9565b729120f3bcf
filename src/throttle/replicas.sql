-- Our WAL position, and of each physical replica that streams: its position, and the lag it reported. All of a
-- replica's columns are NULL for a role without pg_monitor.
SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')::bigint AS wrote, r.pid IS NOT NULL AS is_replica, r.state IS NULL AS hidden,
       pg_catalog.pg_wal_lsn_diff(r.replay_lsn, '0/0')::bigint AS replayed, EXTRACT(EPOCH FROM r.replay_lag)::float8 AS reported
FROM (SELECT 1) AS one
LEFT JOIN pg_catalog.pg_stat_replication AS r ON r.state IS NULL OR (
     r.state IN ('streaming', 'catchup') AND r.replay_lsn IS NOT NULL
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots AS s WHERE s.active_pid = r.pid AND s.slot_type = 'logical'))
