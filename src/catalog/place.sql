-- Where a column is; no row where it is not. $1: schema, $2: table, $3: column.
SELECT pg_catalog.json_build_array(a.attrelid::pg_catalog.int8, a.attnum)::pg_catalog.text
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 AND NOT a.attisdropped
