-- Names of tables that a plan could be about: not partitions, whose columns are changed through their table.
SELECT coalesce(json_agg(json_build_array(n.nspname::text, c.relname::text)), '[]')::text
FROM (SELECT relname, relnamespace FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition ORDER BY oid DESC LIMIT 5000) c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
