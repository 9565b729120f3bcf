-- What partitions of table $1 (oid) have on columns $2 (names) that the table itself has not, but what has a name that begins with $3:
-- one of the partitions, column, what, and how many others have the same.
WITH RECURSIVE member AS (
  SELECT $1::bigint::oid AS oid
  UNION
  SELECT i.inhrelid FROM pg_inherits i JOIN member m ON m.oid = i.inhparent WHERE NOT i.inhdetachpending
)
SELECT coalesce(json_agg(json_build_array(y.place, y.attname, y.what, y.others) ORDER BY y.attname, y.place, y.what), '[]')::text FROM (
  SELECT min(x.place) AS place, x.attname, x.what, count(*) - 1 AS others FROM (
    SELECT DISTINCT a.attrelid::regclass::text AS place, a.attname::text AS attname, o.what
    FROM member m
    JOIN pg_class p ON p.oid = m.oid
    JOIN pg_attribute a ON a.attrelid = m.oid AND a.attname = ANY ($2::text[]::name[]) AND NOT a.attisdropped
    JOIN pg_attribute r ON r.attrelid = $1::bigint::oid AND r.attname = a.attname
    CROSS JOIN LATERAL (
      SELECT 'is NOT NULL' AS what WHERE a.attnotnull AND NOT r.attnotnull
      -- Since PostgreSQL 18 it has a name, and one that is inherited cannot get another alone.
      UNION ALL SELECT format('has NOT NULL under the name "%s", and that of the table is called "%s"', k.conname, w.conname)
        FROM pg_constraint k JOIN pg_constraint w ON w.conrelid = r.attrelid AND w.contype = 'n' AND w.conkey = ARRAY[r.attnum]
        WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND k.conname <> w.conname
      UNION ALL SELECT format('is in %s, by which the partition is clustered or replicated', pg_describe_object('pg_class'::regclass, i.indexrelid, 0))
        FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
        WHERE i.indrelid = a.attrelid AND a.attnum = ANY (i.indkey::int2[]) AND x.relispartition AND (i.indisclustered OR i.indisreplident)
      UNION ALL SELECT format('is used by %s', CASE WHEN w.rulename = '_RETURN' THEN pg_describe_object('pg_class'::regclass, w.ev_class, 0)
          ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END)
        FROM pg_depend d
        LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
        LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
        LEFT JOIN pg_trigger t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid
        LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
          AND d.classid <> 'pg_attrdef'::regclass
          -- Parts of what the table has; and a twin can be built of an index that is no constraint.
          AND NOT coalesce(c.oid = a.attrelid OR c.relispartition OR c.relkind IN ('i', 'I') AND c.relnamespace = (
            SELECT relnamespace FROM pg_class WHERE oid = $1::bigint::oid), false)
          -- What has a twin: a key of the partition itself has none, nor what refers to it.
          AND NOT coalesce(k.conrelid = a.attrelid AND (k.contype IN ('u', 'c')
            OR k.contype = 'f' AND NOT (k.confrelid = a.attrelid AND a.attnum = ANY (k.confkey))), false)
          AND NOT coalesce(k.conparentid <> 0 OR k.contype = 'n' OR k.contype = 'c' AND k.coninhcount > 0, false)
          AND NOT coalesce(t.tgparentid <> 0, false)
          AND NOT starts_with(coalesce(c.relname, k.conname, t.tgname, '')::text, $3)
    ) o
    WHERE m.oid <> $1::bigint::oid AND p.relispartition
  ) x GROUP BY x.attname, x.what
) y
