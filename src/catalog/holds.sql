-- Which conditions are true. $1: the ledger's schema, $2: kinds of the conditions, $3: what each says, as JSON, $4: the
-- oid of the table that each is about. Arrays of known length keep the planner's estimate, and with it JIT
-- compilation, low. Qualified throughout, because it runs under whatever search_path the caller has.
WITH RECURSIVE condition AS (
  SELECT kind, said::pg_catalog.jsonb AS v, on_table::pg_catalog.oid AS place, n
  FROM ROWS FROM (pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::pg_catalog.int8[]))
    WITH ORDINALITY AS c(kind, said, on_table, n)
), attribute AS (
  SELECT a.attname, a.attnotnull, a.attrelid, a.attnum,
    -- format_type leaves out a schema that is in the search_path.
    CASE WHEN tn.nspname <> 'pg_catalog' AND pg_catalog.pg_type_is_visible(e.oid) THEN pg_catalog.quote_ident(tn.nspname) || '.' ELSE '' END
      || pg_catalog.format_type(a.atttypid, a.atttypmod) AS type_name
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  -- An array is shown with its element's name.
  JOIN pg_catalog.pg_type e ON e.oid = CASE WHEN t.typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc THEN t.typelem ELSE t.oid END
  JOIN pg_catalog.pg_namespace tn ON tn.oid = e.typnamespace
  WHERE a.attrelid IN (SELECT place FROM condition) AND a.attnum > 0 AND NOT a.attisdropped
), member AS (
  SELECT DISTINCT place, place AS oid FROM condition
  UNION
  SELECT m.place, i.inhrelid FROM pg_catalog.pg_inherits i JOIN member m ON m.oid = i.inhparent WHERE NOT i.inhdetachpending
), func AS (
  SELECT f.proname, pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(f.prosrc, 'UTF8')), 'hex') AS sha256
  FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace WHERE n.nspname = $1
)
SELECT coalesce(pg_catalog.json_agg(CASE kind
  WHEN 'column' THEN EXISTS (SELECT FROM attribute WHERE attrelid = place AND attname = v ->> 'name' AND type_name = v ->> 'type_name')
  WHEN 'no_column' THEN NOT EXISTS (SELECT FROM attribute WHERE attrelid = place AND attname = v ->> 'name')
  WHEN 'trigger' THEN EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = place
    AND t.tgname = v ->> 'name' AND t.tgenabled IN ('O', 'A') AND NOT t.tgisinternal)
    -- Each partition has one of its own, which can be disabled alone, and each table that inherits. Before PostgreSQL 15 it counts as internal.
    AND NOT EXISTS (SELECT FROM member m WHERE m.place = condition.place AND m.oid <> m.place AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = m.oid AND t.tgname = v ->> 'name' AND t.tgenabled IN ('O', 'A')))
  WHEN 'no_trigger' THEN NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = place AND t.tgname = v ->> 'name')
  WHEN 'function' THEN EXISTS (SELECT FROM func WHERE proname = v ->> 'name' AND sha256 = v ->> 'sha256')
  WHEN 'no_function' THEN NOT EXISTS (SELECT FROM func WHERE proname = v ->> 'name')
  -- One partition may have an index of its own. That of a partitioned table is valid once each partition has it.
  WHEN 'index' THEN EXISTS (SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    JOIN member m ON m.oid = i.indrelid
    WHERE m.place = condition.place AND x.relname = v ->> 'name' AND i.indisvalid AND i.indisready AND i.indislive)
  WHEN 'no_index' THEN NOT EXISTS (SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    WHERE i.indrelid = place AND x.relname = v ->> 'name')
  WHEN 'constraint' THEN EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = place
    AND k.conname = v ->> 'name' AND k.convalidated)
  WHEN 'some_constraint' THEN EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = place AND k.conname = v ->> 'name')
  WHEN 'no_constraint' THEN NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = place
    AND k.conname = v ->> 'name')
  WHEN 'no_view' THEN NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relkind IN ('v', 'm')
    AND pg_catalog.starts_with(c.relname, v ->> 'begins'))
  -- Since PostgreSQL 18 attnotnull is also true while the constraint is not validated.
  WHEN 'not_null' THEN EXISTS (SELECT FROM attribute a WHERE a.attrelid = place AND a.attname = v ->> 'column'
    AND (v ->> 'is')::pg_catalog.bool = (a.attnotnull AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
      WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated)))
  END ORDER BY n), '[]')::pg_catalog.text
FROM condition
