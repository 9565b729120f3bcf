-- Sessions that keep backend $1 waiting, those queued ahead of it included. A prepared transaction has pid 0.
SELECT b.pid, pg_catalog.textsend(a.usename::text) AS user, pg_catalog.textsend(a.application_name) AS application, a.state,
       EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - a.xact_start)::bigint AS transaction_seconds,
       CASE WHEN b.pid = 0
            THEN (SELECT pg_catalog.textsend(pg_catalog.string_agg(p.gid, ', ')) FROM pg_catalog.pg_prepared_xacts AS p)
            ELSE pg_catalog.textsend(a.query) END AS query
FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids($1)) AS b(pid)
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = b.pid
