-- (pg_get_triggerdef would do, if what it writes did not depend on search_path.)
-- The clock, the hash of sync function $3 in schema $2 with its enabled triggers, and the file of table $1.
SELECT pg_catalog.clock_timestamp() AS started_at,
       pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(COALESCE(p.prosrc, '') || COALESCE(
           (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', t.tgname, t.tgtype, t.tgattr, t.tgqual), E'\n' ORDER BY t.tgname)
            FROM pg_catalog.pg_trigger AS t WHERE t.tgfoid = p.oid AND t.tgrelid = pg_catalog.to_regclass($1) AND t.tgenabled IN ('O', 'A')), ''), 'UTF8')), 'hex') AS body_hash,
       COALESCE(pg_catalog.pg_relation_filenode(pg_catalog.to_regclass($1))::bigint, 0) AS relfilenode
FROM (SELECT 1) AS one
LEFT JOIN pg_catalog.pg_proc AS p ON p.proname = $3
     AND p.pronamespace = (SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname = $2)
