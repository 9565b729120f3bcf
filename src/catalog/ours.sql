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
    -- What PostgreSQL has made in partitions and children goes with what it was made for. Foreign keys come before what they refer to.
    SELECT 'constraints' AS kind, t.relation, k.conname::text AS name, k.contype <> 'f' AS is_later FROM pg_constraint k JOIN named t ON t.oid = k.conrelid
    WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0 AND k.coninhcount = 0
      AND k.conname ~ '^cf_[0-9a-f]{8}_(nn|nn_old|con|fk|ix|mirror_ix|mirror_add|mirror_new)[0-9]+(_[0-9]+)?$'
    UNION ALL
    SELECT 'indexes', format('%I', n.nspname), c.relname::text, false FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname ~ '^cf_[0-9a-f]{8}_(ix|mirror_ix|mirror_add|mirror_new)[0-9]+(_[0-9]+)?$' AND NOT c.relispartition
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
    UNION ALL
    -- A mirror has nothing that its column has not. Any other column may have the only copy of its values.
    SELECT CASE WHEN a.attname ~ '^cf_[0-9a-f]{8}_mirror_' THEN 'mirrors' ELSE 'columns' END, t.relation, a.attname::text, false
    FROM pg_attribute a JOIN named t ON t.oid = a.attrelid AND t.relkind IN ('r', 'p')
    WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attinhcount = 0 AND a.attname ~ '^cf_[0-9a-f]{8}_(mirror|old|swap)_'
    UNION ALL
    -- What was there before the run, under another name.
    SELECT 'old constraints', t.relation, k.conname::text, false FROM pg_constraint k JOIN named t ON t.oid = k.conrelid
    WHERE k.conparentid = 0 AND k.coninhcount = 0 AND k.conname ~ '^cf_[0-9a-f]{8}_old_(ix|con|fk|nn)[0-9]+(_[0-9]+)?$'
    UNION ALL
    SELECT 'old indexes', format('%I', n.nspname), c.relname::text, false FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname ~ '^cf_[0-9a-f]{8}_old_ix[0-9]+(_[0-9]+)?$' AND NOT c.relispartition
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
), part AS (
    SELECT p.kind, p.relation, format('%I', p.name) AS name, p.is_later FROM parts p
    WHERE NOT EXISTS (SELECT FROM elsewhere e WHERE substr(p.name, 4, 8) ~ ('^' || e.tag || '$'))
), hidden AS (
    -- Twins of views, empty or not yet in their place, and views that were there before.
    SELECT c.oid, c.relname ~ '_under[0-9]+$' AS is_old, CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS kind,
      format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm') AND c.relname ~ '^cf_[0-9a-f]{8}_(mv|under)[0-9]+$'
      AND NOT EXISTS (SELECT FROM elsewhere e WHERE substr(c.relname, 4, 8) ~ ('^' || e.tag || '$'))
)
SELECT json_build_object(
  'is_owned', COALESCE((SELECT is_owned FROM ledger), false),
  'triggers', (SELECT coalesce(json_agg(json_build_array(t.relation, format('%I', g.tgname)) ORDER BY t.relation, g.tgname), '[]')
    FROM pg_trigger g JOIN named t ON t.oid = g.tgrelid JOIN pg_proc p ON p.oid = g.tgfoid
    WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND p.pronamespace IN (SELECT oid FROM ledger) AND g.tgname ~ '^(!!|~~)crossfade_[0-9a-f]{8}_'),
  'constraints', (SELECT coalesce(json_agg(json_build_array(relation, name) ORDER BY is_later, relation, name), '[]') FROM part WHERE kind = 'constraints'),
  'indexes', (SELECT coalesce(json_agg(json_build_array(relation, name) ORDER BY relation, name), '[]') FROM part WHERE kind = 'indexes'),
  'mirrors', (SELECT coalesce(json_agg(json_build_array(relation, name) ORDER BY relation, name), '[]') FROM part WHERE kind = 'mirrors'),
  'columns', (SELECT coalesce(json_agg(json_build_array(relation, name) ORDER BY relation, name), '[]') FROM part WHERE kind = 'columns'),
  'old_constraints', (SELECT coalesce(json_agg(json_build_array(relation, name) ORDER BY relation, name), '[]') FROM part WHERE kind = 'old constraints'),
  'old_indexes', (SELECT coalesce(json_agg(json_build_array(relation, name) ORDER BY relation, name), '[]') FROM part WHERE kind = 'old indexes'),
  'twins', (SELECT coalesce(json_agg(json_build_array(kind, name) ORDER BY oid DESC), '[]') FROM hidden WHERE NOT is_old),
  'old_views', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM hidden WHERE is_old),
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
