-- What came of the backfill of run $1 of table $2, or how far it has come: rows, HOT updates (NULL where the server does
-- not count them), seconds, seconds paused by a person, and log, heap, TOAST table and indexes then and now.
SELECT COALESCE((SELECT pg_catalog.sum(w.rows) FROM crossfade.page_window AS w WHERE w.run_id = b.run_id), 0)::bigint,
       CASE WHEN pg_catalog.current_setting('track_counts')::boolean THEN
           COALESCE((SELECT pg_catalog.sum(w.hot) FROM crossfade.page_window AS w WHERE w.run_id = b.run_id), 0)::bigint END,
       EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - b.began_at)::float8,
       COALESCE((
           SELECT pg_catalog.sum(EXTRACT(EPOCH FROM p.until - GREATEST(p.at, b.began_at))) FROM (
               SELECT e.at, e.entry ->> 'kind' AS kind,
                      pg_catalog.lead(e.at, 1, pg_catalog.clock_timestamp()) OVER (ORDER BY e.seq) AS until
               FROM crossfade.event AS e WHERE e.run_id = b.run_id AND e.entry ->> 'kind' IN ('paused', 'resumed')) AS p
           WHERE p.kind = 'paused' AND p.until > b.began_at), 0)::float8,
       GREATEST(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), b.start_lsn), 0)::bigint,
       b.heap_bytes, COALESCE(pg_catalog.pg_relation_size(c.oid), 0),
       b.toast_bytes, COALESCE(pg_catalog.pg_relation_size(NULLIF(c.reltoastrelid, 0)), 0),
       b.index_bytes, COALESCE(pg_catalog.pg_indexes_size(c.oid), 0)
FROM crossfade.backfill AS b
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = $2::bigint::oid
WHERE b.run_id = $1
