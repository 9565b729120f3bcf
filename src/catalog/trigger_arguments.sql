-- The triggers of table $1 (oid) that give their function the name of one of the columns $2 as an argument. PostgreSQL keeps
-- arguments one after the other, with a zero byte behind each.
SELECT coalesce(json_agg(row_to_json(x) ORDER BY x.trigger, x.column), '[]')::text FROM (
  SELECT t.tgname::text AS trigger, t.tgfoid::regproc::text AS function, a.name AS column
  FROM pg_trigger t, unnest($2::text[]) AS a (name)
  WHERE t.tgrelid = $1::bigint::oid AND NOT t.tgisinternal AND t.tgnargs > 0
    AND encode(convert_to(a.name, getdatabaseencoding()), 'escape') = ANY (string_to_array(encode(t.tgargs, 'escape'), '\000'))
) x
