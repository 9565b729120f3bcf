-- The views above columns $2 of table $1 (oid), which are made anew with them, and what stands in the way. What is to take the place of
-- another stands for that (RunTag::twin_views).
WITH RECURSIVE above (view) AS (
  SELECT w.ev_class
  FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid AND w.ev_type = '1' AND w.ev_class <> d.refobjid
  WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = $1::bigint::oid AND d.refobjsubid = ANY ($2::int[])
    AND d.classid = 'pg_catalog.pg_rewrite'::regclass
  UNION
  SELECT w.ev_class
  FROM above
  JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = above.view
    AND d.classid = 'pg_catalog.pg_rewrite'::regclass
  JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid AND w.ev_type = '1' AND w.ev_class <> above.view
), view AS (
  SELECT c.*, n.nspname, pg_catalog.pg_describe_object('pg_catalog.pg_class'::regclass, c.oid, 0) AS description
  FROM above
  JOIN pg_catalog.pg_class t ON t.oid = above.view
  JOIN pg_catalog.pg_class c ON c.relkind = t.relkind
    AND c.oid::text = CASE WHEN t.relname ~ '^cf_[0-9a-f]{8}_mv[0-9]+$' THEN substr(t.relname, 15) ELSE t.oid::text END
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
), routine AS (
  SELECT p.*, n.nspname, pg_catalog.pg_describe_object('pg_catalog.pg_proc'::regclass, p.oid, 0) AS description
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE p.prosqlbody IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
      AND (d.refobjid = $1::bigint::oid AND d.refobjsubid = ANY ($2::int[]) OR d.refobjid IN (SELECT view FROM above UNION SELECT oid FROM view)))
), obstacle AS (
  SELECT v.description, 'belongs to role "' || pg_catalog.pg_get_userbyid(v.relowner) || '", as which this session may not act' AS why,
    'GRANT that role to the one that runs crossfade, or drop the view for the run' AS help
  FROM view v WHERE NOT pg_catalog.pg_has_role(v.relowner, 'USAGE')
  UNION ALL
  -- Who is no superuser may give the view only to an owner who could have made it.
  SELECT v.description, 'is in schema "' || v.nspname || '", in which role "' || r.rolname || '" may not create it again',
    'GRANT CREATE ON SCHEMA to that role, or drop the view for the run'
  FROM view v JOIN pg_catalog.pg_roles r
    ON r.rolname = current_user OR r.oid = v.relowner AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
  WHERE NOT pg_catalog.has_schema_privilege(r.oid, v.relnamespace, 'CREATE')
  UNION ALL
  SELECT r.description, CASE WHEN pg_catalog.pg_has_role(r.proowner, 'USAGE') THEN 'is in schema "' || r.nspname || '", in which this role may not create it again'
      ELSE 'belongs to role "' || pg_catalog.pg_get_userbyid(r.proowner) || '", as which this session may not act' END,
    'GRANT what is missing to the role that runs crossfade, or drop the function for the run'
  FROM routine r WHERE NOT (pg_catalog.pg_has_role(r.proowner, 'USAGE') AND pg_catalog.has_schema_privilege(r.pronamespace, 'CREATE'))
  UNION ALL
  SELECT r.description, 'is LEAKPROOF, which only a superuser may say of a function', 'run crossfade as a superuser, or drop the function for the run'
  FROM routine r WHERE r.proleakproof AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
  UNION ALL
  SELECT v.description, 'belongs to an extension', 'drop what of the extension reads the column for the run'
  FROM view v WHERE EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = v.oid AND d.deptype = 'e')
  UNION ALL
  SELECT v.description, 'has a security label', 'remove the label, or drop the view for the run'
  FROM view v WHERE EXISTS (SELECT FROM pg_catalog.pg_seclabel s WHERE s.classoid = 'pg_catalog.pg_class'::regclass AND s.objoid = v.oid)
  UNION ALL
  -- What would not let it be dropped: all but what goes, and comes again, with it.
  SELECT DISTINCT v.description, 'is used by ' || pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid),
    'drop that before the run, and create it again once the column has the new type'
  FROM view v
  JOIN pg_catalog.pg_type y ON y.oid = v.reltype
  JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = v.oid
    OR d.refclassid = 'pg_catalog.pg_type'::regclass AND d.refobjid IN (y.oid, y.typarray)
  LEFT JOIN pg_catalog.pg_rewrite w ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND w.oid = d.objid
  LEFT JOIN pg_catalog.pg_trigger g ON d.classid = 'pg_catalog.pg_trigger'::regclass AND g.oid = d.objid
  LEFT JOIN pg_catalog.pg_attrdef f ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND f.oid = d.objid
  LEFT JOIN pg_catalog.pg_index i ON d.classid = 'pg_catalog.pg_class'::regclass AND i.indexrelid = d.objid
  LEFT JOIN pg_catalog.pg_statistic_ext s ON d.classid = 'pg_catalog.pg_statistic_ext'::regclass AND s.oid = d.objid
  WHERE NOT (d.classid = 'pg_catalog.pg_type'::regclass AND d.objid IN (y.oid, y.typarray))
    AND w.ev_class IS DISTINCT FROM v.oid AND NOT (w.ev_type IS NOT DISTINCT FROM '1' AND w.ev_class IN (SELECT view FROM above UNION SELECT oid FROM view))
    AND g.tgrelid IS DISTINCT FROM v.oid AND f.adrelid IS DISTINCT FROM v.oid
    AND i.indrelid IS DISTINCT FROM v.oid AND s.stxrelid IS DISTINCT FROM v.oid
    AND NOT (d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = v.reltoastrelid)
    AND NOT (d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid IN (SELECT oid FROM routine) AND d.refclassid = 'pg_catalog.pg_class'::regclass)
  UNION ALL
  SELECT pg_catalog.pg_describe_object('pg_catalog.pg_statistic_ext'::regclass, s.oid, 0),
    'belongs to role "' || pg_catalog.pg_get_userbyid(s.stxowner) || '", as which this session may not act',
    'GRANT that role to the one that runs crossfade, or drop it for the run'
  FROM pg_catalog.pg_statistic_ext s
  WHERE (s.stxrelid = $1::bigint::oid OR s.stxrelid IN (SELECT oid FROM view)) AND NOT pg_catalog.pg_has_role(s.stxowner, 'USAGE')
)
SELECT json_build_object(
  'views', (SELECT coalesce(json_agg(description ORDER BY description), '[]') FROM (
    SELECT description FROM view UNION SELECT description FROM routine) x),
  'materialized_views', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM (
    SELECT DISTINCT pg_catalog.format('%I.%I', nspname, relname) AS name FROM view WHERE relkind = 'm') x),
  'obstacles', (SELECT coalesce(json_agg(json_build_array(description, why, help) ORDER BY description, why), '[]') FROM obstacle))::text
