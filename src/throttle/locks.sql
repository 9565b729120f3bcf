-- The longest time, in seconds, that a session not ours has waited so far for a lock that one of our backends holds.
-- pg_blocking_pids() stops the lock manager for a moment, so it is asked only about sessions that have waited a while.
WITH ours AS (
    SELECT COALESCE(pg_catalog.array_agg(a.pid), '{}') AS pids FROM pg_catalog.pg_stat_activity AS a
    WHERE a.application_name LIKE 'crossfade %' AND a.datname = pg_catalog.current_database()
), waiting AS MATERIALIZED (
    SELECT l.pid, pg_catalog.max(EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - l.waitstart))::float8 AS seconds
    FROM pg_catalog.pg_locks AS l, ours
    WHERE NOT l.granted AND l.waitstart < pg_catalog.clock_timestamp() - interval '10 milliseconds' AND l.pid <> ALL (ours.pids)
    GROUP BY l.pid
)
SELECT COALESCE(pg_catalog.max(w.seconds), 0)::float8 FROM waiting AS w, ours
WHERE pg_catalog.pg_blocking_pids(w.pid) && ours.pids
