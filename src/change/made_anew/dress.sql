    up := up || ARRAY(
      SELECT pg_catalog.format('ALTER VIEW %s ALTER COLUMN %I SET DEFAULT %s', found.name, a.attname, pg_catalog.pg_get_expr(d.adbin, d.adrelid))
      FROM pg_catalog.pg_attrdef AS d JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
      WHERE d.adrelid = found.oid ORDER BY a.attnum);
    up := up || ARRAY(
      SELECT CASE o.objsubid WHEN 0 THEN pg_catalog.format('COMMENT ON %s %s IS %L', found.kind, found.name, o.description)
        ELSE pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', found.name, a.attname, o.description) END
      FROM pg_catalog.pg_description AS o
      LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = o.objoid AND a.attnum = o.objsubid
      WHERE o.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.objoid = found.oid ORDER BY o.objsubid);
    up := up || ARRAY(
      SELECT pg_catalog.pg_get_ruledef(w.oid) FROM pg_catalog.pg_rewrite AS w
      WHERE w.ev_class = found.oid AND w.ev_type <> '1' ORDER BY w.rulename);
    up := up || ARRAY(
      SELECT pg_catalog.format('COMMENT ON RULE %I ON %s IS %L', w.rulename, found.name, o.description)
      FROM pg_catalog.pg_rewrite AS w
      JOIN pg_catalog.pg_description AS o ON o.classoid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND o.objoid = w.oid
      WHERE w.ev_class = found.oid AND w.ev_type <> '1' ORDER BY w.rulename);
    up := up || ARRAY(
      SELECT pg_catalog.pg_get_triggerdef(g.oid) FROM pg_catalog.pg_trigger AS g
      WHERE g.tgrelid = found.oid AND NOT g.tgisinternal ORDER BY g.tgname);
    up := up || ARRAY(
      SELECT pg_catalog.format('COMMENT ON TRIGGER %I ON %s IS %L', g.tgname, found.name, o.description)
      FROM pg_catalog.pg_trigger AS g
      JOIN pg_catalog.pg_description AS o ON o.classoid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND o.objoid = g.oid
      WHERE g.tgrelid = found.oid AND NOT g.tgisinternal ORDER BY g.tgname);
