-- The constraints of table $1 (oid) that hold for new rows and may not hold for others, and the size of its largest part.
SELECT coalesce(json_agg(row_to_json(x) ORDER BY x.name), '[]')::text FROM (
  SELECT k.conname AS name,
    CASE k.contype WHEN 'c' THEN pg_get_expr(k.conbin, k.conrelid) ELSE format('(%I IS NOT NULL)', a.attname) END AS holds,
    (SELECT max(pg_relation_size(t.relid) / current_setting('block_size')::bigint)
      FROM (SELECT k.conrelid AS relid UNION SELECT relid FROM pg_partition_tree(k.conrelid)) t) AS pages
  FROM pg_constraint k
  LEFT JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
  WHERE k.conrelid = $1::bigint::oid AND k.contype IN ('c', 'n') AND NOT k.convalidated
    AND (to_jsonb(k) ->> 'conenforced')::bool IS DISTINCT FROM false
) x
