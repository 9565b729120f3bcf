-- The integer columns that refer to column $2 of table $1 by a foreign key, directly or through others, and cannot hold what type $3 holds.
-- Of columns $6 of tables $4.$5 only is said whether they are among these: they stay as they are.
WITH RECURSIVE wide (oid, narrow) AS (
  SELECT w.name::pg_catalog.regtype::oid, w.narrow::pg_catalog.regtype[]::oid[] FROM (VALUES
    ('pg_catalog.int4', '{pg_catalog.int2}'), ('pg_catalog.int8', '{pg_catalog.int2,pg_catalog.int4}'),
    ('pg_catalog.numeric', '{pg_catalog.int2,pg_catalog.int4}')) AS w (name, narrow)
), target AS (
  SELECT w.narrow FROM wide w WHERE w.oid = pg_catalog.to_regtype($3)::oid
), kept (rel, att) AS (
  SELECT a.attrelid, a.attnum
  FROM ROWS FROM (pg_catalog.unnest($4::text[]), pg_catalog.unnest($5::text[]), pg_catalog.unnest($6::text[])) AS k (schema, name, att)
  JOIN pg_catalog.pg_namespace n ON n.nspname = k.schema
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = k.name
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = k.att AND NOT a.attisdropped
), reached (rel, att, of_type, is_kept) AS (
  SELECT a.attrelid, a.attnum, a.atttypid, false FROM pg_catalog.pg_attribute a, target t
  WHERE a.attrelid = pg_catalog.to_regclass($1)::oid AND a.attname = $2 AND NOT a.attisdropped AND a.atttypid = ANY (t.narrow)
  UNION
  SELECT a.attrelid, a.attnum, a.atttypid, EXISTS (SELECT FROM kept k WHERE k.rel = a.attrelid AND k.att = a.attnum)
  FROM reached r
  -- Those of partitions come with their parents'.
  JOIN pg_catalog.pg_constraint f ON f.contype = 'f' AND f.confrelid = r.rel AND f.conparentid = 0
  CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(f.conkey), pg_catalog.unnest(f.confkey)) AS p (own, referred)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = p.own
  CROSS JOIN target t
  -- What refers to one that stays need not change.
  WHERE p.referred = r.att AND a.atttypid = ANY (t.narrow) AND NOT r.is_kept
), column_of AS (
  SELECT n.nspname::text AS schema, c.relname::text AS table, a.attname::text AS name, pg_catalog.format_type(r.of_type, NULL) AS of_type,
    r.is_kept,
    (SELECT coalesce(json_agg(DISTINCT ARRAY[pn.nspname::text, pc.relname::text]), '[]')
      FROM pg_catalog.pg_constraint f
      CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(f.conkey), pg_catalog.unnest(f.confkey)) AS p (own, referred)
      JOIN reached o ON o.rel = f.confrelid AND o.att = p.referred AND NOT o.is_kept
      JOIN pg_catalog.pg_class pc ON pc.oid = o.rel JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace
      WHERE f.contype = 'f' AND f.conrelid = r.rel AND p.own = r.att) AS refers_to
  FROM reached r JOIN pg_catalog.pg_class c ON c.oid = r.rel JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = r.rel AND a.attnum = r.att
)
SELECT json_build_object('widens', EXISTS (SELECT FROM reached r WHERE r.rel = pg_catalog.to_regclass($1)::oid),
  'columns', (SELECT coalesce(json_agg(row_to_json(o) ORDER BY o.schema, o.table, o.name), '[]') FROM column_of o))::text
