-- How far the sequences of integer columns $2 of table $1 (oid) still reach, and which integer columns refer to these by a foreign key.
WITH of_type (oid, most) AS (
  VALUES ('pg_catalog.int2'::pg_catalog.regtype::oid, 32767::int8), ('pg_catalog.int4'::pg_catalog.regtype::oid, 2147483647)
), key AS (
  SELECT a.attrelid, a.attnum, a.attname::text AS name, t.most, pg_catalog.format_type(a.atttypid, NULL) AS of_type
  FROM pg_catalog.pg_attribute a JOIN of_type t ON t.oid = a.atttypid
  WHERE a.attrelid = $1::bigint::oid AND a.attnum = ANY ($2::int[])
), gives AS (
  -- It belongs to the column, or the column's default asks it.
  SELECT k.attnum, d.objid AS sequence FROM key k JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refobjid = k.attrelid AND d.refobjsubid = k.attnum AND d.deptype IN ('a', 'i')
  UNION
  SELECT k.attnum, d.refobjid FROM key k JOIN pg_catalog.pg_attrdef f ON f.adrelid = k.attrelid AND f.adnum = k.attnum
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = f.oid
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'n'
), sequence AS (
  SELECT k.name AS column, k.of_type, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, s.seqincrement AS increment,
    LEAST(k.most, s.seqmax) AS most,
    CASE WHEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT, USAGE') THEN pg_catalog.pg_sequence_last_value(c.oid) END AS last
  FROM gives g JOIN key k USING (attnum)
  JOIN pg_catalog.pg_sequence s ON s.seqrelid = g.sequence
  JOIN pg_catalog.pg_class c ON c.oid = g.sequence JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE s.seqincrement > 0 AND NOT s.seqcycle
), referring AS (
  SELECT k.name AS column, pg_catalog.format('%I.%I.%I', n.nspname, c.relname, a.attname) AS place, pg_catalog.format_type(a.atttypid, NULL) AS of_type
  FROM key k
  JOIN pg_catalog.pg_constraint f ON f.contype = 'f' AND f.confrelid = k.attrelid
  CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(f.conkey), pg_catalog.unnest(f.confkey)) AS p (own, referred)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = p.own JOIN of_type t ON t.oid = a.atttypid
  JOIN pg_catalog.pg_class c ON c.oid = f.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE p.referred = k.attnum AND NOT (a.attrelid = k.attrelid AND a.attnum = ANY ($2::int[]))
), cascading AS (
  SELECT k.name AS column, k.of_type, f.conname::text AS name
  FROM key k JOIN pg_catalog.pg_constraint f ON f.contype = 'f' AND f.conrelid = k.attrelid AND k.attnum = ANY (f.conkey)
  -- Of those to its own table the old column keeps none.
  WHERE f.confupdtype = 'c' AND f.confrelid <> f.conrelid AND f.conparentid = 0
)
SELECT json_build_object(
  'sequences', (SELECT coalesce(json_agg(row_to_json(s) ORDER BY s.column, s.name), '[]') FROM sequence s WHERE s.last IS NOT NULL),
  'referring', (SELECT coalesce(json_agg(row_to_json(r) ORDER BY r.column, r.place), '[]')
    FROM (SELECT DISTINCT * FROM referring) r),
  'cascading', (SELECT coalesce(json_agg(row_to_json(c) ORDER BY c.column, c.name), '[]') FROM cascading c),
  'inserted', pg_catalog.pg_stat_get_tuples_inserted($1::bigint::oid),
  'counted', EXTRACT(EPOCH FROM pg_catalog.now() - pg_catalog.pg_stat_get_db_stat_reset_time(d.oid)),
  -- A system's identifier begins with the second in which it was made.
  'age', CASE WHEN pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') THEN (
    SELECT EXTRACT(EPOCH FROM pg_catalog.now() - pg_catalog.to_timestamp(s.system_identifier >> 32)) FROM pg_catalog.pg_control_system() s) END)::text
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
