-- What the engine says of the backfill of run $1, relation $2, if the lease with the epoch $3 is the one that speaks: the leader's,
-- or any while nobody leads. The same statement keeps a sample: $8 rows filled, and the latencies since the last one. A second is
-- a slot of its own in the first minute; after that a slot has the length of a 32nd to a 64th of the time since the backfill began.
WITH reported AS (
    UPDATE crossfade.backfill AS b SET rows_per_second = $4, eta_seconds = $5, pace = $7,
        -- One hold, as long as the engine says the same thing every second.
        held_by = $6::jsonb || pg_catalog.jsonb_build_object('since', COALESCE(
            CASE WHEN (b.held_by ->> 'by', b.held_by ->> 'signal') IS NOT DISTINCT FROM ($6::jsonb ->> 'by', $6::jsonb ->> 'signal')
                AND b.reported_at > pg_catalog.clock_timestamp() - interval '5 seconds' THEN b.held_by ->> 'since' END,
            pg_catalog.to_jsonb(pg_catalog.clock_timestamp()) #>> '{}')),
        reported_at = pg_catalog.clock_timestamp()
    WHERE b.run_id = $1 AND b.relation = $2 AND EXISTS (SELECT FROM crossfade.lease AS l WHERE l.run_id = $1 AND l.epoch = $3
        AND (l.leads OR NOT EXISTS (SELECT FROM crossfade.lease AS o WHERE o.run_id = $1 AND o.leads
            AND o.expires > pg_catalog.clock_timestamp())))
    RETURNING GREATEST(pg_catalog.floor(EXTRACT(EPOCH FROM b.reported_at - b.began_at)), 0)::bigint AS second, b.reported_at
), slot AS (
    SELECT r.reported_at, (r.second >> s.shift) << s.shift AS second
    FROM reported AS r
    -- Binary digits beyond the sixth.
    CROSS JOIN LATERAL (SELECT GREATEST(pg_catalog.length(pg_catalog.ltrim(r.second::bit(64)::text, '0')) - 6, 0) AS shift) AS s
)
INSERT INTO crossfade.backfill_sample AS s (run_id, relation, slot, at, rows, latencies, over_goal)
SELECT $1, $2, slot.second, slot.reported_at, $8, $9, $10 FROM slot
ON CONFLICT (run_id, relation, slot) DO UPDATE SET at = excluded.at, rows = excluded.rows,
    latencies = ARRAY(SELECT COALESCE(c.a, 0) + COALESCE(c.b, 0)
        FROM ROWS FROM (pg_catalog.unnest(s.latencies), pg_catalog.unnest(excluded.latencies)) WITH ORDINALITY AS c (a, b, number)
        ORDER BY c.number),
    over_goal = s.over_goal + excluded.over_goal
