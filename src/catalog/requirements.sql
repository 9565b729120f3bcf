-- What plans can require, as it is now. $1: names of extensions. $2, $3: schemas and names of tables. $4, $5, $6: schemas, tables and
-- names of columns. What this role may not see is NULL.
SELECT row_to_json(x)::text FROM (
  SELECT current_setting('server_version_num')::int / 10000 AS major,
    current_setting('server_version') AS version,
    current_database()::text AS database, current_user::text AS role,
    (SELECT coalesce(json_agg(json_build_object('name', e.name, 'installed', i.extversion, 'available', a.default_version) ORDER BY e.at), '[]')
       FROM unnest($1::text[]) WITH ORDINALITY AS e(name, at)
       LEFT JOIN pg_extension AS i ON i.extname = e.name
       LEFT JOIN pg_available_extensions AS a ON a.name = e.name) AS extensions,
    (SELECT coalesce(json_agg(c.relkind::text ORDER BY t.at), '[]')
       FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS t(schema, name, at)
       LEFT JOIN pg_namespace AS n ON n.nspname = t.schema
       LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = t.name AND c.relkind <> 'i') AS tables,
    (SELECT coalesce(json_agg(json_build_object('table', c.oid IS NOT NULL, 'type', format_type(a.atttypid, a.atttypmod), 'type_oid', a.atttypid::bigint) ORDER BY t.at), '[]')
       FROM unnest($4::text[], $5::text[], $6::text[]) WITH ORDINALITY AS t(schema, name, attname, at)
       LEFT JOIN pg_namespace AS n ON n.nspname = t.schema
       LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = t.name AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
       LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = t.attname AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
    (SELECT coalesce(json_agg(json_build_object('name', s.slot_name, 'active', s.active, 'kept', greatest(pg_wal_lsn_diff(here.lsn, s.restart_lsn), 0)::bigint) ORDER BY s.slot_name), '[]')
       FROM pg_replication_slots AS s
       WHERE s.restart_lsn IS NOT NULL AND s.wal_status IS DISTINCT FROM 'lost') AS slots,
    -- Megabytes; -1 for no bound.
    (SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS slot_keep_megabytes,
    -- Replicas, and whether this role sees more of them than that they are there.
    (SELECT coalesce(json_agg(json_build_object('name', r.application_name, 'seen', r.state IS NOT NULL, 'streams', coalesce(r.state = 'streaming', false),
         'behind', greatest(pg_wal_lsn_diff(here.lsn, r.replay_lsn), 0)::bigint) ORDER BY r.application_name, r.pid), '[]')
       FROM pg_stat_replication AS r
       WHERE r.state IS DISTINCT FROM 'backup'
         AND NOT EXISTS (SELECT FROM pg_replication_slots AS s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')) AS replicas
  FROM (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn) AS here
) x
