-- Of table $1 with filled columns $2 (quoted): rows and pages, bytes of a row with header and line pointer, and whether an
-- index that rules out HOT updates mentions one of them. Since PostgreSQL 16 a BRIN index does not. Then
-- whether the server counts HOT updates, and pages as they are now.
SELECT GREATEST(c.reltuples, 0)::float8 AS rows, c.relpages::float8 AS analyzed_pages,
       (SELECT 28 + pg_catalog.sum(s.avg_width * (1 - s.null_frac))::float8 FROM pg_catalog.pg_stats AS s
        JOIN pg_catalog.pg_namespace AS n ON n.nspname = s.schemaname
        WHERE n.oid = c.relnamespace AND s.tablename = c.relname AND NOT s.inherited) AS row_bytes,
       EXISTS (
           SELECT FROM pg_catalog.pg_index AS i
           JOIN pg_catalog.pg_class AS ic ON ic.oid = i.indexrelid
           JOIN pg_catalog.pg_am AS am ON am.oid = ic.relam
           JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid
                AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = c.oid AND d.refobjsubid > 0
           JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
           WHERE i.indrelid = c.oid AND '"' || pg_catalog.replace(a.attname, '"', '""') || '"' = ANY ($2::text[])
             AND NOT (am.amname = 'brin' AND pg_catalog.current_setting('server_version_num')::integer >= 160000)) AS filled_is_indexed,
       pg_catalog.current_setting('track_counts')::boolean AS counts_hot,
       COALESCE(pg_catalog.pg_relation_size(c.oid), 0) / pg_catalog.current_setting('block_size')::bigint AS pages
FROM pg_catalog.pg_class AS c
WHERE c.oid = $1::bigint::oid
