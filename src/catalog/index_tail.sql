-- The definition of an index of the rehearsal behind its table's name; NULL if it does not have the expected form.
-- $1: the index.
SELECT (SELECT substr(def, length(prefix) + 1)
  FROM unnest(ARRAY['pg_temp', n.nspname]) schema,
    format('CREATE %sINDEX %I ON %I.%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, x.relname, schema, t.relname) prefix,
    pg_get_indexdef(i.indexrelid) def
  WHERE starts_with(def, prefix) LIMIT 1)
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE i.indexrelid = $1::text::regclass
