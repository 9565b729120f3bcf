-- What is left of a run's own objects. $1: the ledger's schema, $2: the run's tag, $3: the oid of its table,
-- $4: prefix of the run's names, $5: prefixes of the run's triggers.
SELECT json_build_object(
  'triggers', (SELECT coalesce(json_agg(t.tgname::text), '[]') FROM pg_trigger t
    WHERE t.tgrelid = $3::bigint::oid AND NOT t.tgisinternal 
      AND EXISTS (SELECT FROM unnest($5::text[]) AS own WHERE starts_with(t.tgname::text, own))),
  'constraints', (SELECT coalesce(json_agg(k.conname::text), '[]') FROM pg_constraint k
    WHERE k.conrelid = $3::bigint::oid AND starts_with(k.conname::text, $4)),
  'indexes', (SELECT coalesce(json_agg(c.relname::text), '[]') FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = $3::bigint::oid AND starts_with(c.relname::text, $4)
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid)),
  'functions', (SELECT coalesce(json_agg(p.oid::regprocedure::text ORDER BY p.proname LIKE 'sync\_%' DESC), '[]')
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = $1 AND strpos(p.proname::text, '_' || $2) > 0),
  'sequences', (SELECT coalesce(json_agg(c.relname::text), '[]') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relkind = 'S' AND strpos(c.relname::text, '_' || $2) > 0)
)::text
