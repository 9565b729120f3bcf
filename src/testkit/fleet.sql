-- $1 vehicles whose every value follows from its number, so that two loads are the same.
INSERT INTO public.vehicles (vin, status, license_plate, odometer, fuel, last_seen, telemetry, weight, depot_id, updated_at)
SELECT
  'CF' || lpad(upper(to_hex(n)), 15, '0'),
  (ARRAY['active', 'active', 'active', 'in_service', 'in_service', 'idle', 'maintenance', 'retired'])[1 + n * 7 % 8],
  CASE
    WHEN n % 97 = 0 THEN NULL
    WHEN n % 499 = 0 THEN 'K' || lpad((n % 100000)::text, 5, '0') || '-X (export)'
    ELSE chr(65 + (n % 26)::int) || chr(65 + (n / 26 % 26)::int) || '-' || lpad((n * 7919 % 10000)::text, 4, '0')
  END,
  CASE
    WHEN n % 211 = 0 THEN NULL
    WHEN n % 1009 = 0 THEN 'n/a'
    WHEN n % 2003 = 0 THEN '12 345'
    WHEN n % 3001 = 0 THEN ''
    ELSE (n * 104729 % 400000)::text
  END,
  (ARRAY['Diesel', 'Diesel', 'petrol', 'ELECTRIC', 'hybrid', 'diesel', 'Petrol'])[1 + n % 7],
  timestamp '2026-01-01 00:00:00' + n * interval '7 seconds',
  CASE
    WHEN n % 53 = 0 THEN NULL
    ELSE format('{"speed": %s, "fuel_level": 0.%s, "codes": ["P0%s"], "position": [%s.%s, 8.%s]}',
      n % 130, 10 + n % 90, 100 + n % 900, 47 + n % 6, n * 31 % 100000, n * 17 % 100000)
  END,
  (900 + n * 37 % 3000)::int,
  (1 + n / 8 % 40)::int,
  timestamptz '2026-01-01 00:00:00+00' + n * interval '7 seconds'
FROM generate_series(1, $1::bigint) AS n
