
DECLARE
  place pg_catalog.regclass;
BEGIN
  -- A run that goes on finds it in some partitions, or as that of the whole.
  FOR place IN
    SELECT t.relid FROM pg_catalog.pg_partition_tree($1::pg_catalog.regclass) AS t
    WHERE t.isleaf AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = t.relid::pg_catalog.oid AND k.conname = $2)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = $1::pg_catalog.regclass AND k.conname = $2)
    ORDER BY t.relid
  LOOP
    EXECUTE pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s NOT VALID', place, $2, $3);
  END LOOP;
END
