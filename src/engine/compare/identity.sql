-- The clock; the hash of sync function $3 in schema $2 and of all triggers of table $1 (oid) but those of other runs (their
-- names begin with $5), with the versions of their rows in the catalog: a trigger that was disabled and enabled again is
-- another one; and the table's file, 0 if another table has its name $4.
-- (pg_get_triggerdef would do, if what it writes did not depend on search_path.)
SELECT pg_catalog.clock_timestamp() AS started_at,
       pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.concat_ws(' ', p.xmin, p.prosrc) || COALESCE(
           (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', t.oid, t.xmin, t.tgname, t.tgenabled, t.tgtype, t.tgattr, t.tgqual), E'\n' ORDER BY t.tgname)
            FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
              AND (t.tgfoid = p.oid OR NOT pg_catalog.starts_with(t.tgname::text, $5))), ''), 'UTF8')), 'hex') AS body_hash,
       CASE WHEN pg_catalog.to_regclass($4)::oid = c.oid THEN COALESCE(pg_catalog.pg_relation_filenode(c.oid)::bigint, 0) ELSE 0 END AS relfilenode
FROM (SELECT $1::bigint::oid AS oid) AS c
LEFT JOIN pg_catalog.pg_proc AS p ON p.proname = $3
     AND p.pronamespace = (SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname = $2)
