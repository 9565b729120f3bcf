-- Names of tables, for "did you mean".
SELECT coalesce(json_agg(json_build_array(n.nspname::text, c.relname::text)), '[]')::text
FROM (SELECT relname, relnamespace FROM pg_class WHERE relkind IN ('r', 'p') ORDER BY oid DESC LIMIT 5000) c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
