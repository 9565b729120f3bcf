
DECLARE
  child record;
BEGIN
  FOR child IN
    WITH RECURSIVE member AS (
      SELECT pg_catalog.to_regclass($1)::pg_catalog.oid AS oid, 0 AS depth
      UNION
      SELECT i.inhrelid, m.depth + 1 FROM pg_catalog.pg_inherits AS i JOIN member AS m ON m.oid = i.inhparent
    )
    SELECT m.oid::pg_catalog.regclass AS name FROM member AS m
    WHERE m.depth > 0 AND EXISTS (SELECT FROM $2)
    GROUP BY m.oid ORDER BY max(m.depth) $3, m.oid
  LOOP
    EXECUTE pg_catalog.concat('ALTER TABLE ', child.name, ' ', $4);
  END LOOP;
END
