-- Sessions that hold a lock on table $1 or one of its partitions in a transaction older than $2 seconds; not those of crossfade.
WITH RECURSIVE member AS (
  SELECT $1::bigint::oid AS oid
  UNION
  SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN member AS m ON m.oid = i.inhparent WHERE NOT i.inhdetachpending
)
SELECT DISTINCT a.pid, pg_catalog.textsend(a.usename::text) AS user, pg_catalog.textsend(a.application_name) AS application, a.state,
       EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - a.xact_start)::bigint AS transaction_seconds, pg_catalog.textsend(a.query) AS query
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
  AND l.relation IN (SELECT member.oid FROM member) AND l.granted AND a.backend_type = 'client backend'
  AND a.application_name NOT LIKE 'crossfade %'
  AND a.xact_start < pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $2)
