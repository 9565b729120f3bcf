-- One text that changes with every change to what hangs on the tables $1 (oids) and their partitions, their names included: it is made of the
-- versions of their rows in the catalog. VACUUM and ANALYZE make no new versions.
WITH RECURSIVE place AS (
  SELECT oid::pg_catalog.oid AS oid FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS oid
  UNION
  SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN place AS p ON p.oid = i.inhparent WHERE NOT i.inhdetachpending
), relation AS (
  SELECT oid FROM place
  UNION ALL
  SELECT i.indexrelid FROM pg_catalog.pg_index AS i JOIN place ON place.oid = i.indrelid
), row_version AS (
  SELECT 'class' AS what, c.oid::pg_catalog.text AS id, c.xmin::pg_catalog.text AS version FROM pg_catalog.pg_class AS c JOIN relation USING (oid)
  UNION ALL SELECT 'attribute', pg_catalog.concat_ws(' ', a.attrelid, a.attnum), a.xmin::pg_catalog.text
    FROM pg_catalog.pg_attribute AS a JOIN relation ON relation.oid = a.attrelid
  UNION ALL SELECT 'default', d.oid::pg_catalog.text, d.xmin::pg_catalog.text
    FROM pg_catalog.pg_attrdef AS d JOIN place ON place.oid = d.adrelid
  UNION ALL SELECT 'index', i.indexrelid::pg_catalog.text, i.xmin::pg_catalog.text
    FROM pg_catalog.pg_index AS i JOIN place ON place.oid = i.indrelid
  UNION ALL SELECT 'constraint', k.oid::pg_catalog.text, k.xmin::pg_catalog.text
    FROM pg_catalog.pg_constraint AS k JOIN place ON place.oid IN (k.conrelid, k.confrelid)
  UNION ALL SELECT 'trigger', t.oid::pg_catalog.text, t.xmin::pg_catalog.text
    FROM pg_catalog.pg_trigger AS t JOIN place ON place.oid = t.tgrelid
  UNION ALL SELECT 'rule', w.oid::pg_catalog.text, w.xmin::pg_catalog.text
    FROM pg_catalog.pg_rewrite AS w JOIN place ON place.oid = w.ev_class
  UNION ALL SELECT 'dependant', pg_catalog.concat_ws(' ', d.classid, d.objid, d.objsubid), d.refobjsubid::pg_catalog.text
    FROM pg_catalog.pg_depend AS d JOIN place ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND place.oid = d.refobjid
  UNION ALL SELECT 'comment', pg_catalog.concat_ws(' ', o.classoid, o.objoid, o.objsubid), o.xmin::pg_catalog.text
    FROM pg_catalog.pg_description AS o
    WHERE o.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.objoid IN (SELECT oid FROM relation)
      OR o.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
        AND o.objoid IN (SELECT k.oid FROM pg_catalog.pg_constraint AS k JOIN place ON place.oid = k.conrelid)
  UNION ALL SELECT 'publication', p.oid::pg_catalog.text, p.xmin::pg_catalog.text
    FROM pg_catalog.pg_publication AS p WHERE p.puballtables
)
SELECT pg_catalog.md5(coalesce(pg_catalog.string_agg(pg_catalog.concat_ws(':', what, id, version), ',' ORDER BY what, id, version), ''))
FROM row_version
