-- The table itself; no row where there is none. $1: schema, $2: name.
SELECT row_to_json(x)::text FROM (
  SELECT c.oid::bigint AS oid,
    c.relkind::text AS kind,
    c.relpersistence::text AS persistence,
    coalesce(am.amname::text, '') AS access_method,
    c.reloftype <> 0 AS typed,
    c.relispartition AS partition,
    n.nspname ~ '^pg_' OR n.nspname = 'information_schema' AS system,
    (SELECT coalesce(json_agg(o.oid::regclass::text ORDER BY 1), '[]')
       FROM pg_inherits h JOIN pg_class o ON o.oid IN (h.inhrelid, h.inhparent)
      WHERE c.oid IN (h.inhrelid, h.inhparent) AND o.oid <> c.oid) AS relatives,
    (SELECT e.extname::text FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
        AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e') AS extension,
    pg_get_userbyid(c.relowner)::text AS owner,
    pg_has_role(c.relowner, 'USAGE') AS owned,
    has_schema_privilege(n.oid, 'USAGE') AS may_use_schema,
    has_schema_privilege(n.oid, 'CREATE') AS may_create_in_schema,
    c.relkind = 'r' AND row_security_active(c.oid) AS row_security,
    c.relreplident::text AS replica_identity,
    (SELECT max(attnum) FROM pg_attribute WHERE attrelid = c.oid) AS max_attnum,
    s.pages,
    CASE WHEN c.reltuples <= 0 OR c.relpages = 0 THEN s.pages * 8168 / (28 + s.width)
         ELSE c.reltuples::float8 / c.relpages * s.pages END::bigint AS rows,
    (SELECT count(*) FROM pg_index WHERE indrelid = c.oid) AS index_count,
    (SELECT coalesce(sum(pg_relation_size(indexrelid)), 0)::bigint FROM pg_index WHERE indrelid = c.oid) AS index_bytes,
    (SELECT coalesce(json_agg(coalesce(a.attname::text, '') ORDER BY k.n), '[]')
       FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n)
       JOIN pg_attribute a ON a.attnum = k.attnum
      WHERE i.indrelid = c.oid AND i.indisprimary AND k.n <= i.indnkeyatts AND a.attrelid = c.oid) AS key
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_am am ON am.oid = c.relam
  CROSS JOIN LATERAL (
    SELECT CASE WHEN c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) / current_setting('block_size')::bigint ELSE 0 END AS pages,
      (SELECT coalesce(sum(CASE WHEN attlen > 0 THEN attlen ELSE 32 END), 0)
         FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS width
  ) s
  WHERE n.nspname = $1 AND c.relname = $2
) x
