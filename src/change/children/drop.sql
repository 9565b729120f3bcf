
DECLARE
  child record;
BEGIN
  -- What is dropped in one table is from then on declared in those alone that inherit from it.
  LOOP
    WITH RECURSIVE member AS (
      SELECT pg_catalog.to_regclass($1)::pg_catalog.oid AS oid, 0 AS depth
      UNION
      SELECT i.inhrelid, m.depth + 1 FROM pg_catalog.pg_inherits AS i JOIN member AS m ON m.oid = i.inhparent
    )
    SELECT m.oid::pg_catalog.regclass AS name INTO child FROM member AS m
    WHERE m.depth > 0 AND EXISTS (SELECT FROM $2)
    ORDER BY m.oid LIMIT 1;
    EXIT WHEN NOT FOUND;
    EXECUTE pg_catalog.concat('ALTER TABLE ', child.name, ' ', $3);
  END LOOP;
END
