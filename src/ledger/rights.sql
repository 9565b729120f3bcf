-- Of schema $1: whether this session may change the schema itself, and whether everybody may use what is in it, as the sync
-- trigger needs. No row where it is not there.
SELECT pg_catalog.pg_has_role(n.nspowner, 'USAGE') AS is_owner,
       EXISTS (SELECT FROM pg_catalog.aclexplode(n.nspacl) AS a WHERE a.grantee = 0 AND a.privilege_type = 'USAGE') AS is_usable
FROM pg_catalog.pg_namespace AS n WHERE n.nspname = $1
