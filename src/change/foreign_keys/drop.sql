
DECLARE
  place pg_catalog.regclass;
BEGIN
  -- What is in partitions and not yet one of the whole.
  FOR place IN
    SELECT k.conrelid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass($1)) AS t
    JOIN pg_catalog.pg_constraint AS k ON k.conrelid = t.relid::pg_catalog.oid
    WHERE k.conname = $2 AND k.conparentid = 0
    ORDER BY k.conrelid
  LOOP
    EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', place, $2);
  END LOOP;
END
