-- What else is at work on the table, and on its partitions or on tables that inherit from it alone. $1: the table's oid, $2, $3: what the names of our first and
-- our last triggers begin with.
WITH RECURSIVE member AS (
  SELECT $1::bigint::oid AS oid
  UNION
  SELECT i.inhrelid FROM pg_inherits i JOIN member m ON m.oid = i.inhparent WHERE NOT i.inhdetachpending
)
SELECT row_to_json(x)::text FROM (
  SELECT (SELECT coalesce(json_agg(row_to_json(t) ORDER BY t.name), '[]') FROM (
       SELECT DISTINCT g.tgname::text AS name,
         r.relkind = 'p' OR g.tgrelid <> r.oid AS of_members,
         g.tgenabled IN ('O', 'A') AS enabled,
         (g.tgtype & 1) <> 0 AS per_row, (g.tgtype & 2) <> 0 AS before,
         (g.tgtype & 4) <> 0 AS on_insert, (g.tgtype & 16) <> 0 AS on_update,
         cardinality(g.tgattr::int2[]) > 0 AS by_column,
         CASE WHEN g.tgrelid = r.oid THEN g.tgattr::int2[]
           ELSE ARRAY(SELECT o.attnum FROM unnest(g.tgattr::int2[]) u (attnum) JOIN pg_attribute a ON (a.attrelid, a.attnum) = (g.tgrelid, u.attnum)
             JOIN pg_attribute o ON o.attrelid = r.oid AND o.attname = a.attname) END AS attnums,
         (SELECT min(a.attname::text) FROM unnest(g.tgattr::int2[]) u (attnum)
            JOIN pg_attribute a ON (a.attrelid, a.attnum) = (g.tgrelid, u.attnum) WHERE a.attgenerated = 's') AS generated,
         g.tgname::text COLLATE "C" < $2::text COLLATE "C" AS sorts_before_ours,
         g.tgname::text COLLATE "C" > $3::text COLLATE "C" AS sorts_after_ours
       FROM pg_trigger g
       WHERE (g.tgrelid = r.oid OR g.tgrelid IN (SELECT oid FROM member) AND g.tgparentid = 0) AND NOT g.tgisinternal AND NOT starts_with(g.tgname::text, $2) AND NOT starts_with(g.tgname::text, $3)) t) AS triggers,
    (SELECT coalesce(json_agg(json_build_array(rulename::text, ev_type = '2' AND is_instead) ORDER BY rulename), '[]')
       FROM pg_rewrite WHERE ev_class = r.oid) AS rules,
    (SELECT coalesce(json_agg(s.subname::text ORDER BY s.subname), '[]')
       FROM pg_subscription_rel sr JOIN pg_subscription s ON s.oid = sr.srsubid WHERE sr.srrelid = r.oid) AS subscriptions,
    -- Columns of other relations (views too) whose type is this table's row.
    (SELECT coalesce(json_agg(pg_describe_object('pg_class'::regclass, a.attrelid, a.attnum) ORDER BY 1), '[]')
       FROM pg_type y JOIN pg_attribute a ON a.atttypid IN (y.oid, y.typarray) AND NOT a.attisdropped AND a.attnum > 0
       WHERE y.typrelid = r.oid) AS row_columns,
    -- Views and functions that read whole rows.
    (SELECT coalesce(json_agg(DISTINCT o.description), '[]') FROM (
       -- First the rules that depend on the table, then their texts: those of all views of the database are megabytes.
       SELECT pg_describe_object('pg_class'::regclass, w.ev_class, 0) AS description
         FROM (SELECT d.objid FROM pg_depend d
             WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid
               AND d.refobjsubid = 0 OFFSET 0) d,
           LATERAL (SELECT w.ev_class, w.ev_action FROM pg_rewrite w WHERE w.oid = d.objid AND w.ev_class <> r.oid OFFSET 0) w
         WHERE w.ev_action::text ~ ':varattno 0 '
       UNION ALL
       SELECT pg_describe_object(d.classid, d.objid, 0) FROM pg_depend d
         JOIN pg_type y ON d.refclassid = 'pg_type'::regclass AND d.refobjid IN (y.oid, y.typarray)
         WHERE y.typrelid = r.oid AND d.classid = 'pg_proc'::regclass) o) AS row_users
  FROM pg_class r WHERE r.oid = $1::bigint::oid
) x
