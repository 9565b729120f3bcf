-- What hangs on columns $2 of table $1 (oid) and is made anew with them, in an order in which it can be made: kind, oid, description.
-- $3 and $4 are the beginnings of the names of crossfade's triggers. With it the schemas in which tables and views are, and the
-- table's primary key.
WITH RECURSIVE above (view, depth) AS (
  SELECT w.ev_class, 1
  FROM pg_depend d JOIN pg_rewrite w ON w.oid = d.objid AND w.ev_type = '1' AND w.ev_class <> d.refobjid
  WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1::bigint::oid AND d.refobjsubid = ANY ($2::int[])
    AND d.classid = 'pg_rewrite'::regclass
  UNION
  SELECT w.ev_class, above.depth + 1
  FROM above
  JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = above.view AND d.classid = 'pg_rewrite'::regclass
  JOIN pg_rewrite w ON w.oid = d.objid AND w.ev_type = '1' AND w.ev_class <> above.view
), hanging AS (
  SELECT DISTINCT d.classid, d.objid, d.deptype FROM pg_depend d
  WHERE d.refclassid = 'pg_class'::regclass AND (d.refobjid = $1::bigint::oid AND d.refobjsubid = ANY ($2::int[])
    OR d.classid = 'pg_proc'::regclass AND d.refobjid IN (SELECT view FROM above))
), object AS (
  SELECT CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END AS kind, 1 AS turn, max(a.depth) AS depth, c.oid,
    'pg_class'::regclass AS of_class
  FROM above a JOIN pg_class c ON c.oid = a.view AND c.relkind IN ('v', 'm') GROUP BY c.oid
  UNION ALL
  SELECT 'function', 2, 0, p.oid, 'pg_proc'::regclass FROM pg_proc p
  WHERE p.prosqlbody IS NOT NULL AND p.oid IN (SELECT objid FROM hanging WHERE classid = 'pg_proc'::regclass)
  UNION ALL
  SELECT 'policy', 3, 0, p.oid, 'pg_policy'::regclass FROM pg_policy p
  WHERE p.polrelid = $1::bigint::oid AND p.oid IN (SELECT objid FROM hanging WHERE classid = 'pg_policy'::regclass)
  UNION ALL
  SELECT 'trigger', 4, 0, g.oid, 'pg_trigger'::regclass FROM pg_trigger g
  WHERE g.tgrelid = $1::bigint::oid AND NOT g.tgisinternal AND NOT starts_with(g.tgname, $3) AND NOT starts_with(g.tgname, $4)
    AND g.oid IN (SELECT objid FROM hanging WHERE classid = 'pg_trigger'::regclass)
  UNION ALL
  SELECT 'statistics', 5, 0, s.oid, 'pg_statistic_ext'::regclass FROM pg_statistic_ext s
  WHERE s.stxrelid = $1::bigint::oid AND s.oid IN (SELECT objid FROM hanging WHERE classid = 'pg_statistic_ext'::regclass)
  UNION ALL
  SELECT 'rule', 6, 0, w.oid, 'pg_rewrite'::regclass FROM pg_rewrite w
  WHERE w.ev_class = $1::bigint::oid AND w.oid IN (SELECT objid FROM hanging WHERE classid = 'pg_rewrite'::regclass)
  UNION ALL
  SELECT 'identity', 7, 0, c.oid, 'pg_class'::regclass FROM pg_class c
  WHERE c.relkind = 'S' AND c.oid IN (SELECT objid FROM hanging WHERE classid = 'pg_class'::regclass AND deptype = 'i')
)
SELECT json_build_object(
  'objects', (SELECT coalesce(json_agg(json_build_array(kind, oid::bigint, pg_describe_object(of_class, oid, 0)) ORDER BY turn, depth, oid), '[]') FROM object),
  'schemas', (SELECT string_agg(quote_ident(n.nspname), ', ' ORDER BY n.turn, n.nspname) FROM (
    SELECT n.nspname, min(CASE c.oid WHEN $1::bigint::oid THEN 0 ELSE 1 END) AS turn
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = $1::bigint::oid OR c.oid IN (SELECT oid FROM object WHERE kind IN ('view', 'materialized view')) GROUP BY n.nspname) n),
  'key', (SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1::bigint::oid AND contype = 'p'))::text
