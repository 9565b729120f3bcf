-- The CHECK constraints and foreign keys of table $1 (oid) that mention one of columns $2, with those that its partitions and the tables
-- that inherit from it have alone, whose columns have the numbers that they have in the table (0 for those that it has not); or, if $3, the
-- foreign keys that refer to one of them.
WITH RECURSIVE member AS (
  SELECT $1::bigint::oid AS oid
  UNION
  SELECT h.inhrelid FROM pg_inherits h JOIN member m ON m.oid = h.inhparent WHERE NOT h.inhdetachpending
)
-- Triggers of foreign keys fire in the order in which they were made, which a run keeps.
SELECT coalesce(json_agg(row_to_json(x) ORDER BY CASE WHEN $3::bool THEN x.oid END, x.name COLLATE "C", x.place), '[]')::text FROM (
  SELECT CASE WHEN is_own THEN concat(cn.nspname, '.', c.relname, '.', k.conname) ELSE k.conname::text END AS name, k.conname::text AS own_name,
    CASE WHEN is_own THEN json_build_array(cn.nspname, c.relname) END AS member, k.conrelid::regclass::text AS place,
    CASE k.contype WHEN 'c' THEN
      concat('CHECK (', pg_get_expr(k.conbin, k.conrelid), ')', CASE WHEN k.connoinherit THEN ' NO INHERIT' END,
        CASE WHEN (to_jsonb(k) ->> 'conenforced')::bool = false THEN ' NOT ENFORCED' END)
    ELSE pg_get_constraintdef(k.oid) END AS definition,
    k.oid, k.convalidated AS validated,
    obj_description(k.oid, 'pg_constraint') AS comment,
    CASE WHEN is_own THEN
      (SELECT coalesce(json_agg(concat(quote_ident(a.attname), ' ', format_type(a.atttypid, a.atttypmod),
          CASE WHEN a.attcollation <> y.typcollation THEN (SELECT format(' COLLATE %I.%I', bn.nspname, o.collname)
            FROM pg_collation o JOIN pg_namespace bn ON bn.oid = o.collnamespace WHERE o.oid = a.attcollation) END) ORDER BY a.attnum), '[]')
        FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
        WHERE a.attrelid = k.conrelid AND a.attnum > 0 AND NOT a.attisdropped
          AND NOT EXISTS (SELECT FROM pg_attribute o WHERE o.attrelid = $1::bigint::oid AND o.attname = a.attname))
      ELSE '[]' END AS beside,
    array_to_json(numbers.of_table) AS attnums,
    CASE k.contype WHEN 'f' THEN json_build_object(
      'own_schema', cn.nspname, 'own_table', c.relname, 'own_columns', own.columns,
      'schema', n.nspname, 'table', r.relname, 'referenced', referred.columns,
      'same_owner', c.relowner = r.relowner,
      'plain', NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class a ON a.oid = i.inhparent WHERE c.oid IN (i.inhrelid, i.inhparent) AND a.relkind = 'r'),
      'actions', concat(CASE k.confmatchtype WHEN 'f' THEN ' MATCH FULL' END, ' ON UPDATE ', action.on_update, ' ON DELETE ', action.on_delete),
      -- Since PostgreSQL 15: the columns that ON DELETE SET NULL empties.
      'emptied', (SELECT coalesce(json_agg(json_build_array(numbers.of_table[array_position(k.conkey, a.attnum)], a.attname) ORDER BY u.n), '[]')
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
  CROSS JOIN LATERAL (SELECT NOT $3::bool AND k.conrelid <> $1::bigint::oid AS is_own) AS of_member
  CROSS JOIN LATERAL (SELECT CASE WHEN is_own THEN ARRAY(
    SELECT coalesce(o.attnum, 0::int2) FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, n)
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
    LEFT JOIN pg_attribute o ON o.attrelid = $1::bigint::oid AND o.attname = a.attname ORDER BY u.n) ELSE k.conkey END AS of_table) AS numbers
  CROSS JOIN LATERAL (SELECT json_agg(json_build_array(numbers.of_table[u.n], a.attname) ORDER BY u.n) AS columns
    FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, n) JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum) AS own
  CROSS JOIN LATERAL (SELECT json_agg(json_build_array(a.attnum, a.attname) ORDER BY u.n) AS columns
    FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, n) JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum) AS referred
  CROSS JOIN LATERAL (
    SELECT word.words[strpos('arcnd', k.confupdtype::text)] AS on_update, word.words[strpos('arcnd', k.confdeltype::text)] AS on_delete
    FROM (VALUES (ARRAY['NO ACTION', 'RESTRICT', 'CASCADE', 'SET NULL', 'SET DEFAULT'])) AS word (words)) AS action
  -- Parts go with the whole.
  WHERE k.conparentid = 0 AND CASE WHEN $3::bool THEN k.confrelid = $1::bigint::oid AND k.contype = 'f' AND k.confkey && $2::int[]::int2[]
    ELSE k.conrelid IN (SELECT oid FROM member) AND k.contype IN ('c', 'f') AND numbers.of_table && $2::int[]::int2[]
      AND (NOT is_own OR k.coninhcount = 0) END
) x
