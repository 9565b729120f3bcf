-- Functions with a text body that name the table, or are called from its triggers. PostgreSQL does not record what such
-- a body uses. $1: the table's oid, $2: the ledger's schema.
SELECT coalesce(json_agg(row_to_json(x) ORDER BY x.signature), '[]')::text FROM (
  SELECT p.oid::regprocedure::text AS signature,
    l.lanname::text AS language,
    p.prokind = 'f' AS costed,
    p.prosrc AS source,
    coalesce(p.proargnames, '{}') AS arguments,
    p.procost::text AS cost,
    pg_has_role(p.proowner, 'USAGE') AS owned,
    EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = r.oid AND t.tgfoid = p.oid AND NOT t.tgisinternal) AS called_by_trigger,
    (SELECT coalesce(json_agg(DISTINCT t.tgrelid::regclass::text), '[]') FROM pg_trigger t
      WHERE t.tgrelid <> r.oid AND t.tgfoid = p.oid AND NOT t.tgisinternal) AS other_tables
  FROM pg_class r, pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE r.oid = $1::bigint::oid AND p.prosqlbody IS NULL AND l.lanname NOT IN ('c', 'internal')
    AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', $2)
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    AND (strpos(lower(p.prosrc), lower(r.relname)) > 0
      OR EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = r.oid AND t.tgfoid = p.oid AND NOT t.tgisinternal))
) x
