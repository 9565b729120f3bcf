-- Of table $1: the columns of a fixed length, quoted, with their lengths; the lengths of the types $2, -1 where it varies; and
-- how long a row may be.
SELECT pg_catalog.json_build_object(
  'columns', (SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array('t.' || pg_catalog.quote_ident(a.attname), a.attlen::integer) ORDER BY a.attnum), '[]')
              FROM pg_catalog.pg_attribute AS a
              WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attlen > 0),
  'added', (SELECT COALESCE(pg_catalog.json_agg(COALESCE(y.typlen, -1)::integer), '[]')
            FROM pg_catalog.unnest($2::text[]) AS n(name) LEFT JOIN pg_catalog.pg_type AS y ON y.oid = pg_catalog.to_regtype(n.name)),
  'most', pg_catalog.current_setting('block_size')::integer - 32)::text
