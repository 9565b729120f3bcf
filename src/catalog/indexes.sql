-- The indexes that mention a column anywhere, and one by its name. Of a partitioned table also those that some of its partitions have
-- and others have not, and those of tables that inherit from the table, with the column numbers of the table. $1: the table's oid, $2: column numbers, $3: the name, or NULL.
WITH RECURSIVE member AS (
  SELECT oid, relnamespace FROM pg_class WHERE oid = $1::bigint::oid
  UNION
  SELECT h.inhrelid, m.relnamespace FROM pg_inherits h JOIN member m ON m.oid = h.inhparent
    WHERE NOT h.inhdetachpending
)
SELECT coalesce(json_agg(row_to_json(x) ORDER BY x.name), '[]')::text FROM (
  SELECT CASE WHEN t.relnamespace = r.relnamespace THEN x.relname::text ELSE concat(n.nspname, '.', x.relname) END AS name,
    i.indisunique AS unique,
    -- Since PostgreSQL 15.
    coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) AS nulls_not_distinct,
    i.indisvalid AND i.indisready AND i.indislive AS valid,
    i.indisreplident AS replica_identity,
    i.indisclustered AS clustered,
    k.contype::text AS constraint_type,
    CASE WHEN k.contype = 'x' THEN pg_get_constraintdef(k.oid) END AS exclusion,
    k.condeferrable AS deferrable,
    k.condeferred AS deferred,
    obj_description(k.oid, 'pg_constraint') AS constraint_comment,
    obj_description(i.indexrelid, 'pg_class') AS comment,
    (SELECT spcname::text FROM pg_tablespace WHERE oid = x.reltablespace) AS tablespace,
    (SELECT coalesce(json_agg(json_build_array(a.attnum, a.attstattarget) ORDER BY a.attnum), '[]')
       FROM pg_attribute a WHERE a.attrelid = i.indexrelid AND coalesce(a.attstattarget, -1) <> -1) AS statistics,
    -- A whole-row reference has no column number.
    coalesce(i.indexprs::text, '') || coalesce(i.indpred::text, '') ~ ':varattno 0 ' AS whole_row,
    coalesce(m.attnums, '[]') AS attnums,
    CASE WHEN i.indrelid <> $1::bigint::oid THEN json_build_array(n.nspname, t.relname, t.relkind = 'p') END AS partition,
    -- Columns that a table has besides those that it inherits.
    (SELECT coalesce(json_agg(concat(quote_ident(a.attname), ' ', format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attcollation <> y.typcollation THEN (SELECT format(' COLLATE %I.%I', cn.nspname, o.collname)
          FROM pg_collation o JOIN pg_namespace cn ON cn.oid = o.collnamespace WHERE o.oid = a.attcollation) END) ORDER BY a.attnum), '[]')
      FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
      WHERE a.attrelid = t.oid AND NOT t.relispartition AND a.attnum > 0 AND NOT a.attisdropped
        AND NOT EXISTS (SELECT FROM pg_attribute o WHERE o.attrelid = $1::bigint::oid AND o.attname = a.attname)) AS beside,
    CASE WHEN starts_with(def, prefix) THEN substr(def, length(prefix) + 1) END AS tail
  FROM member r
  JOIN pg_index i ON i.indrelid = r.oid
  JOIN pg_class x ON x.oid = i.indexrelid
  JOIN pg_class t ON t.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = t.relnamespace
  LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
  CROSS JOIN LATERAL (
    SELECT json_agg(DISTINCT a.attnum) AS attnums FROM pg_depend d
    JOIN pg_attribute o ON o.attrelid = d.refobjid AND o.attnum = d.refobjsubid
    JOIN pg_attribute a ON a.attrelid = $1::bigint::oid AND a.attname = o.attname
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND a.attnum = ANY ($2::int[])
      AND (d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
        OR d.classid = 'pg_constraint'::regclass AND d.objid = k.oid)
  ) m
  CROSS JOIN LATERAL (
    SELECT pg_get_indexdef(i.indexrelid) AS def,
      format('CREATE %sINDEX %I ON %s%I.%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, x.relname,
        CASE WHEN x.relkind = 'I' THEN 'ONLY ' ELSE '' END, n.nspname, t.relname) AS prefix
  ) q
  -- What is a part of an index of the table above is done with that.
  WHERE i.indrelid = $1::bigint::oid AND (m.attnums IS NOT NULL OR x.relname = $3) OR NOT x.relispartition AND m.attnums IS NOT NULL
) x
