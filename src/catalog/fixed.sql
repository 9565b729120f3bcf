-- Of table $1: its columns with number, quoted name, length (-1 where it varies) and what their values are (text, bytea or
-- neither); whether columns were dropped, the number of all columns and the size of its TOAST table; the lengths of the types
-- $2, -1 where it varies; and how long a row may be.
SELECT pg_catalog.json_build_object(
  'columns', (SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object('attnum', a.attnum,
                'name', 't.' || pg_catalog.quote_ident(a.attname), 'length', a.attlen::integer,
                'holds', CASE WHEN a.atttypid IN ('text'::pg_catalog.regtype, 'varchar'::pg_catalog.regtype, 'bpchar'::pg_catalog.regtype) THEN 'text'
                              WHEN a.atttypid = 'bytea'::pg_catalog.regtype THEN 'bytea' ELSE 'other' END) ORDER BY a.attnum), '[]')
              FROM pg_catalog.pg_attribute AS a
              WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped),
  'dropped', EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = $1::bigint::oid AND a.attisdropped),
  'count', (SELECT c.relnatts::integer FROM pg_catalog.pg_class AS c WHERE c.oid = $1::bigint::oid),
  'toast', (SELECT COALESCE(pg_catalog.pg_relation_size(NULLIF(c.reltoastrelid, 0)), 0) FROM pg_catalog.pg_class AS c WHERE c.oid = $1::bigint::oid),
  'added', (SELECT COALESCE(pg_catalog.json_agg(COALESCE(y.typlen, -1)::integer ORDER BY n.at), '[]')
            FROM pg_catalog.unnest($2::text[]) WITH ORDINALITY AS n(name, at) LEFT JOIN pg_catalog.pg_type AS y ON y.oid = pg_catalog.to_regtype(n.name)),
  'most', pg_catalog.current_setting('block_size')::integer - 32)::text
