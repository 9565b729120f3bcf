
DECLARE
  part record;
BEGIN
  -- Each has a part in every partition, and one for every partition of the table that it refers to.
  FOR part IN
    WITH RECURSIVE tree AS (
      SELECT k.oid, k.conname, k.conrelid, k.confrelid, k.conname AS root, k.confrelid AS other, 0 AS level
      FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = $1::pg_catalog.regclass AND k.conname IN ($2, $3) AND k.conparentid = 0
      UNION ALL
      SELECT k.oid, k.conname, k.conrelid, k.confrelid, t.root, t.other, t.level + 1
      FROM pg_catalog.pg_constraint AS k JOIN tree AS t ON k.conparentid = t.oid
    )
    SELECT a.conrelid::pg_catalog.regclass AS place, a.conname AS name, b.conname AS other,
      CASE WHEN a.confrelid = a.other THEN $4 ELSE pg_catalog.concat($4, '_', a.confrelid) END AS parked,
      CASE WHEN a.level > 0 THEN pg_catalog.obj_description(a.oid, 'pg_constraint') END AS said
    FROM tree AS a JOIN tree AS b ON b.conrelid = a.conrelid AND b.confrelid = a.confrelid AND b.root = $3
    WHERE a.root = $2
    ORDER BY a.level, a.conrelid, a.confrelid
  LOOP
    EXECUTE pg_catalog.format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', part.place, part.name, part.parked);
    EXECUTE pg_catalog.format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', part.place, part.other, part.name);
    IF part.said IS NOT NULL THEN
      EXECUTE pg_catalog.format('COMMENT ON CONSTRAINT %I ON %s IS %L', part.name, part.place, part.said);
    END IF;
  END LOOP;
END
