-- What keeps an index from going, and how much it is used. $1: the table's oid, $2: the index.
SELECT json_build_object(
    -- A foreign key may rest on a unique index that no constraint is made of.
    'dependant', (SELECT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend d
      WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indexrelid AND d.deptype IN ('n', 'i', 'P', 'S')
      ORDER BY d.classid, d.objid LIMIT 1),
    'scans', coalesce(pg_stat_get_numscans(i.indexrelid), 0)
  )::text
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = $1::bigint::oid AND x.relname = $2
