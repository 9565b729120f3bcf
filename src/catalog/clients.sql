-- What makes statements of applications fail beside a backfill, by whose it is: settings ($1: their names), and sessions that
-- keep one snapshot for a whole transaction now. (At READ COMMITTED a session has none between two statements.)
SELECT coalesce(json_agg(json_build_array(coalesce(x.who, 'a role'), x.name, x.value) ORDER BY x.who, x.name), '[]')::text
FROM (
  SELECT CASE WHEN s.setrole = 0 THEN 'this database' ELSE 'role ' || r.rolname END AS who,
         split_part(c, '=', 1) AS name, substr(c, strpos(c, '=') + 1) AS value
  FROM pg_catalog.pg_db_role_setting AS s
  CROSS JOIN LATERAL unnest(s.setconfig) AS c
  LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
  WHERE s.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database()))
  UNION
  -- Without the settings of this session: what the server, or something above, gives it.
  SELECT 'the server', p.name, p.reset_val FROM pg_catalog.pg_settings AS p
  WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting AS s CROSS JOIN LATERAL unnest(s.setconfig) AS c
                    WHERE split_part(c, '=', 1) = p.name)
  UNION
  SELECT 'role ' || a.usename, 'snapshot', '' FROM pg_catalog.pg_stat_activity AS a
  WHERE a.datname = current_database() AND a.state = 'idle in transaction' AND a.backend_xmin IS NOT NULL
    AND a.application_name NOT LIKE 'crossfade %'
) AS x
WHERE x.name = ANY ($1) OR x.name = 'snapshot'
