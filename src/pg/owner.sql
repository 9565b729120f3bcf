-- Of table $1: its owner, whether that is nobody but this session's role, whether this session may act as the owner, and the
-- search_path that the owner's sessions begin with. What is set for a role in a database counts more than what is set for the
-- role, and that more than what is set for the database (pg_db_role_setting; process_settings in postinit.c).
SELECT o.rolname::text AS role, o.oid::bigint AS role_oid,
       o.rolname = SESSION_USER AND o.rolname = CURRENT_USER AS is_session,
       CASE WHEN (SELECT m.rolsuper FROM pg_catalog.pg_roles AS m WHERE m.rolname = CURRENT_USER) THEN true
            WHEN NOT pg_catalog.has_database_privilege(o.oid, d.oid, 'TEMP') THEN false
            WHEN v.version >= 160000 THEN pg_catalog.pg_has_role(o.oid, 'SET')
            ELSE pg_catalog.pg_has_role(o.oid, 'MEMBER') END AS may_switch,
       (o.rolsuper OR o.rolbypassrls OR NOT (c.relrowsecurity AND c.relforcerowsecurity)) AS sees_all_rows,
       v.version,
       COALESCE(
           (SELECT pg_catalog.substr(e.setting, 13) FROM pg_catalog.pg_db_role_setting AS s
              CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS e(setting)
            WHERE s.setdatabase IN (0, d.oid) AND s.setrole IN (0, o.oid) AND e.setting LIKE 'search\_path=%'
            ORDER BY s.setrole <> 0 AND s.setdatabase <> 0 DESC, s.setrole <> 0 DESC, s.setdatabase <> 0 DESC LIMIT 1),
           -- The server's own, unless something was set for this session's role.
           (SELECT CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_db_role_setting AS s
                            CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS e(setting)
                          WHERE s.setrole = (SELECT m.oid FROM pg_catalog.pg_roles AS m WHERE m.rolname = SESSION_USER)
                            AND s.setdatabase IN (0, d.oid) AND e.setting LIKE 'search\_path=%')
                   THEN g.boot_val ELSE g.reset_val END
            FROM pg_catalog.pg_settings AS g WHERE g.name = 'search_path')) AS path
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_roles AS o ON o.oid = c.relowner
JOIN pg_catalog.pg_database AS d ON d.datname = pg_catalog.current_database()
CROSS JOIN (SELECT pg_catalog.current_setting('server_version_num')::integer AS version) AS v
WHERE c.oid = $1::bigint::oid
