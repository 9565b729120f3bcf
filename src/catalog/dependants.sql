-- Everything that hangs on a column but its own default: what would refuse DROP COLUMN, or vanish with it.
-- $1: the table's oid, $2: column numbers.
WITH hangs AS (
  SELECT d.classid, d.objid, d.objsubid, d.deptype, d.refobjsubid AS attnum
  FROM pg_catalog.pg_depend d
  WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = $1::bigint::oid
    AND d.refobjsubid = ANY ($2::int[])
  UNION
  -- An index behind a constraint hangs on the constraint only.
  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, k.conindid, 0, 'i', d.refobjsubid
  FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_constraint k ON k.oid = d.objid AND k.contype IN ('p', 'u', 'x')
  WHERE d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.deptype = 'a'
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = $1::bigint::oid
    AND d.refobjsubid = ANY ($2::int[]) AND k.conrelid = d.refobjid
), classed AS (
  SELECT h.attnum, h.deptype::text AS deptype,
    CASE h.classid
      WHEN 'pg_catalog.pg_attrdef'::pg_catalog.regclass THEN
        CASE WHEN ad.adrelid = $1::bigint::oid AND ad.adnum = h.attnum THEN 'own_default'
             WHEN ga.attgenerated <> '' THEN 'generated_column' ELSE 'default' END
      WHEN 'pg_catalog.pg_class'::pg_catalog.regclass THEN
        CASE WHEN h.objid = $1::bigint::oid AND h.objsubid > 0 THEN 'generated_column'
             WHEN c.relkind IN ('i', 'I') THEN 'index' WHEN c.relkind = 'S' AND h.deptype = 'i' THEN 'identity'
             WHEN c.relkind = 'S' THEN 'sequence' ELSE 'other' END
      WHEN 'pg_catalog.pg_constraint'::pg_catalog.regclass THEN
        -- WITHOUT OVERLAPS: since PostgreSQL 18.
        CASE WHEN k.contype IN ('p', 'u') AND (pg_catalog.to_jsonb(k) ->> 'conperiod')::bool THEN 'temporal'
             WHEN k.contype = 'u' THEN 'unique' WHEN k.contype = 'n' THEN 'not_null' WHEN k.contype = 'p' THEN 'primary_key'
             WHEN k.contype = 'c' THEN 'check' WHEN k.contype = 'x' THEN 'exclusion'
             WHEN k.contype = 'f' THEN CASE WHEN k.conrelid = $1::bigint::oid AND h.attnum = ANY (k.conkey) THEN 'foreign_key' ELSE 'referenced' END
             ELSE 'other' END
      WHEN 'pg_catalog.pg_rewrite'::pg_catalog.regclass THEN
        CASE WHEN w.ev_class = $1::bigint::oid THEN CASE WHEN w.ev_type IN ('2', '3') THEN 'rule_on_write' ELSE 'rule_on_delete' END
             WHEN wc.relkind = 'm' THEN 'materialized_view' WHEN wc.relkind = 'v' AND w.rulename = '_RETURN' THEN 'view' ELSE 'rule' END
      WHEN 'pg_catalog.pg_trigger'::pg_catalog.regclass THEN 'trigger'
      WHEN 'pg_catalog.pg_policy'::pg_catalog.regclass THEN 'policy'
      WHEN 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass THEN 'statistics'
      WHEN 'pg_catalog.pg_publication_rel'::pg_catalog.regclass THEN 'publication'
      WHEN 'pg_catalog.pg_proc'::pg_catalog.regclass THEN CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_class r
          WHERE r.oid = $1::bigint::oid AND r.reltype = p.prorettype) THEN 'function_of_rows' ELSE 'function' END
      ELSE 'other'
    END AS kind,
    coalesce(k.conname, c.relname, t.tgname,
      CASE WHEN w.rulename = '_RETURN' THEN wc.relname ELSE w.rulename END, ga.attname, '')::text AS name,
    CASE WHEN w.rulename = '_RETURN' THEN pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, w.ev_class, 0)
         WHEN ad.oid IS NOT NULL THEN pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, ad.adrelid, ad.adnum)
         ELSE pg_catalog.pg_describe_object(h.classid, h.objid, h.objsubid) END AS description,
    k.convalidated AS validated
  FROM hangs h
  LEFT JOIN pg_catalog.pg_attrdef ad ON h.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND ad.oid = h.objid
  LEFT JOIN pg_catalog.pg_attribute ga ON (ga.attrelid, ga.attnum) = (ad.adrelid, ad.adnum)
    OR h.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND h.objsubid > 0 AND (ga.attrelid, ga.attnum) = (h.objid, h.objsubid)
  LEFT JOIN pg_catalog.pg_class c ON h.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = h.objid AND h.objsubid = 0
  LEFT JOIN pg_catalog.pg_constraint k ON h.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.oid = h.objid
  LEFT JOIN pg_catalog.pg_rewrite w ON h.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND w.oid = h.objid
  LEFT JOIN pg_catalog.pg_class wc ON wc.oid = w.ev_class
  LEFT JOIN pg_catalog.pg_proc p ON h.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = h.objid
  LEFT JOIN pg_catalog.pg_trigger t ON h.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND t.oid = h.objid
  -- Parts of a foreign key, one for each partition, go with the whole.
  WHERE NOT coalesce(k.contype = 'f' AND k.conparentid <> 0, false)
)
SELECT coalesce(json_agg(row_to_json(x) ORDER BY x.attnum, x.kind, x.description), '[]')::text
FROM (SELECT DISTINCT attnum, kind, name, description, validated FROM classed WHERE kind <> 'own_default') x
