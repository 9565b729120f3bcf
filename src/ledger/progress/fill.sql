-- How far the backfills of the runs $1 are, one row for each relation, of each run the one whose engine reported last first: pages of the
-- current pass, pages done, rows filled in this pass and in all, how many of all touched no index, late pages to do, seconds
-- since the pass began; and what the engine says of itself, with the moment since when it stands still, if it has said something in the last seconds.
-- A late page is part of a window that has gone past it, so it is taken off until it is done.
SELECT b.run_id, b.relation, b.bound,
       GREATEST(pg_catalog.floor(COALESCE(pg_catalog.sum(CASE
           WHEN w.pass <> b.pass THEN 0
           WHEN w.late THEN CASE WHEN w.done_at IS NULL THEN w.from_page - w.to_page ELSE 0 END
           WHEN w.done_at IS NOT NULL THEN w.to_page - w.from_page
           ELSE (w.slice_from * (w.to_page - w.from_page) + (w.slice_to - w.slice_from) * (w.next_page - w.from_page))::float8 / w.parts
       END), 0)), 0)::bigint AS done,
       COALESCE(pg_catalog.sum(w.rows) FILTER (WHERE w.pass = b.pass), 0)::bigint AS pass_rows,
       COALESCE(pg_catalog.sum(w.rows), 0)::bigint AS rows,
       COALESCE(pg_catalog.sum(w.hot), 0)::bigint AS hot,
       pg_catalog.count(*) FILTER (WHERE w.pass = b.pass AND w.late AND w.done_at IS NULL) AS late,
       EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - b.started_at)::float8 AS seconds,
       CASE WHEN b.reported_at > pg_catalog.clock_timestamp() - interval '5 seconds' THEN b.rows_per_second END AS rows_per_second,
       b.eta_seconds, b.held_by, (b.held_by ->> 'since')::timestamptz AS held_since, b.pace
FROM crossfade.backfill AS b
LEFT JOIN crossfade.page_window AS w ON w.run_id = b.run_id AND w.relation = b.relation
WHERE b.run_id = ANY ($1)
GROUP BY b.run_id, b.relation
ORDER BY b.reported_at DESC NULLS LAST, b.relation
