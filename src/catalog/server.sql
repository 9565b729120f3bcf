-- What the server is, and what this role may do on it. $1: the ledger's schema.
SELECT row_to_json(x)::text FROM (
  SELECT current_setting('server_version_num')::int AS version,
    current_setting('server_version') AS version_text,
    current_user::text AS role,
    current_database()::text AS database,
    has_database_privilege(current_database(), 'CREATE') AS may_create_schema,
    has_database_privilege(current_database(), 'TEMP') AS may_create_temp,
    (SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE')
       FROM pg_namespace WHERE nspname = $1) AS may_use_ledger,
    coalesce((SELECT pg_has_role(nspowner, 'USAGE') OR EXISTS (SELECT FROM aclexplode(nspacl) a WHERE a.grantee = 0 AND a.privilege_type = 'USAGE')
       FROM pg_namespace WHERE nspname = $1), true) AS all_may_use_ledger,
    to_regclass('timescaledb_information.hypertables') IS NOT NULL AS has_hypertables,
    (SELECT coalesce(json_agg(evtname::text ORDER BY evtname), '[]')
       FROM pg_event_trigger WHERE evtenabled IN ('O', 'A')) AS event_triggers
) x
