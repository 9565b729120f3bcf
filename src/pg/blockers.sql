-- Sessions that keep backend $1 waiting, those queued ahead of it included. A prepared transaction has pid 0.
SELECT b.pid, a.usename::text AS user, a.application_name AS application, a.state,
       EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - a.xact_start)::bigint AS transaction_seconds,
       CASE WHEN b.pid = 0
            THEN (SELECT pg_catalog.string_agg(p.gid, ', ') FROM pg_catalog.pg_prepared_xacts AS p)
            ELSE a.query END AS query
FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids($1)) AS b(pid)
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = b.pid
