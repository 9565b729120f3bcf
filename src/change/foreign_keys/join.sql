
DECLARE
  root pg_catalog.regclass := $1;
  called pg_catalog.name := $2;
  own pg_catalog.name := $3;
  definition pg_catalog.text := $4;
  -- What stands behind it where it need not hold for all rows.
  rest pg_catalog.text := $5;
  part record;
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = root AND k.conname = own) THEN
    RETURN;
  END IF;
  -- A partition that has come since is read now: a small one is no reason to wait.
  FOR part IN
    SELECT t.relid AS place FROM pg_catalog.pg_partition_tree(root) AS t
    WHERE t.isleaf AND rest = '' AND pg_catalog.pg_relation_size(t.relid) > 8388608
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = t.relid::pg_catalog.oid AND k.conname = called AND k.convalidated)
    ORDER BY t.relid LIMIT 1
  LOOP
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
      MESSAGE = pg_catalog.format('partition %s has no proved foreign key for that of the whole yet', part.place),
      DETAIL = pg_catalog.format('run these, each on its own, then go on: ALTER TABLE %1$s DROP CONSTRAINT IF EXISTS %2$I; ALTER TABLE %1$s ADD CONSTRAINT %2$I %3$s NOT VALID; '
        'ALTER TABLE %1$s VALIDATE CONSTRAINT %2$I', part.place, called, definition);
  END LOOP;
  EXECUTE pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s%s', root, own, definition, rest);
  FOR part IN
    SELECT k.conrelid::pg_catalog.regclass AS place FROM pg_catalog.pg_partition_tree(root) AS t
    JOIN pg_catalog.pg_constraint AS k ON k.conrelid = t.relid::pg_catalog.oid
    WHERE k.conname = called AND called <> own
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS o WHERE o.conrelid = k.conrelid AND o.conname = own)
    ORDER BY k.conrelid
  LOOP
    EXECUTE pg_catalog.format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', part.place, called, own);
  END LOOP;
  IF $6 IS NOT NULL THEN
    EXECUTE pg_catalog.format('COMMENT ON CONSTRAINT %I ON %s IS %L', own, root, $6);
  END IF;
END
