-- The CHECK constraints and foreign keys of table $1 (oid) that mention one of columns $2; or, if $3, the foreign keys that refer
-- to one of them.
SELECT coalesce(json_agg(row_to_json(x) ORDER BY x.place, x.name), '[]')::text FROM (
  SELECT k.conname::text AS name, k.conrelid::regclass::text AS place,
    CASE k.contype WHEN 'c' THEN
      concat('CHECK (', pg_get_expr(k.conbin, k.conrelid), ')', CASE WHEN k.connoinherit THEN ' NO INHERIT' END,
        CASE WHEN (to_jsonb(k) ->> 'conenforced')::bool = false THEN ' NOT ENFORCED' END)
    ELSE pg_get_constraintdef(k.oid) END AS definition,
    k.convalidated AS validated,
    obj_description(k.oid, 'pg_constraint') AS comment,
    array_to_json(k.conkey) AS attnums,
    CASE k.contype WHEN 'f' THEN json_build_object(
      'own_schema', cn.nspname, 'own_table', c.relname, 'own_columns', own.columns,
      'schema', n.nspname, 'table', r.relname, 'referenced', referred.columns,
      'same_owner', c.relowner = r.relowner,
      'plain', c.relkind = 'r' AND NOT c.relispartition AND k.conparentid = 0
        AND NOT EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent)),
      'actions', concat(CASE k.confmatchtype WHEN 'f' THEN ' MATCH FULL' END, ' ON UPDATE ', action.on_update, ' ON DELETE ', action.on_delete),
      -- Since PostgreSQL 15: the columns that ON DELETE SET NULL empties.
      'emptied', (SELECT coalesce(json_agg(json_build_array(a.attnum, a.attname) ORDER BY u.n), '[]')
        FROM json_array_elements_text(to_json(k) -> 'confdelsetcols') WITH ORDINALITY AS u (attnum, n)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum::int2
        WHERE json_typeof(to_json(k) -> 'confdelsetcols') = 'array'),
      'attributes', concat(CASE WHEN k.condeferred THEN ' DEFERRABLE INITIALLY DEFERRED' WHEN k.condeferrable THEN ' DEFERRABLE' END,
        CASE WHEN (to_jsonb(k) ->> 'conenforced')::bool = false THEN ' NOT ENFORCED' END),
      'temporal', coalesce((to_jsonb(k) ->> 'conperiod')::bool, false)) END AS key
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid
  JOIN pg_namespace cn ON cn.oid = c.relnamespace
  LEFT JOIN pg_class r ON r.oid = k.confrelid
  LEFT JOIN pg_namespace n ON n.oid = r.relnamespace
  CROSS JOIN LATERAL (SELECT json_agg(json_build_array(a.attnum, a.attname) ORDER BY u.n) AS columns
    FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, n) JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum) AS own
  CROSS JOIN LATERAL (SELECT json_agg(json_build_array(a.attnum, a.attname) ORDER BY u.n) AS columns
    FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, n) JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum) AS referred
  CROSS JOIN LATERAL (
    SELECT word.words[strpos('arcnd', k.confupdtype::text)] AS on_update, word.words[strpos('arcnd', k.confdeltype::text)] AS on_delete
    FROM (VALUES (ARRAY['NO ACTION', 'RESTRICT', 'CASCADE', 'SET NULL', 'SET DEFAULT'])) AS word (words)) AS action
  WHERE CASE WHEN $3::bool THEN k.confrelid = $1::bigint::oid AND k.contype = 'f' AND k.confkey && $2::int[]::int2[]
    ELSE k.conrelid = $1::bigint::oid AND k.contype IN ('c', 'f') AND k.conkey && $2::int[]::int2[] END
) x
