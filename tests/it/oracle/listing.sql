-- What harness/schema.sql and pg_dump say nothing of, or say less of: one line each, of the schema {s}.
WITH ours AS (SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {s}),
lines(line) AS (
  SELECT format('relation %s kind %s persistence %s owner %s options %s row security %s %s replica identity %s method %s rules %s triggers %s', c.oid::regclass,
      c.relkind, c.relpersistence, c.relowner::regrole, coalesce(c.reloptions::text, '-'), c.relrowsecurity, c.relforcerowsecurity, c.relreplident,
      (SELECT amname FROM pg_am WHERE oid = c.relam), CASE WHEN relkind IN ('v', 'm') THEN c.relhasrules END, EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid))
  FROM ours c
  UNION ALL
  SELECT format('column %s.%I stands at %s, local %s inherited %s missing %s', c.oid::regclass, a.attname, {n}, a.attislocal, a.attinhcount, a.atthasmissing AND {exact})
  FROM ours c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped WHERE c.relkind IN ('r', 'v', 'm')
  UNION ALL
  SELECT format('column %s of index %s statistics %s', a.attnum, c.oid::regclass, coalesce(nullif(a.attstattarget, -1)::text, '-'))
  FROM ours c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relkind = 'i' AND {exact} -- a type change keeps what plain ALTER TABLE loses
  UNION ALL
  SELECT format('index %s valid %s ready %s unique %s primary %s immediate %s classes %s collations %s', c.oid::regclass, i.indisvalid, i.indisready, i.indisunique,
      i.indisprimary, i.indimmediate, ARRAY(SELECT opcname FROM unnest(i.indclass) WITH ORDINALITY u (o, n) JOIN pg_opclass p ON p.oid = u.o ORDER BY n),
      ARRAY(SELECT coalesce(collname, '-') FROM unnest(i.indcollation) WITH ORDINALITY u (o, n) LEFT JOIN pg_collation p ON p.oid = u.o ORDER BY n))
  FROM ours c JOIN pg_index i ON i.indexrelid = c.oid
  UNION ALL
  SELECT format('constraint %I on %s kind %s deferrable %s %s index %s no inherit %s local %s', k.conname, c.oid::regclass, k.contype, k.condeferrable, k.condeferred,
      -- Of several unique keys on the same column, a foreign key made anew may take another.
      CASE WHEN k.contype <> 'f' OR {exact} THEN k.conindid::regclass END,
      -- Of a key that was attached to that of a partitioned table PostgreSQL says so, and of one that it made itself it does not; neither means anything.
      k.connoinherit AND NOT (k.contype IN ('p', 'u', 'f') AND k.conparentid <> 0),
      -- A partition that gets a key of its own first has declared NOT NULL itself, since 18.
      k.conislocal AND (k.contype <> 'n' OR NOT c.relispartition))
  FROM ours c JOIN pg_constraint k ON k.conrelid = c.oid
  UNION ALL
  SELECT format('sequence %s type %s start %s by %s from %s to %s cycle %s cache %s', c.oid::regclass, s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax,
      s.seqcycle, s.seqcache)
  FROM ours c JOIN pg_sequence s ON s.seqrelid = c.oid
  UNION ALL
  SELECT format('comment on %s: %s', pg_describe_object(s.classoid, s.objoid, s.objsubid), s.description)
  FROM pg_description s WHERE s.classoid IN ('pg_policy'::regclass, 'pg_statistic_ext'::regclass, 'pg_rewrite'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass)
    AND s.objoid >= 16384
  UNION ALL
  SELECT format('statistics %s target %s kinds %s', pg_get_statisticsobjdef(e.oid), coalesce(nullif((to_jsonb(e) ->> 'stxstattarget')::int, -1), -1), e.stxkind)
  FROM ours c JOIN pg_statistic_ext e ON e.stxrelid = c.oid
  UNION ALL
  SELECT format('trigger %I on %s of columns %s constraint %s', t.tgname, c.oid::regclass,
      ARRAY(SELECT a.attname FROM unnest(t.tgattr) u (n) JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.n ORDER BY 1), t.tgconstraint <> 0)
  FROM ours c JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal
  UNION ALL
  SELECT format('rule %I on %s enabled %s', w.rulename, c.oid::regclass, w.ev_enabled) FROM ours c JOIN pg_rewrite w ON w.ev_class = c.oid
)
SELECT coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), '') FROM lines
