-- The triggers of table $1 (oid) that give their function the name of one of the columns $2 as an argument, and whether the function
-- asks which columns an UPDATE names. PostgreSQL keeps arguments one after the other, with a zero byte behind each.
SELECT coalesce(json_agg(row_to_json(x) ORDER BY x.trigger, x.column), '[]')::text FROM (
  SELECT t.tgname::text AS trigger, t.tgfoid::regproc::text AS function, a.name AS column,
    l.lanname IN ('internal', 'c') AND CASE WHEN p.prosrc IN ('tsvector_update_trigger_byid', 'tsvector_update_trigger_bycolumn')
      -- The first is the one that it fills.
      THEN a.quoted = ANY (t.arguments[2:]) ELSE p.prosrc = 'lo_manage' END AS asks
  FROM (SELECT tgname, tgfoid, string_to_array(encode(tgargs, 'escape'), '\000') AS arguments
        FROM pg_trigger WHERE tgrelid = $1::bigint::oid AND NOT tgisinternal AND tgnargs > 0) t
  JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_language l ON l.oid = p.prolang,
  (SELECT name, encode(convert_to(name, getdatabaseencoding()), 'escape') AS quoted FROM unnest($2::text[]) AS u (name)) a
  WHERE a.quoted = ANY (t.arguments)
) x
