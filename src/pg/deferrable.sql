-- A trigger that can be deferred to the end of a transaction and that runs the code of somebody whom this session's role has no
-- reason to trust; no row where there is none. An exclusion constraint that can be deferred evaluates its expressions then.
SELECT pg_catalog.format('"%s" on %s', g.tgname, g.tgrelid::pg_catalog.regclass)
FROM pg_catalog.pg_trigger AS g
JOIN pg_catalog.pg_proc AS p ON p.oid = g.tgfoid
JOIN pg_catalog.pg_roles AS o ON o.oid = p.proowner
LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = g.tgconstrindid
WHERE g.tgdeferrable
  AND (NOT o.rolsuper AND o.rolname NOT IN (SESSION_USER, CURRENT_USER) OR i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)
ORDER BY g.oid LIMIT 1
