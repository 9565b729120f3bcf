-- Settings that make statements of applications fail beside a backfill, by whose they are. $1: names of settings.
SELECT coalesce(json_agg(json_build_array(x.who, x.name, x.value) ORDER BY x.who, x.name), '[]')::text
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
) AS x
WHERE x.name = ANY ($1)
