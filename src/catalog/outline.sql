-- A table and its columns, for somebody who is about to write a plan; no row where no schema has it. $1: schemas in which to look,
-- in order, $2: the table.
SELECT json_build_object(
    'schema', n.nspname::text,
    'name', c.relname::text,
    'columns', (SELECT coalesce(json_agg(json_build_object(
          'name', a.attname::text,
          'sql', quote_ident(a.attname),
          'type_name', format_type(a.atttypid, a.atttypmod),
          'base_type', format_type(a.atttypid, -1),
          'not_null', a.attnotnull,
          'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
          'labels', (SELECT coalesce(json_agg(e.enumlabel::text ORDER BY e.enumsortorder), '[]') FROM pg_enum e WHERE e.enumtypid = a.atttypid),
          'indexes', (SELECT coalesce(json_agg(x.relname::text ORDER BY x.relname), '[]') FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
             WHERE i.indrelid = c.oid AND EXISTS (SELECT FROM pg_depend p WHERE p.refclassid = 'pg_class'::regclass AND p.refobjid = c.oid AND p.refobjsubid = a.attnum
               AND (p.classid = 'pg_class'::regclass AND p.objid = i.indexrelid
                 OR p.classid = 'pg_constraint'::regclass AND p.objid = (SELECT k.oid FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x'))))))
          ORDER BY a.attnum), '[]')
        FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
  )::text
FROM unnest($1::text[]) WITH ORDINALITY AS s(name, place)
JOIN pg_namespace n ON n.nspname = s.name
JOIN pg_class c ON c.relnamespace = n.oid
WHERE c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
ORDER BY s.place
LIMIT 1
