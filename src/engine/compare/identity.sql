-- The clock; the hash of the functions of the run $3 (its tag) in schema $2 and of all triggers of table $1 (oid) and its partitions
-- but those of other runs (their names begin with one of $5), with the versions of their rows in the catalog: a trigger that was disabled
-- and enabled again is another one; and the table's file, 0 if another table has its name $4. For the files of a table
-- with partitions, or with tables that inherit from it, stands a number that is another one once one of them comes, goes or gets another file.
-- $6 is pg_proc, or those of its rows that are in the schema.
-- (pg_get_triggerdef would do, if what it writes did not depend on search_path.)
WITH RECURSIVE member AS (
  SELECT $1::bigint::oid AS oid
  UNION
  SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN member AS m ON m.oid = i.inhparent WHERE NOT i.inhdetachpending
), own AS (
  SELECT p.oid, pg_catalog.concat_ws(' ', p.proname, p.xmin, p.prosrc) AS made
  FROM $6 AS p
  WHERE p.pronamespace = (SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname = $2)
    AND pg_catalog.strpos(p.proname::text, '_' || $3) > 0
), code AS (
  SELECT made FROM own
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', t.oid, t.xmin, t.tgname, t.tgenabled, t.tgtype, t.tgattr, t.tgqual)
  FROM pg_catalog.pg_trigger AS t
  WHERE t.tgrelid IN (SELECT member.oid FROM member) AND (NOT t.tgisinternal OR t.tgparentid <> 0)
    AND (t.tgfoid IN (SELECT own.oid FROM own)
         OR NOT EXISTS (SELECT FROM pg_catalog.unnest($5::text[]) AS others WHERE pg_catalog.starts_with(t.tgname::text, others)))
)
SELECT pg_catalog.clock_timestamp() AS started_at,
       pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
         COALESCE((SELECT pg_catalog.string_agg(code.made, E'\n' ORDER BY code.made) FROM code), ''), 'UTF8')), 'hex') AS body_hash,
       CASE WHEN pg_catalog.to_regclass($4)::oid = $1::bigint::oid
            THEN COALESCE(CASE WHEN (SELECT pg_catalog.count(*) FROM member) = 1 THEN pg_catalog.pg_relation_filenode($1::bigint::oid) END::bigint,
              (SELECT 1 + (pg_catalog.hashtext(pg_catalog.string_agg(
                   pg_catalog.concat(member.oid, ' ', pg_catalog.pg_relation_filenode(member.oid)), ',' ORDER BY member.oid)) & 1073741823)::bigint
               FROM member JOIN pg_catalog.pg_class AS c ON c.oid = member.oid), 0) ELSE 0 END AS relfilenode
