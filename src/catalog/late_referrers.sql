-- The integer columns that refer by a foreign key, directly or through each other, to one of columns $3 of tables $1.$2, and cannot hold what
-- type $4 holds: without these columns themselves, and without columns $7 of tables $5.$6.
WITH RECURSIVE wide (oid, narrow) AS (
  SELECT w.name::pg_catalog.regtype::oid, w.narrow::pg_catalog.regtype[]::oid[] FROM (VALUES
    ('pg_catalog.int4', '{pg_catalog.int2}'), ('pg_catalog.int8', '{pg_catalog.int2,pg_catalog.int4}'),
    ('pg_catalog.numeric', '{pg_catalog.int2,pg_catalog.int4}')) AS w (name, narrow)
), target AS (
  SELECT w.narrow FROM wide w WHERE w.oid = pg_catalog.to_regtype($4)::oid
), named AS (
  SELECT a.attrelid AS rel, a.attnum AS att, k.is_known
  FROM (
    SELECT o.*, true FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[])) AS o
    UNION ALL
    SELECT o.*, false FROM ROWS FROM (pg_catalog.unnest($5::text[]), pg_catalog.unnest($6::text[]), pg_catalog.unnest($7::text[])) AS o
  ) AS k (schema, name, att, is_known)
  JOIN pg_catalog.pg_namespace n ON n.nspname = k.schema
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = k.name
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = k.att AND NOT a.attisdropped
), reached (rel, att) AS (
  SELECT n.rel, n.att FROM named n WHERE n.is_known
  UNION
  SELECT a.attrelid, a.attnum
  FROM reached r
  JOIN pg_catalog.pg_constraint f ON f.contype = 'f' AND f.confrelid = r.rel AND f.conparentid = 0
  CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(f.conkey), pg_catalog.unnest(f.confkey)) AS p (own, referred)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = p.own
  CROSS JOIN target t
  WHERE p.referred = r.att AND a.atttypid = ANY (t.narrow) AND NOT EXISTS (SELECT FROM named n WHERE n.rel = a.attrelid AND n.att = a.attnum)
)
SELECT coalesce(json_agg(json_build_object('place', pg_catalog.format('%I.%I.%I', n.nspname, c.relname, a.attname),
  'of_type', pg_catalog.format_type(a.atttypid, NULL)) ORDER BY n.nspname, c.relname, a.attname), '[]')::text
FROM reached r
JOIN pg_catalog.pg_class c ON c.oid = r.rel JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = r.rel AND a.attnum = r.att
WHERE NOT EXISTS (SELECT FROM named x WHERE x.rel = r.rel AND x.att = r.att)
