-- What hangs on a table whose column $2 (number $3) is taken over. $1: the table's oid, $4: the old column's number, $5, $6:
-- what the names of our first and our last triggers begin with.
SELECT json_build_object(
  'triggers', (SELECT coalesce(json_agg(row_to_json(t) ORDER BY t.name), '[]') FROM (
    SELECT g.tgname::text AS name,
      CASE g.tgenabled WHEN 'O' THEN 'ENABLE' WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' END AS enabled,
      p.oid::regprocedure::text AS function,
      concat_ws(' ', p.prosrc, replace(encode(g.tgargs, 'escape'), '\000', ' ')) AS source,
      $3::int2 = ANY (g.tgattr::int2[]) OR EXISTS (SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_trigger'::regclass AND d.objid = g.oid AND d.refclassid = 'pg_class'::regclass
          AND d.refobjid = g.tgrelid AND d.refobjsubid = $3::int) AS depends
    FROM pg_trigger AS g JOIN pg_proc AS p ON p.oid = g.tgfoid
    WHERE g.tgrelid = $1::bigint::oid AND NOT g.tgisinternal
      AND NOT starts_with(g.tgname::text, $5) AND NOT starts_with(g.tgname::text, $6)) AS t),
  'indexes', (SELECT coalesce(json_agg(row_to_json(i) ORDER BY i.name), '[]') FROM (
    SELECT c.relname::text AS name, format('%I.%I', n.nspname, c.relname) AS qualified,
      x.indisunique OR x.indisexclusion AS checks,
      x.indexprs IS NOT NULL OR x.indpred IS NOT NULL AS computes,
      EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = x.indrelid AND d.refobjsubid = $4::int) AS of_both
    FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE x.indrelid = $1::bigint::oid AND EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass
      AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = x.indrelid AND d.refobjsubid = $3::int)) AS i)
)::text
