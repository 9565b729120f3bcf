-- What the current pass of run $1 over relation $2 has not covered, as a sentence; NULL when its windows lie side by side
-- from page 0 to the bound and all of them, the late pages included, are done.
WITH current AS (
    SELECT b.pass, b.bound FROM crossfade.backfill AS b WHERE b.run_id = $1 AND b.relation = $2
), windows AS (
    SELECT w.* FROM crossfade.page_window AS w JOIN current ON w.pass = current.pass WHERE w.run_id = $1 AND w.relation = $2
), side_by_side AS (
    SELECT w.from_page, w.to_page, pg_catalog.lag(w.to_page, 1, 0::bigint) OVER (ORDER BY w.from_page) AS previous_end
    FROM windows AS w WHERE NOT w.late
)
SELECT COALESCE(
    (SELECT 'page window [' || w.from_page || ', ' || w.to_page || ') is not done'
     FROM windows AS w WHERE w.done_at IS NULL ORDER BY w.from_page LIMIT 1),
    (SELECT 'pages from ' || s.previous_end || ' to ' || s.from_page || ' were in no window'
     FROM side_by_side AS s WHERE s.from_page <> s.previous_end ORDER BY s.from_page LIMIT 1),
    (SELECT 'pages from ' || COALESCE(pg_catalog.max(s.to_page), 0) || ' to ' || current.bound || ' were in no window'
     FROM current LEFT JOIN side_by_side AS s ON true GROUP BY current.bound
     HAVING COALESCE(pg_catalog.max(s.to_page), 0) <> current.bound),
    CASE WHEN NOT EXISTS (SELECT FROM current) THEN 'the backfill has not begun' END
)
