-- What tables that inherit from table $1 (oid) have on columns $2 (names) and a type change cannot carry there: table, column, what,
-- what to do.
WITH RECURSIVE member AS (
  SELECT $1::bigint::oid AS oid
  UNION
  SELECT i.inhrelid FROM pg_inherits i JOIN member m ON m.oid = i.inhparent
)
SELECT coalesce(json_agg(json_build_array(x.place, x.attname, x.what, x.help) ORDER BY x.place, x.attname, x.what), '[]')::text FROM (
  SELECT DISTINCT a.attrelid::regclass::text AS place, a.attname::text AS attname, o.what, o.help
  FROM member m
  JOIN pg_class p ON p.oid = m.oid
  JOIN pg_attribute a ON a.attrelid = m.oid AND a.attname = ANY ($2::text[]::name[]) AND NOT a.attisdropped
  JOIN pg_attribute r ON r.attrelid = $1::bigint::oid AND r.attname = a.attname
  CROSS JOIN LATERAL (
    SELECT 'is NOT NULL, and that of the parent is not' AS what,
      'make it NOT NULL in the parent, which makes it so in all tables, or take the table out (NO INHERIT) for the run' AS help
    WHERE a.attnotnull AND NOT r.attnotnull
    -- Since PostgreSQL 18 it has a name, and one that is inherited cannot get another alone.
    UNION ALL SELECT format('has NOT NULL under the name "%s", and that of the parent is called "%s"', k.conname, w.conname),
      'give both the same name: take the table out (NO INHERIT), rename its constraint, and let it inherit again'
    FROM pg_constraint k JOIN pg_constraint w ON w.conrelid = r.attrelid AND w.contype = 'n' AND w.conkey = ARRAY[r.attnum]
    WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND k.conname <> w.conname
    UNION ALL SELECT format('is in index "%s" of another schema', x.relname),
      'crossfade builds second indexes only in the schema of the parent: drop the index for the run, or move the table there'
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
    WHERE i.indrelid = a.attrelid AND a.attnum = ANY (i.indkey::int2[]) AND x.relnamespace <> (SELECT relnamespace FROM pg_class WHERE oid = r.attrelid)
  ) o
  WHERE m.oid <> $1::bigint::oid
) x
