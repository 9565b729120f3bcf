-- What the model wants to know of table $1 whose new columns have the types $2: one JSON text.
WITH stats AS (
    SELECT s.tablename, s.attname, s.avg_width, s.null_frac, s.n_distinct, s.correlation
    FROM pg_catalog.pg_stats AS s
    JOIN pg_catalog.pg_class AS c ON c.oid = $1::bigint::oid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = s.schemaname
    WHERE NOT s.inherited
), aligns(letter, bytes) AS (VALUES ('c', 1), ('s', 2), ('i', 4), ('d', 8))
SELECT pg_catalog.json_build_object(
    'fillfactor', COALESCE((SELECT o.option_value::float8 / 100 FROM pg_catalog.pg_options_to_table(c.reloptions) AS o
                            WHERE o.option_name = 'fillfactor'), 1),
    'unlogged', c.relpersistence <> 'p',
    'full_identity', c.relreplident = 'f',
    'analyzed', c.reltuples >= 0 AND c.relpages > 0,
    'columns', (
        SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object(
            'name', a.attname, 'attnum', a.attnum, 'len', a.attlen, 'align', l.bytes, 'dropped', a.attisdropped,
            'width', s.avg_width, 'null_share', s.null_frac, 'n_distinct', s.n_distinct) ORDER BY a.attnum), '[]')
        FROM pg_catalog.pg_attribute AS a
        JOIN aligns AS l ON l.letter = a.attalign::text
        LEFT JOIN stats AS s ON s.tablename = c.relname AND s.attname = a.attname AND NOT a.attisdropped
        WHERE a.attrelid = c.oid AND a.attnum > 0),
    'indexes', (
        SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object(
            'name', ic.relname,
            'bytes', pg_catalog.pg_relation_size(ic.oid),
            'entries', ic.reltuples,
            'summary', am.amname = 'brin',
            'correlation', COALESCE((SELECT s.correlation FROM pg_catalog.pg_attribute AS a JOIN stats AS s ON
                s.tablename = c.relname AND s.attname = a.attname WHERE a.attrelid = c.oid AND a.attnum = i.indkey[0]), 0),
            'columns', (
                SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                    'attnum', i.indkey[ia.attnum - 1], 'len', ia.attlen, 'align', l.bytes, 'dropped', false,
                    'width', s.avg_width, 'null_share', s.null_frac, 'n_distinct', s.n_distinct) ORDER BY ia.attnum)
                FROM pg_catalog.pg_attribute AS ia
                JOIN aligns AS l ON l.letter = ia.attalign::text
                LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[ia.attnum - 1]
                LEFT JOIN stats AS s ON a.attnum IS NULL AND s.tablename = ic.relname AND s.attname = ia.attname
                                     OR a.attnum > 0 AND s.tablename = c.relname AND s.attname = a.attname
                WHERE ia.attrelid = ic.oid AND ia.attnum > 0))), '[]')
        FROM pg_catalog.pg_index AS i
        JOIN pg_catalog.pg_class AS ic ON ic.oid = i.indexrelid
        JOIN pg_catalog.pg_am AS am ON am.oid = ic.relam
        WHERE i.indrelid = c.oid AND i.indisready),
    'types', (
        SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object('len', t.typlen, 'align', l.bytes) ORDER BY n.at), '[]')
        FROM pg_catalog.unnest($2::text[]) WITH ORDINALITY AS n(name, at)
        LEFT JOIN pg_catalog.pg_type AS t ON t.oid = pg_catalog.to_regtype(n.name)
        LEFT JOIN aligns AS l ON l.letter = t.typalign::text),
    'server', pg_catalog.json_build_object(
        'full_page_writes', pg_catalog.current_setting('full_page_writes')::boolean,
        'wal_compression', pg_catalog.current_setting('wal_compression') <> 'off',
        'logical', pg_catalog.current_setting('wal_level') = 'logical',
        'minimal', pg_catalog.current_setting('wal_level') = 'minimal',
        'max_wal_bytes', pg_catalog.pg_size_bytes(pg_catalog.current_setting('max_wal_size')),
        'checkpoint_seconds', EXTRACT(EPOCH FROM pg_catalog.current_setting('checkpoint_timeout')::interval)::float8)
)::text
FROM pg_catalog.pg_class AS c
WHERE c.oid = $1::bigint::oid
