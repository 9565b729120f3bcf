-- A type as casts name it, and the labels of an enum. $1: its oid.
SELECT json_build_object(
    'base_type', format_type(t.oid, -1),
    'built_in', t.typnamespace = 'pg_catalog'::regnamespace,
    'labels', (SELECT coalesce(json_agg(e.enumlabel::text ORDER BY e.enumsortorder), '[]') FROM pg_enum e WHERE e.enumtypid = t.oid)
  )::text
FROM pg_type t
WHERE t.oid = $1::bigint::oid
