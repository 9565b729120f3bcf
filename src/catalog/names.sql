-- Which of the names that a run will need are taken. $1: the table's oid, $2: prefix of the run's names,
-- $3: names of indexes that the plan adds, $7: names of constraints that it adds, $4: the run's tag, $5: the ledger's schema, $6: prefixes of the run's triggers.
SELECT coalesce(json_agg(DISTINCT o.description ORDER BY o.description), '[]')::text FROM (
  SELECT pg_describe_object('pg_class'::regclass, c.oid, 0) AS description FROM pg_class c
    WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = $1::bigint::oid)
      AND (starts_with(c.relname::text, $2) OR c.relname = ANY ($3::text[]))
  UNION ALL
  SELECT pg_describe_object('pg_class'::regclass, a.attrelid, a.attnum) FROM pg_attribute a
    WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped AND starts_with(a.attname::text, $2)
  UNION ALL
  SELECT pg_describe_object('pg_constraint'::regclass, k.oid, 0) FROM pg_constraint k
    WHERE k.conrelid = $1::bigint::oid AND (starts_with(k.conname::text, $2) OR k.conname = ANY ($7::text[]))
  UNION ALL
  SELECT pg_describe_object('pg_trigger'::regclass, t.oid, 0) FROM pg_trigger t
    WHERE t.tgrelid = $1::bigint::oid AND EXISTS (SELECT FROM unnest($6::text[]) AS prefix WHERE starts_with(t.tgname::text, prefix))
  UNION ALL
  SELECT pg_describe_object('pg_proc'::regclass, p.oid, 0) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = $5 AND strpos(p.proname::text, '_' || $4) > 0
  UNION ALL
  SELECT pg_describe_object('pg_class'::regclass, c.oid, 0) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $5 AND strpos(c.relname::text, '_' || $4) > 0
) o
