-- Where the server's files are, and whose they are. $1, $2: schema and name of the table. What this role may not see is NULL.
SELECT row_to_json(x)::text FROM (
  SELECT (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS data_directory,
    (SELECT nullif(pg_tablespace_location(CASE c.reltablespace WHEN 0 THEN d.dattablespace ELSE c.reltablespace END), '')
       FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace, pg_database AS d
       WHERE n.nspname = $1 AND c.relname = $2 AND d.datname = current_database()) AS tablespace,
    (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier
) x
