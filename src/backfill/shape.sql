-- Of table $1 with filled columns $2 (quoted): rows and pages (guessed from the columns' widths where nobody has counted
-- yet), bytes of a row with header and line pointer, and whether an
-- index that rules out HOT updates mentions one of them. Since PostgreSQL 16 a BRIN index does not. Then
-- whether the server counts HOT updates, and pages as they are now.
SELECT CASE WHEN known.yes THEN c.reltuples ELSE now.pages * 8168 / (28 + now.width) END::float8,
       CASE WHEN known.yes THEN c.relpages ELSE now.pages END::float8,
       (SELECT 28 + pg_catalog.sum(s.avg_width * (1 - s.null_frac))::float8 FROM pg_catalog.pg_stats AS s
        JOIN pg_catalog.pg_namespace AS n ON n.nspname = s.schemaname
        WHERE n.oid = c.relnamespace AND s.tablename = c.relname AND NOT s.inherited),
       EXISTS (
           SELECT FROM pg_catalog.pg_index AS i
           JOIN pg_catalog.pg_class AS ic ON ic.oid = i.indexrelid
           JOIN pg_catalog.pg_am AS am ON am.oid = ic.relam
           JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid
                AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = c.oid AND d.refobjsubid > 0
           JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
           WHERE i.indrelid = c.oid AND '"' || pg_catalog.replace(a.attname, '"', '""') || '"' = ANY ($2::text[])
             AND NOT (am.amname = 'brin' AND pg_catalog.current_setting('server_version_num')::integer >= 160000)),
       pg_catalog.current_setting('track_counts')::boolean,
       now.pages
FROM pg_catalog.pg_class AS c
CROSS JOIN LATERAL (SELECT c.reltuples >= 0 AND c.relpages > 0 AS yes) AS known
CROSS JOIN LATERAL (
    SELECT pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint AS pages,
           (SELECT pg_catalog.sum(CASE WHEN a.attlen > 0 THEN a.attlen ELSE 32 END) FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS width
) AS now
WHERE c.oid = $1::bigint::oid
