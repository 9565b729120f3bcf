-- Other BEFORE triggers of the table, of its partitions too, and the sync trigger's place among them. $1: the table's oid, $2, $3: what the names of
-- our first and our last triggers begin with, $4: what those of this run's last ones begin with.
WITH RECURSIVE member AS (
  SELECT $1::bigint::oid AS oid
  UNION
  SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN member AS m ON m.oid = i.inhparent WHERE NOT i.inhdetachpending
), t AS (
  SELECT DISTINCT g.tgname::pg_catalog.text COLLATE "C" AS name,
    pg_catalog.starts_with(g.tgname::pg_catalog.text, $2) OR pg_catalog.starts_with(g.tgname::pg_catalog.text, $3) AS ours
  FROM pg_catalog.pg_trigger AS g
  WHERE g.tgrelid IN (SELECT oid FROM member) AND NOT g.tgisinternal
    AND (g.tgtype & 1) <> 0 AND (g.tgtype & 2) <> 0 AND (g.tgtype & 20) <> 0
)
SELECT pg_catalog.json_build_object(
  'names', coalesce((SELECT pg_catalog.json_agg(name ORDER BY name) FROM t WHERE NOT ours), '[]'),
  'outside', coalesce((SELECT pg_catalog.json_agg(name ORDER BY name) FROM t WHERE NOT ours AND (name < $2 OR name > $3)), '[]'),
  -- Those of partitions are clones, which count as internal before PostgreSQL 15; those of tables that inherit are not.
  'surrounded', NOT EXISTS (SELECT FROM member AS m WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_trigger AS g WHERE g.tgrelid = m.oid AND pg_catalog.starts_with(g.tgname::pg_catalog.text, $4))))::pg_catalog.text
