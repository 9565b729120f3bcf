-- The name that a table has now; no row where it is not there. $1: its oid.
SELECT json_build_array(n.nspname, c.relname)::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::bigint::oid
