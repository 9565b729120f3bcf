-- What keeps dead rows of this database from being pruned the longest: the next transaction id, the oldest one that it
-- still sees, what it is, and for how many seconds. Without anything: the next transaction id twice. Lazy VACUUM does not
-- count, and neither do sessions of other databases, but standbys with feedback do (ComputeXidHorizons in procarray.c).
WITH holder AS (
    SELECT GREATEST(pg_catalog.age(a.backend_xid), pg_catalog.age(a.backend_xmin)) AS age,
           CASE WHEN a.backend_type = 'walsender' THEN 'standby ' ELSE 'session ' END || a.pid
               || COALESCE(' of ' || a.usename, '') || COALESCE(' (' || NULLIF(a.application_name, '') || ')', '')
               || COALESCE(', ' || a.state, '') AS what,
           EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - a.xact_start)::float8 AS seconds
    FROM pg_catalog.pg_stat_activity AS a
    WHERE (a.datname = pg_catalog.current_database() OR a.backend_type = 'walsender')
      AND a.application_name NOT LIKE 'crossfade %' AND a.pid <> pg_catalog.pg_backend_pid()
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_vacuum AS v WHERE v.pid = a.pid)
    UNION ALL
    SELECT pg_catalog.age(p.transaction), 'prepared transaction ' || p.gid,
           EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - p.prepared)::float8
    FROM pg_catalog.pg_prepared_xacts AS p WHERE p.database = pg_catalog.current_database()
    UNION ALL
    SELECT pg_catalog.age(s.xmin), 'replication slot ' || s.slot_name, NULL FROM pg_catalog.pg_replication_slots AS s
), clock AS (
    SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint AS next
)
SELECT clock.next AS next_xid, clock.next - COALESCE(oldest.age, 0) AS oldest_xid, oldest.what AS holder, oldest.seconds
FROM clock LEFT JOIN (SELECT * FROM holder WHERE age IS NOT NULL ORDER BY age DESC LIMIT 1) AS oldest ON true
