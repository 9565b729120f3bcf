-- The trigger $2 of table $1 (oid), its arguments one by one, and what stands against other ones. PostgreSQL keeps arguments one after
-- the other, with a zero byte behind each, and prints them in single quotes.
SELECT row_to_json(x)::text FROM (
  SELECT f.arguments, t.tgfoid::regprocedure::text AS function, d.extension,
    CASE WHEN t.tgconstraint <> 0 THEN 'constraint' WHEN t.tgparentid <> 0 THEN 'parent' WHEN d.extension IS NOT NULL THEN 'extension'
      WHEN NOT has_function_privilege(t.tgfoid, 'EXECUTE') THEN 'execute'
      WHEN right(pg_get_triggerdef(t.oid), length(f.list)) <> f.list THEN 'print' END AS flaw
  FROM pg_trigger t
  LEFT JOIN LATERAL (
    -- It belongs to it, or was made to go with it.
    SELECT e.extname::text AS extension FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.classid = 'pg_trigger'::regclass AND d.objid = t.oid AND d.refclassid = 'pg_extension'::regclass LIMIT 1) d ON true,
  LATERAL (
    SELECT coalesce(array_agg(a.text ORDER BY a.n), '{}') AS arguments,
      '(' || coalesce(string_agg('''' || replace(a.text, '''', '''''') || '''', ', ' ORDER BY a.n), '') || ')' AS list
    FROM (SELECT convert_from(decode(m.part[1], 'hex'), getdatabaseencoding()) AS text, m.n
          FROM regexp_matches(encode(t.tgargs, 'hex'), '((?:(?!00)[0-9a-f]{2})*)00', 'g') WITH ORDINALITY AS m (part, n)) a) f
  WHERE t.tgrelid = $1::bigint::oid AND t.tgname::text = $2 AND NOT t.tgisinternal
) x
