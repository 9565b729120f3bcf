-- Why the schema $1 must not be trusted: what in it belongs to, or could be changed by, a role that is neither this session's,
-- nor a superuser, nor one of $2. Such a role could put statements into a run, or code where crossfade's functions are looked
-- for, and crossfade would run them with its own rights. An empty array where it may be trusted, or is not there.
WITH trusted AS (
    SELECT r.oid FROM pg_catalog.pg_roles AS r
    WHERE r.rolsuper OR r.rolname IN (CURRENT_USER, SESSION_USER) OR r.rolname = ANY ($2::text[])
), place AS (
    SELECT n.oid, n.nspowner, n.nspacl FROM pg_catalog.pg_namespace AS n WHERE n.nspname = $1
), wrong AS (
    SELECT 1 AS rank, pg_catalog.format('it belongs to role "%s"', pg_catalog.pg_get_userbyid(nspowner)) AS what
    FROM place WHERE nspowner NOT IN (SELECT oid FROM trusted)
    UNION ALL
    SELECT 2, pg_catalog.format('%s may create objects in it', CASE a.grantee WHEN 0 THEN 'everybody'
             ELSE pg_catalog.format('role "%s"', pg_catalog.pg_get_userbyid(a.grantee)) END)
    FROM place CROSS JOIN LATERAL pg_catalog.aclexplode(place.nspacl) AS a
    WHERE a.privilege_type = 'CREATE' AND a.grantee NOT IN (SELECT oid FROM trusted)
    UNION ALL
    SELECT 3, pg_catalog.format('relation "%s" in it belongs to role "%s"', c.relname, pg_catalog.pg_get_userbyid(c.relowner))
    FROM place JOIN pg_catalog.pg_class AS c ON c.relnamespace = place.oid WHERE c.relowner NOT IN (SELECT oid FROM trusted)
    UNION ALL
    SELECT 4, pg_catalog.format('function "%s" in it belongs to role "%s"', p.proname, pg_catalog.pg_get_userbyid(p.proowner))
    FROM place JOIN pg_catalog.pg_proc AS p ON p.pronamespace = place.oid WHERE p.proowner NOT IN (SELECT oid FROM trusted)
      -- The functions of a run belong to its table's owner, as whom alone they are called.
      AND p.proname !~ '^[a-z]+_[0-9a-f]{8}(_[a-z0-9_]+)?$'
    UNION ALL
    SELECT 5, pg_catalog.format('trigger "%s" on its table "%s" runs code of role "%s"', g.tgname, c.relname,
             pg_catalog.pg_get_userbyid(p.proowner))
    FROM place JOIN pg_catalog.pg_class AS c ON c.relnamespace = place.oid
    JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = c.oid JOIN pg_catalog.pg_proc AS p ON p.oid = g.tgfoid
    WHERE p.proowner NOT IN (SELECT oid FROM trusted)
)
SELECT COALESCE(pg_catalog.array_agg(what ORDER BY rank, what), '{}') FROM (SELECT rank, what FROM wrong ORDER BY rank, what LIMIT 5) AS first
