-- The column of table $1 that an UPDATE of one row sets to what it is: one that no trigger names, and no index if possible.
SELECT pg_catalog.json_build_object('column', a.attname)::text
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a'
ORDER BY EXISTS (SELECT FROM pg_catalog.pg_trigger AS g WHERE g.tgrelid = a.attrelid AND a.attnum = ANY (g.tgattr::int2[])),
         EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = a.attrelid AND a.attnum = ANY (i.indkey::int2[])),
         a.attnum
LIMIT 1
