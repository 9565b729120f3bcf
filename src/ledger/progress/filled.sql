-- What came of the backfill of run $1, or how far it has come, all its relations together: rows, HOT updates (NULL where
-- the server does not count them), seconds, seconds paused by a person, and log, heap, TOAST tables and indexes then and now.
WITH b AS (
    SELECT b.run_id, pg_catalog.min(b.began_at) AS began_at, pg_catalog.min(b.start_lsn) AS start_lsn,
           pg_catalog.sum(b.heap_bytes)::bigint AS heap_before,
           COALESCE(pg_catalog.sum(pg_catalog.pg_relation_size(c.oid)), 0)::bigint AS heap_after,
           pg_catalog.sum(b.toast_bytes)::bigint AS toast_before,
           COALESCE(pg_catalog.sum(pg_catalog.pg_relation_size(NULLIF(c.reltoastrelid, 0))), 0)::bigint AS toast_after,
           pg_catalog.sum(b.index_bytes)::bigint AS indexes_before,
           COALESCE(pg_catalog.sum(pg_catalog.pg_indexes_size(c.oid)), 0)::bigint AS indexes_after
    FROM crossfade.backfill AS b
    JOIN crossfade.relation AS r ON r.run_id = b.run_id AND r.relation = b.relation
    LEFT JOIN pg_catalog.pg_class AS c ON c.oid = r.table_oid
    WHERE b.run_id = $1
    GROUP BY b.run_id
), w AS (
    SELECT COALESCE(pg_catalog.sum(w.rows), 0)::bigint AS rows, COALESCE(pg_catalog.sum(w.hot), 0)::bigint AS hot
    FROM crossfade.page_window AS w WHERE w.run_id = $1
)
SELECT w.rows,
       CASE WHEN pg_catalog.current_setting('track_counts')::boolean THEN w.hot END AS hot,
       EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - b.began_at)::float8 AS seconds,
       COALESCE((
           SELECT pg_catalog.sum(EXTRACT(EPOCH FROM p.until - GREATEST(p.at, b.began_at))) FROM (
               SELECT e.at, e.entry ->> 'kind' AS kind,
                      pg_catalog.lead(e.at, 1, pg_catalog.clock_timestamp()) OVER (ORDER BY e.seq) AS until
               FROM crossfade.event AS e WHERE e.run_id = b.run_id AND e.entry ->> 'kind' IN ('paused', 'resumed')) AS p
           WHERE p.kind = 'paused' AND p.until > b.began_at), 0)::float8 AS paused_seconds,
       GREATEST(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), b.start_lsn), 0)::bigint AS wal_bytes,
       b.heap_before, b.heap_after, b.toast_before, b.toast_after, b.indexes_before, b.indexes_after
FROM b CROSS JOIN w
