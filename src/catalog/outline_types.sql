-- Names of types, as a plan would write them, for "did you mean".
SELECT coalesce(json_agg(format_type(t.oid, -1)), '[]')::text
FROM (SELECT * FROM pg_type WHERE typtype IN ('b', 'e', 'd', 'c', 'r', 'm') AND typcategory <> 'A' ORDER BY oid DESC LIMIT 5000) t
JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_toast'
  AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')
