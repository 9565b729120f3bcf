-- All columns of a table, system columns too. $1: the table's oid.
SELECT coalesce(json_agg(row_to_json(x) ORDER BY x.attnum), '[]')::text FROM (
  SELECT a.attnum,
    a.attname::text AS name,
    format_type(a.atttypid, a.atttypmod) AS type_name,
    format_type(a.atttypid, -1) AS base_type,
    CASE WHEN t.typtype = 'd' THEN json_build_object('type_name', format_type(r.base, r.base_mod), 'unlimited', format_type(r.base, -1),
      'collate', CASE WHEN a.attcollation <> (SELECT typcollation FROM pg_type WHERE oid = r.base)
         THEN (SELECT format(' COLLATE %I.%I', cn.nspname, o.collname)
                 FROM pg_collation o JOIN pg_namespace cn ON cn.oid = o.collnamespace WHERE o.oid = a.attcollation)
      END) END AS domain_base,
    a.atttypmod AS type_mod,
    a.atttypid::bigint AS type_oid,
    CASE WHEN a.attcollation <> t.typcollation
         THEN (SELECT format(' COLLATE %I.%I', cn.nspname, o.collname)
                 FROM pg_collation o JOIN pg_namespace cn ON cn.oid = o.collnamespace WHERE o.oid = a.attcollation)
    END AS collate,
    a.attcollation::bigint AS collation_oid,
    t.typtype = 'e' AS enum,
    coalesce((SELECT collisdeterministic FROM pg_collation WHERE oid = a.attcollation), true) AS deterministic,
    a.attnotnull AS not_null,
    k.conname::text AS not_null_constraint,
    coalesce(k.convalidated, true) AS not_null_validated,
    coalesce(k.connoinherit OR obj_description(k.oid, 'pg_constraint') IS NOT NULL, false) AS not_null_special,
    CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END AS default,
    CASE WHEN t.typdefaultbin IS NOT NULL THEN pg_get_expr(t.typdefaultbin, 0)
         WHEN t.typdefault IS NOT NULL THEN format('CAST(%L AS %s)', t.typdefault, format_type(a.atttypid, a.atttypmod))
    END AS type_default,
    CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by_default' END AS identity,
    CASE WHEN a.attgenerated <> '' THEN json_build_object('sql', pg_get_expr(d.adbin, d.adrelid), 'reads', (
      SELECT coalesce(json_agg(json_build_object('name', s.attname, 'base_type', format_type(s.atttypid, -1), 'collate', coalesce(
          CASE WHEN s.attcollation <> st.typcollation THEN (SELECT format(' COLLATE %I.%I', cn.nspname, o.collname)
            FROM pg_collation o JOIN pg_namespace cn ON cn.oid = o.collnamespace WHERE o.oid = s.attcollation) END, '')) ORDER BY s.attnum), '[]')
      FROM pg_attribute s JOIN pg_type st ON st.oid = s.atttypid
      WHERE s.attrelid = a.attrelid AND EXISTS (SELECT FROM pg_depend e
        WHERE (e.classid = 'pg_attrdef'::regclass AND e.objid = d.oid
          OR e.classid = 'pg_class'::regclass AND (e.objid, e.objsubid) = (a.attrelid, a.attnum))
        AND e.refclassid = 'pg_class'::regclass AND e.refobjid = a.attrelid AND e.refobjsubid = s.attnum AND s.attnum <> a.attnum)
    )) END AS generated,
    -- What in its expression runs somebody's code, or code that the table's owner may not run: functions and operators that are neither
    -- in C nor the server's own, domains, and types that may have domains in them. What PostgreSQL comes with is in no dependency.
    CASE WHEN a.attgenerated <> '' THEN (
      WITH used AS (SELECT e.refclassid, e.refobjid FROM pg_depend e
        WHERE e.classid = 'pg_attrdef'::regclass AND e.objid = d.oid
          OR e.classid = 'pg_class'::regclass AND (e.objid, e.objsubid) = (a.attrelid, a.attnum))
      SELECT min(of.what) FROM (
        SELECT format('function %s', f.oid::regprocedure) AS what FROM used
        LEFT JOIN pg_operator o ON used.refclassid = 'pg_operator'::regclass AND o.oid = used.refobjid
        JOIN pg_proc f ON f.oid = CASE WHEN used.refclassid = 'pg_proc'::regclass THEN used.refobjid ELSE o.oprcode END
        JOIN pg_language l ON l.oid = f.prolang JOIN pg_roles w ON w.oid = f.proowner
        WHERE l.lanname NOT IN ('internal', 'c') OR NOT w.rolsuper
          OR NOT has_function_privilege((SELECT relowner FROM pg_class WHERE oid = a.attrelid), f.oid, 'EXECUTE')
        UNION ALL
        SELECT format('type %s', format_type(ut.oid, NULL)) FROM used
        JOIN pg_type ut ON used.refclassid = 'pg_type'::regclass AND ut.oid = used.refobjid
        LEFT JOIN pg_type el ON el.oid = ut.typelem AND ut.typcategory = 'A'
        WHERE coalesce(el.typtype, ut.typtype) NOT IN ('b', 'e')
      ) AS of
    ) END AS generated_by,
    a.attgenerated = 'v' AS generated_virtual,
    -- Tables that inherit from this one, partitions too, may generate theirs from something else.
    CASE WHEN a.attgenerated <> '' THEN (
      WITH RECURSIVE below AS (SELECT inhrelid FROM pg_inherits WHERE inhparent = a.attrelid
        UNION SELECT i.inhrelid FROM pg_inherits i JOIN below ON below.inhrelid = i.inhparent)
      SELECT min(b.inhrelid::regclass::text) FROM below b
      JOIN pg_attribute ba ON ba.attrelid = b.inhrelid AND ba.attname = a.attname AND NOT ba.attisdropped
      LEFT JOIN pg_attrdef bd ON bd.adrelid = ba.attrelid AND bd.adnum = ba.attnum
      WHERE ba.attgenerated <> a.attgenerated OR pg_get_expr(bd.adbin, bd.adrelid) IS DISTINCT FROM pg_get_expr(d.adbin, d.adrelid)
    ) END AS generated_otherwise,
    -- A partition is refused as such.
    (a.attinhcount > 0 OR NOT a.attislocal) AND NOT (SELECT relispartition FROM pg_class WHERE oid = a.attrelid) AS inherited,
    CASE WHEN a.attstorage <> t.typstorage
         THEN CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'x' THEN 'EXTENDED' ELSE 'MAIN' END
    END AS storage,
    CASE t.typstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'x' THEN 'EXTENDED' ELSE 'MAIN' END AS type_storage,
    CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END AS compression,
    nullif(a.attstattarget, -1) AS statistics,
    -- Only those that ALTER TABLE documents: servers of late 2026 keep a version of their own here.
    (SELECT coalesce(json_agg(o), '[]') FROM unnest(a.attoptions) AS o WHERE o LIKE 'n\_distinct%') AS options,
    col_description(a.attrelid, a.attnum) AS comment,
    (SELECT coalesce(json_agg(json_build_array(
              CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
              g.privilege_type, g.is_grantable) ORDER BY g.grantee, g.privilege_type), '[]')
       FROM aclexplode(a.attacl) g) AS grants,
    (SELECT coalesce(json_agg(DISTINCT pg_get_userbyid(g.grantor)), '[]') FROM aclexplode(a.attacl) g
      WHERE g.grantor <> (SELECT relowner FROM pg_class WHERE oid = a.attrelid)) AS grantors,
    (SELECT coalesce(json_agg(l.provider ORDER BY l.provider), '[]') FROM pg_seclabel l
      WHERE l.classoid = 'pg_class'::regclass AND l.objoid = a.attrelid AND l.objsubid = a.attnum) AS labels,
    r.constrained AS domain_constrained,
    r.refuses_null AS domain_not_null
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  LEFT JOIN pg_constraint k ON k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum]
  CROSS JOIN LATERAL (
    -- A domain over a domain has the constraints of both.
    WITH RECURSIVE layer AS (
      SELECT t.oid, t.typtype, t.typbasetype, t.typnotnull, a.atttypmod AS mod, t.typtypmod
      UNION ALL
      SELECT b.oid, b.typtype, b.typbasetype, b.typnotnull, layer.typtypmod, b.typtypmod FROM layer JOIN pg_type b ON b.oid = layer.typbasetype
    )
    SELECT coalesce(bool_or(typtype = 'd' AND (typnotnull OR EXISTS (SELECT FROM pg_constraint WHERE contypid = layer.oid))), false) AS constrained,
      coalesce(bool_or(typtype = 'd' AND typnotnull), false) AS refuses_null,
      max(oid) FILTER (WHERE typtype <> 'd') AS base, max(mod) FILTER (WHERE typtype <> 'd') AS base_mod
    FROM layer
  ) r
  WHERE a.attrelid = $1::bigint::oid AND NOT a.attisdropped
) x
