-- The table itself; no row where there is none. Rows, pages and indexes of a partitioned one are those of its partitions; those of
-- tables that inherit from it count too.
-- $1: schema, $2: name.
WITH RECURSIVE tree AS (
  SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2
  UNION
  SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON t.oid = i.inhparent WHERE NOT i.inhdetachpending
), member AS (
  SELECT p.oid, p.relkind, p.reltuples, p.relpages,
    CASE WHEN p.relkind IN ('r', 'm') THEN pg_relation_size(p.oid) / current_setting('block_size')::bigint ELSE 0 END AS pages
  FROM pg_class p JOIN tree USING (oid)
)
SELECT row_to_json(x)::text FROM (
  SELECT c.oid::bigint AS oid,
    c.relkind::text AS kind,
    c.relpersistence::text AS persistence,
    coalesce(am.amname::text, '') AS access_method,
    c.reloftype <> 0 AS typed,
    n.nspname ~ '^pg_' OR n.nspname = 'information_schema' AS system,
    -- Of a partition, the table that is divided.
    CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::text END AS root,
    -- Tables that inherit from it.
    (SELECT coalesce(json_agg(json_build_array(rn.nspname::text, p.relname::text, p.oid::bigint) ORDER BY rn.nspname, p.relname), '[]')
       FROM member m JOIN pg_class p ON p.oid = m.oid JOIN pg_namespace rn ON rn.oid = p.relnamespace
      WHERE c.relkind = 'r' AND m.oid <> c.oid) AS children,
    -- What their columns have that the table's do not.
    (SELECT coalesce(json_agg(json_build_object('table', m.oid::regclass::text, 'column', a.attname::text, 'what', o.what) ORDER BY m.oid::regclass::text, a.attnum), '[]')
       FROM member m JOIN pg_attribute a ON a.attrelid = m.oid AND a.attnum > 0 AND NOT a.attisdropped
       LEFT JOIN pg_attribute r ON r.attrelid = c.oid AND r.attname = a.attname, LATERAL (
         SELECT 'own' AS what WHERE r.attrelid IS NULL
         UNION ALL SELECT 'grants' WHERE r.attrelid IS NOT NULL AND a.attacl IS NOT NULL
         -- PostgreSQL counts the parents that a rename comes from, and refuses where there are others.
         UNION ALL SELECT 'elsewhere' WHERE r.attrelid IS NOT NULL
           AND a.attinhcount > (SELECT count(*) FROM pg_inherits h WHERE h.inhrelid = m.oid AND h.inhparent IN (SELECT oid FROM tree))
       ) o WHERE c.relkind = 'r' AND m.oid <> c.oid) AS odd_columns,
    -- Indexes of them that mention a column: table, column, index.
    (SELECT coalesce(json_agg(DISTINCT jsonb_build_array(m.oid::regclass::text, a.attname::text, x.relname::text)), '[]')
       FROM member m JOIN pg_index i ON i.indrelid = m.oid JOIN pg_class x ON x.oid = i.indexrelid
       JOIN pg_attribute a ON a.attrelid = m.oid AND a.attnum > 0 AND (a.attnum = ANY (i.indkey::int2[])
         OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = x.oid
           AND d.refclassid = d.classid AND d.refobjid = m.oid AND d.refobjsubid = a.attnum))
      WHERE c.relkind = 'r' AND m.oid <> c.oid) AS child_indexes,
    (SELECT e.extname::text FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
        AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e') AS extension,
    pg_get_userbyid(c.relowner)::text AS owner,
    pg_has_role(c.relowner, 'USAGE') AS owned,
    has_schema_privilege(n.oid, 'USAGE') AS may_use_schema,
    has_schema_privilege(n.oid, 'CREATE') AS may_create_in_schema,
    c.relkind IN ('r', 'p') AND row_security_active(c.oid) AS row_security,
    c.relreplident::text AS replica_identity,
    (SELECT max(attnum) FROM pg_attribute WHERE attrelid = c.oid) AS max_attnum,
    s.pages,
    s.rows,
    (SELECT count(*) FROM pg_index WHERE indrelid = c.oid) AS index_count,
    (SELECT coalesce(sum(pg_indexes_size(m.oid)), 0)::bigint FROM member m WHERE m.relkind IN ('r', 'm')) AS index_bytes,
    -- Columns of the partition key, of any level (docs/postgres.md, "Partitioned tables").
    (SELECT coalesce(json_agg(DISTINCT a.attname::text), '[]') FROM member m
       JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = m.oid AND d.objsubid > 0
         AND d.refclassid = d.classid AND d.refobjid = m.oid AND d.refobjsubid = 0 AND d.deptype = 'i'
       JOIN pg_attribute a ON a.attrelid = m.oid AND a.attnum = d.objsubid
      WHERE m.relkind = 'p') AS partition_key,
    -- Partitions, and tables that inherit, that are what none may be.
    (SELECT coalesce(json_agg(json_build_array(m.oid::regclass::text, o.what) ORDER BY m.oid::regclass::text), '[]')
       FROM member m JOIN pg_class p ON p.oid = m.oid, LATERAL (
         SELECT 'is a foreign table' AS what WHERE p.relkind = 'f'
         UNION ALL SELECT 'is a temporary table' WHERE p.relpersistence = 't' AND c.relpersistence <> 't'
         UNION ALL SELECT format('belongs to role "%s"', pg_get_userbyid(p.relowner)) WHERE p.relowner <> c.relowner
         UNION ALL SELECT format('is stored by access method "%s"', pa.amname) FROM pg_am pa WHERE pa.oid = p.relam AND pa.amname <> 'heap' AND p.relkind = 'r'
         UNION ALL SELECT format('has rule "%s"', w.rulename) FROM pg_rewrite w WHERE w.ev_class = p.oid AND w.ev_type IN ('2', '3')
         UNION ALL SELECT 'has row-level security forced on its owner' WHERE p.relforcerowsecurity
         UNION ALL SELECT format('is published by "%s"', b.pubname) FROM pg_publication_tables b
           JOIN pg_namespace bn ON bn.nspname = b.schemaname WHERE bn.oid = p.relnamespace AND b.tablename = p.relname
         UNION ALL SELECT format('is written to by subscription "%s"', u.subname)
           FROM pg_subscription_rel sr JOIN pg_subscription u ON u.oid = sr.srsubid WHERE sr.srrelid = p.oid
       ) o WHERE m.oid <> c.oid) AS odd_partitions,
    -- Columns with another default in a partition or in a table that inherits, and where.
    (SELECT coalesce(json_agg(json_build_array(m.oid::regclass::text, a.attname::text) ORDER BY m.oid::regclass::text, a.attnum), '[]')
       FROM member m JOIN pg_attribute a ON a.attrelid = m.oid AND a.attnum > 0 AND NOT a.attisdropped
       JOIN pg_attribute r ON r.attrelid = c.oid AND r.attname = a.attname
       LEFT JOIN pg_attrdef ad ON (ad.adrelid, ad.adnum) = (a.attrelid, a.attnum)
       LEFT JOIN pg_attrdef rd ON (rd.adrelid, rd.adnum) = (r.attrelid, r.attnum)
      WHERE m.oid <> c.oid AND (pg_get_expr(ad.adbin, ad.adrelid) IS DISTINCT FROM pg_get_expr(rd.adbin, rd.adrelid)
        OR c.relkind = 'r' AND a.attidentity <> r.attidentity)) AS own_defaults,
    (SELECT coalesce(json_agg(coalesce(a.attname::text, '') ORDER BY k.n), '[]')
       FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n)
       JOIN pg_attribute a ON a.attnum = k.attnum
      WHERE i.indrelid = c.oid AND i.indisprimary AND k.n <= i.indnkeyatts AND a.attrelid = c.oid) AS key
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_am am ON am.oid = c.relam
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(CASE WHEN m.relkind IN ('r', 'm') THEN m.pages ELSE 0 END), 0)::bigint AS pages,
      coalesce(sum(CASE WHEN m.reltuples <= 0 OR m.relpages = 0 THEN m.pages * 8168 / (28 + w.width)
        ELSE m.reltuples::float8 / m.relpages * m.pages END), 0)::bigint AS rows
    FROM member m, LATERAL (SELECT coalesce(sum(CASE WHEN attlen > 0 THEN attlen ELSE 32 END), 0) AS width
         FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) w
  ) s
  WHERE n.nspname = $1 AND c.relname = $2
) x
