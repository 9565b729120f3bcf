-- What is known of transaction $2 (an xid as text), which has written a row of the table of run $1: whether it is older than the one
-- that did step $3, which made the sync trigger, or later than one that began when that was there.
WITH written AS (
    SELECT $2::text::xid AS xid, pg_catalog.current_setting('track_commit_timestamp') = 'on' AS is_kept
), made AS (
    SELECT e.seq, e.xmin AS xid FROM crossfade.event AS e
    WHERE e.run_id = $1 AND e.entry ->> 'kind' = 'step_done' AND e.entry ->> 'step' = $3 AND e.entry ->> 'adopted' = 'false'
    ORDER BY e.seq DESC LIMIT 1
), after AS (
    SELECT e.xmin AS xid FROM crossfade.event AS e, made
    WHERE e.run_id = $1 AND e.seq > made.seq AND e.xmin <> made.xid ORDER BY e.seq LIMIT 1
), known AS (
    SELECT w.xid, CASE WHEN w.is_kept THEN pg_catalog.pg_xact_commit_timestamp(w.xid) END AS at,
           CASE WHEN w.is_kept THEN (SELECT c.roident FROM pg_catalog.pg_xact_commit_timestamp_origin(w.xid) AS c) END AS origin
    FROM written AS w
)
SELECT k.at, (SELECT o.roname FROM pg_catalog.pg_replication_origin AS o WHERE o.roident = k.origin) AS origin,
       COALESCE(k.origin <> 0, false) AS is_replayed,
       EXISTS (SELECT FROM crossfade.page_window AS p WHERE p.run_id = $1 AND p.xmin = k.xid) AS is_backfill,
       -- The age of a transaction of which so many have begun since that its number has come round is below zero.
       COALESCE((SELECT pg_catalog.age(m.xid) >= 0 AND (pg_catalog.age(k.xid) < 0 OR pg_catalog.age(k.xid) > pg_catalog.age(m.xid))
                 FROM made AS m), false) AS is_older,
       COALESCE((SELECT pg_catalog.age(k.xid) BETWEEN 0 AND pg_catalog.age(a.xid) - 1 FROM after AS a), false) AS is_later,
       pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::numeric < 4294967296 AS is_unique
FROM known AS k
