-- The schema of a database as one text, for servers that are newer than pg_dump: everything that a change of a
-- column could lose, one line each, in alphabetical order. Column numbers never show.
WITH ours AS (
  SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'crossfade')
), lines(line) AS (
  SELECT format('column %s.%I %s%s%s default %s identity %s generated %s storage %s compression %s statistics %s options %s',
      c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
      CASE WHEN a.attcollation <> 0 THEN ' collate ' || a.attcollation::regcollation::text ELSE '' END,
      CASE WHEN a.attnotnull THEN ' not null' ELSE '' END,
      coalesce(pg_get_expr(d.adbin, d.adrelid), '-'), a.attidentity, a.attgenerated, a.attstorage, a.attcompression,
      coalesce(nullif(a.attstattarget, -1)::text, '-'), coalesce(a.attoptions::text, '-'))
  FROM ours c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE c.relkind IN ('r', 'p', 'v', 'm', 'c')
  UNION ALL
  SELECT format('grant on %s.%I: %s to %s%s', c.oid::regclass, a.attname, x.privilege_type,
      CASE x.grantee WHEN 0 THEN 'public' ELSE x.grantee::regrole::text END, CASE WHEN x.is_grantable THEN ' with grant option' ELSE '' END)
  FROM ours c JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped, aclexplode(a.attacl) x
  UNION ALL
  SELECT format('grant on %s: %s to %s', c.oid::regclass, x.privilege_type, CASE x.grantee WHEN 0 THEN 'public' ELSE x.grantee::regrole::text END)
  FROM ours c, aclexplode(c.relacl) x
  UNION ALL
  SELECT format('comment on %s.%I: %s', c.oid::regclass, coalesce(a.attname, ''), s.description)
  FROM ours c JOIN pg_description s ON s.classoid = 'pg_class'::regclass AND s.objoid = c.oid
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = s.objsubid
  UNION ALL
  SELECT format('index %s valid %s replica %s clustered %s', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisreplident, i.indisclustered)
  FROM ours c JOIN pg_index i ON i.indrelid = c.oid
  UNION ALL
  SELECT format('constraint %s.%I %s validated %s', c.oid::regclass, k.conname, pg_get_constraintdef(k.oid), k.convalidated)
  FROM ours c JOIN pg_constraint k ON k.conrelid = c.oid
  UNION ALL
  SELECT format('trigger %s enabled %s', pg_get_triggerdef(t.oid), t.tgenabled)
  FROM ours c JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal
  UNION ALL
  SELECT format('view %s of %s options %s %s', c.oid::regclass, c.relowner::regrole, coalesce(c.reloptions::text, '-'), pg_get_viewdef(c.oid))
  FROM ours c WHERE c.relkind IN ('v', 'm')
  UNION ALL
  SELECT format('policy %s on %s for %s to %s using %s check %s', p.polname, c.oid::regclass, p.polcmd, p.polroles::regrole[]::text,
      pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid))
  FROM ours c JOIN pg_policy p ON p.polrelid = c.oid
  UNION ALL
  SELECT format('rule %s', pg_get_ruledef(w.oid)) FROM ours c JOIN pg_rewrite w ON w.ev_class = c.oid WHERE w.rulename <> '_RETURN'
  UNION ALL
  SELECT format('sequence %s start %s by %s max %s of %s.%s', c.oid::regclass, s.seqstart, s.seqincrement, s.seqmax,
      coalesce(d.refobjid::regclass::text, '-'), coalesce(a.attname::text, '-'))
  FROM ours c JOIN pg_sequence s ON s.seqrelid = c.oid
  LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  UNION ALL
  SELECT format('publication %s of %s columns %s', pubname, c.oid::regclass,
    -- Since 15.
    (SELECT string_agg(a.attname, ', ' ORDER BY a.attname)
     FROM json_array_elements_text(CASE json_typeof(to_json(r) -> 'prattrs') WHEN 'array' THEN to_json(r) -> 'prattrs' END) AS n (n)
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = n.n::int2))
  FROM ours c JOIN pg_publication_rel r ON r.prrelid = c.oid JOIN pg_publication p ON p.oid = r.prpubid
  UNION ALL
  SELECT format('comment on %s: %s', pg_describe_object(s.classoid, s.objoid, 0), s.description)
  FROM pg_description s WHERE s.classoid IN ('pg_constraint'::regclass, 'pg_trigger'::regclass)
  UNION ALL
  SELECT format('statistics %s', pg_get_statisticsobjdef(e.oid)) FROM ours c JOIN pg_statistic_ext e ON e.stxrelid = c.oid
  UNION ALL
  SELECT format('function %s', pg_get_functiondef(p.oid)) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'crossfade') AND p.prokind IN ('f', 'p')
  UNION ALL
  SELECT format('type %s (%s)', t.oid::regtype, string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder))
  FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY t.oid
)
SELECT coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), '') FROM lines
