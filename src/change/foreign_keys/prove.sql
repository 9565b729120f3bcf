
DECLARE
  place pg_catalog.regclass;
BEGIN
  LOOP
    place := (SELECT k.conrelid FROM pg_catalog.pg_partition_tree($1::pg_catalog.regclass) AS t
      JOIN pg_catalog.pg_constraint AS k ON k.conrelid = t.relid::pg_catalog.oid
      WHERE t.isleaf AND k.conname = $2 AND NOT k.convalidated ORDER BY k.conrelid LIMIT 1);
    EXIT WHEN place IS NULL;
    BEGIN
      EXECUTE pg_catalog.format('ALTER TABLE %s VALIDATE CONSTRAINT %I', place, $2);
    -- The partition is gone.
    EXCEPTION WHEN undefined_table OR undefined_object THEN NULL;
    END;
    -- The next one is proved when this one is free again.
    COMMIT;
  END LOOP;
END
