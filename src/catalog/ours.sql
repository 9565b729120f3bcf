-- Everything of crossfade in this database, names quoted for SQL. $1: the ledger's schema, $2: the tables, views and functions of
-- every ledger. A run's own names have its tag. What belongs to a script of `plan --format sql`, or to a ledger in another
-- schema, is not listed.
WITH ledger AS (
    SELECT n.oid, pg_has_role(n.nspowner, 'MEMBER') AS is_owned FROM pg_namespace n WHERE n.nspname = $1
), elsewhere AS (
    -- Another ledger may know of any of them.
    SELECT '.*' AS tag FROM pg_class c WHERE c.relname = 'page_window' AND c.relkind = 'r' AND c.relnamespace NOT IN (SELECT oid FROM ledger)
      AND EXISTS (SELECT FROM pg_class k WHERE k.relname = 'claim' AND k.relkind = 'r' AND k.relnamespace = c.relnamespace)
    UNION ALL
    SELECT substr(n.nspname::text, 11) FROM pg_namespace n WHERE n.nspname ~ '^crossfade_[0-9a-f]{8}$' AND n.oid NOT IN (SELECT oid FROM ledger)
), named AS (
    SELECT format('%I.%I', n.nspname, c.relname) AS relation, c.oid, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname <> ALL (ARRAY['pg_catalog', 'pg_toast', 'information_schema']) AND n.nspname !~ '^pg_(toast_)?temp_'
), parts AS (
    SELECT 'constraints' AS kind, t.relation, k.conname::text AS name FROM pg_constraint k JOIN named t ON t.oid = k.conrelid
    WHERE k.contype = 'c' AND k.conname ~ '^cf_[0-9a-f]{8}_nn(_old)?[0-9]+$'
    UNION ALL
    SELECT 'indexes', format('%I', n.nspname), c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname ~ '^cf_[0-9a-f]{8}_(ix|mirror_ix|mirror_add|mirror_new)[0-9]+$'
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
    UNION ALL
    -- A mirror has nothing that its column has not. Any other column may have the only copy of its values.
    SELECT CASE WHEN a.attname ~ '^cf_[0-9a-f]{8}_mirror_' THEN 'mirrors' ELSE 'columns' END, t.relation, a.attname::text
    FROM pg_attribute a JOIN named t ON t.oid = a.attrelid AND t.relkind IN ('r', 'p')
    WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attname ~ '^cf_[0-9a-f]{8}_(mirror|old|swap)_'
), part AS (
    SELECT p.kind, p.relation, format('%I', p.name) AS name FROM parts p
    WHERE NOT EXISTS (SELECT FROM elsewhere e WHERE substr(p.name, 4, 8) ~ ('^' || e.tag || '$'))
)
SELECT json_build_object(
  'is_owned', COALESCE((SELECT is_owned FROM ledger), false),
  'triggers', (SELECT coalesce(json_agg(json_build_array(t.relation, format('%I', g.tgname)) ORDER BY t.relation, g.tgname), '[]')
    FROM pg_trigger g JOIN named t ON t.oid = g.tgrelid JOIN pg_proc p ON p.oid = g.tgfoid
    WHERE NOT g.tgisinternal AND p.pronamespace IN (SELECT oid FROM ledger) AND g.tgname ~ '^(!!|~~)crossfade_[0-9a-f]{8}_'),
  'constraints', (SELECT coalesce(json_agg(json_build_array(relation, name) ORDER BY relation, name), '[]') FROM part WHERE kind = 'constraints'),
  'indexes', (SELECT coalesce(json_agg(json_build_array(relation, name) ORDER BY relation, name), '[]') FROM part WHERE kind = 'indexes'),
  'mirrors', (SELECT coalesce(json_agg(json_build_array(relation, name) ORDER BY relation, name), '[]') FROM part WHERE kind = 'mirrors'),
  'columns', (SELECT coalesce(json_agg(json_build_array(relation, name) ORDER BY relation, name), '[]') FROM part WHERE kind = 'columns'),
  'views', (SELECT coalesce(json_agg(format('%I.%I', $1, c.relname) ORDER BY c.relname), '[]') FROM pg_class c
    WHERE c.relnamespace IN (SELECT oid FROM ledger) AND c.relkind = 'v' AND c.relname = ANY ($2::text[])),
  'tables', (SELECT coalesce(json_agg(format('%I.%I', $1, c.relname) ORDER BY c.relname), '[]') FROM pg_class c
    WHERE c.relnamespace IN (SELECT oid FROM ledger) AND c.relkind = 'r' AND c.relname = ANY ($2::text[])),
  'sequences', (SELECT coalesce(json_agg(format('%I.%I', $1, c.relname) ORDER BY c.relname), '[]') FROM pg_class c
    WHERE c.relnamespace IN (SELECT oid FROM ledger) AND c.relkind = 'S' AND c.relname ~ '^(old|new|conflict)_[0-9a-f]{8}$'),
  'functions', (SELECT coalesce(json_agg(p.oid::regprocedure::text ORDER BY p.oid::regprocedure::text), '[]') FROM pg_proc p
    WHERE p.pronamespace IN (SELECT oid FROM ledger)
      AND (p.proname = ANY ($2::text[]) OR p.proname ~ '^[a-z]+_[0-9a-f]{8}(_[a-z]+[0-9]+)?$'))
)::text
