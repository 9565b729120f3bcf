INSERT INTO public.vehicles
SELECT i, t, t, t + i % 1000 * interval '1 minute', 1 + i * 7919 % 500, i * 31 % 400000,
       (ARRAY['active', 'idle', 'retired', 'service', 'stolen'])[1 + i * 7 % 5],
       upper(left(md5(i::text), 17)), 'ZH ' || lpad((i % 1000000)::text, 6, '0')
FROM generate_series(1, $1::bigint) AS i, LATERAL (SELECT timestamptz '2026-01-01' + i * interval '1 second') AS x (t)
