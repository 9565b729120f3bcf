
DECLARE
  -- The table, those that inherit from it, and the columns of these names in each: they are counted there on their own.
  places pg_catalog.oid[] := ARRAY(
    WITH RECURSIVE member AS (
      SELECT pg_catalog.to_regclass($1)::pg_catalog.oid AS oid
      UNION
      SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN member AS m ON m.oid = i.inhparent
        JOIN pg_catalog.pg_class AS c ON c.oid = i.inhparent AND c.relkind = 'r')
    SELECT m.oid FROM member AS m ORDER BY m.oid);
  places_of_columns pg_catalog.oid[];
  attnums int2[];
  in_place bool := $3;
  down text[] := '{}';
  up text[] := '{}';
  views pg_catalog.oid[] := '{}';
  last text[] := '{}';
  twin text;
  parked text;
  found record;
  part record;
  statement text;
BEGIN
  SELECT pg_catalog.array_agg(a.attrelid ORDER BY a.attrelid, a.attnum), pg_catalog.array_agg(a.attnum ORDER BY a.attrelid, a.attnum)
  INTO places_of_columns, attnums
  FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = ANY (places) AND a.attname = ANY ($2) AND NOT a.attisdropped;

  -- What was waiting for the next fill is not needed any more: its original follows the column that it reads.
  FOR found IN
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS kind
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm') AND pg_catalog.starts_with(c.relname, $6) ORDER BY c.oid DESC
  LOOP
    EXECUTE pg_catalog.format('DROP %s %s', found.kind, found.name);
  END LOOP;

  FOR found IN
    WITH RECURSIVE edge AS MATERIALIZED (
      SELECT DISTINCT d.refobjid AS lower, w.ev_class AS upper
      FROM pg_catalog.pg_depend AS d
      JOIN pg_catalog.pg_rewrite AS w ON w.oid = d.objid AND w.ev_type = '1' AND w.ev_class <> d.refobjid
      WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
        AND (d.refobjid <> ALL (places) OR (d.refobjid, d.refobjsubid) IN (SELECT u.oid, u.attnum FROM ROWS FROM (pg_catalog.unnest(places_of_columns), pg_catalog.unnest(attnums)) AS u (oid, attnum)))
    ), above (view, depth) AS (
      SELECT e.upper, 1 FROM edge AS e WHERE e.lower = ANY (places)
      UNION
      SELECT e.upper, above.depth + 1 FROM above JOIN edge AS e ON e.lower = above.view
    ), late (view) AS (
      -- Materialized views, and what reads them: they are exchanged once they are filled.
      SELECT above.view FROM above JOIN pg_catalog.pg_class AS c ON c.oid = above.view AND c.relkind = 'm'
      UNION
      SELECT e.upper FROM late JOIN edge AS e ON e.lower = late.view
    ), read_by_them (view) AS (
      SELECT e.lower FROM late JOIN edge AS e ON e.upper = late.view
      UNION
      SELECT e.lower FROM read_by_them AS r JOIN edge AS e ON e.upper = r.view
    )
    SELECT c.oid, n.nspname, c.relname, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, c.relowner, c.reloptions, c.relacl,
      c.relkind, CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS kind, m.amname, s.spcname,
      c.oid IN (SELECT view FROM late) AS is_late, c.oid IN (SELECT view FROM read_by_them) AS is_read,
      (SELECT p.relname FROM pg_catalog.pg_class AS p
        WHERE p.relkind = 'v' AND p.relnamespace = c.relnamespace AND p.relname = $7 || c.oid) AS parked
    FROM above
    JOIN pg_catalog.pg_class AS c ON c.oid = above.view
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
    LEFT JOIN pg_catalog.pg_tablespace AS s ON s.oid = c.reltablespace
    GROUP BY c.oid, n.nspname, m.amname, s.spcname ORDER BY max(above.depth), c.oid
  LOOP
    statement := pg_catalog.format('CREATE %s %s%s%s%s AS %s', found.kind, found.name, ' USING ' || pg_catalog.quote_ident(found.amname),
      ' WITH (' || pg_catalog.array_to_string(found.reloptions, ', ') || ')', ' TABLESPACE ' || pg_catalog.quote_ident(found.spcname),
      pg_catalog.rtrim(pg_catalog.pg_get_viewdef(found.oid), ';'));
    -- The name until it comes to rest under another.
    parked := $7 || found.oid || '_';
    IF found.is_late THEN
      -- The name stays with what is filled. What is to take its place reads what has a new definition.
      twin := $6 || found.oid;
      down := pg_catalog.array_prepend(pg_catalog.format('ALTER %s %s RENAME TO %I', found.kind, found.name, parked), down);
      up := up || (statement || CASE found.relkind WHEN 'm' THEN ' WITH NO DATA' ELSE '' END);
      last := last || pg_catalog.format('ALTER %s %s RENAME TO %I', found.kind, found.name, twin);
      last := last || pg_catalog.format('ALTER %s %I.%I RENAME TO %I', found.kind, found.nspname, parked, found.relname);
      -- Known by it when it is replaced before that.
      last := last || pg_catalog.format('DO %L', pg_catalog.format('DECLARE rule text; BEGIN
        SELECT w.xmin::text INTO rule FROM pg_catalog.pg_rewrite AS w WHERE w.ev_class = %s AND w.ev_type = ''1'';
        EXECUTE pg_catalog.format(''COMMENT ON %s %%s IS %%L'', %L, rule); END',
        found.oid, found.kind, pg_catalog.format('%I.%I', found.nspname, twin)));
    ELSE
      views := views || found.oid;
      IF found.parked IS NOT NULL THEN
        down := pg_catalog.array_prepend(pg_catalog.format('DROP VIEW %s', found.name), down);
        up := up || pg_catalog.format('ALTER VIEW %I.%I RENAME TO %I', found.nspname, found.parked, found.relname);
      ELSIF found.is_read THEN
        down := pg_catalog.array_prepend(pg_catalog.format('ALTER VIEW %s RENAME TO %I', found.name, parked), down);
        up := up || statement;
        -- It gets them again if it gets its name back.
        last := last || ARRAY(
          SELECT pg_catalog.format('DROP RULE %I ON %I.%I', w.rulename, found.nspname, parked) FROM pg_catalog.pg_rewrite AS w
          WHERE w.ev_class = found.oid AND w.ev_type <> '1'
          UNION ALL
          SELECT pg_catalog.format('DROP TRIGGER %I ON %I.%I', g.tgname, found.nspname, parked) FROM pg_catalog.pg_trigger AS g
          WHERE g.tgrelid = found.oid AND NOT g.tgisinternal);
        last := last || pg_catalog.format('DO %L', pg_catalog.format('BEGIN
          EXECUTE pg_catalog.format(''ALTER VIEW %%s RENAME TO %%I'', %L, %L || %L::pg_catalog.regclass::pg_catalog.oid); END',
          pg_catalog.format('%I.%I', found.nspname, parked), $7, found.name));
      ELSE
        down := pg_catalog.array_prepend(pg_catalog.format('DROP VIEW %s', found.name), down);
        up := up || statement;
      END IF;
    END IF;
    up := up || pg_catalog.format('ALTER %s %s OWNER TO %I', found.kind, found.name, pg_catalog.pg_get_userbyid(found.relowner));
$8
    CONTINUE WHEN found.is_late;
$9
  END LOOP;
  up := up || last;

  -- A function with a body that PostgreSQL has parsed is replaced twice, and stays the same for whoever calls it: first by one
  -- without a body, so that it needs neither column nor view.
  FOR found IN
    SELECT p.oid, pg_catalog.format('%I.%I', n.nspname, p.proname) AS name, p.prokind = 'p' AS is_procedure
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE p.prosqlbody IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.pg_depend AS d
      WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND ((d.refobjid, d.refobjsubid) IN (SELECT u.oid, u.attnum FROM ROWS FROM (pg_catalog.unnest(places_of_columns), pg_catalog.unnest(attnums)) AS u (oid, attnum)) OR d.refobjid = ANY (views)))
    ORDER BY p.oid
  LOOP
    down := pg_catalog.array_prepend(pg_catalog.format('CREATE OR REPLACE %s %s(%s)%s LANGUAGE sql AS %L',
      CASE WHEN found.is_procedure THEN 'PROCEDURE' ELSE 'FUNCTION' END, found.name, pg_catalog.pg_get_function_arguments(found.oid),
      ' RETURNS ' || pg_catalog.pg_get_function_result(found.oid), ''), down);
    up := up || pg_catalog.pg_get_functiondef(found.oid);
    up := up || ARRAY(
      SELECT pg_catalog.format('ALTER ROUTINE %s DEPENDS ON EXTENSION %I', found.oid::pg_catalog.regprocedure, e.extname)
      FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
      WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = found.oid
        AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'x');
  END LOOP;

  -- A policy is never away: for this transaction, which holds the table, it lets nobody pass.
  FOR found IN
    SELECT p.polname, p.polrelid::pg_catalog.regclass AS place, p.polqual IS NOT NULL AS has_using, p.polwithcheck IS NOT NULL AS has_check,
      pg_catalog.pg_get_expr(p.polqual, p.polrelid) AS passes, pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) AS accepts
    FROM pg_catalog.pg_policy AS p
    WHERE p.polrelid = ANY (places) AND EXISTS (SELECT FROM pg_catalog.pg_depend AS d
      WHERE d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND d.objid = p.oid
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND (d.refobjid, d.refobjsubid) IN (SELECT u.oid, u.attnum FROM ROWS FROM (pg_catalog.unnest(places_of_columns), pg_catalog.unnest(attnums)) AS u (oid, attnum)))
    ORDER BY p.polrelid, p.polname
  LOOP
    down := pg_catalog.array_prepend(pg_catalog.format('ALTER POLICY %I ON %s%s%s', found.polname, found.place,
      CASE WHEN found.has_using THEN ' USING (false)' END, CASE WHEN found.has_check THEN ' WITH CHECK (false)' END), down);
    up := up || pg_catalog.format('ALTER POLICY %I ON %s%s%s', found.polname, found.place,
      ' USING (' || found.passes || ')', ' WITH CHECK (' || found.accepts || ')');
  END LOOP;

  FOR found IN
    SELECT g.oid, g.tgname, g.tgenabled, g.tgrelid::pg_catalog.regclass AS place FROM pg_catalog.pg_trigger AS g
    WHERE g.tgrelid = ANY (places) AND NOT g.tgisinternal
      AND NOT pg_catalog.starts_with(g.tgname, $4) AND NOT pg_catalog.starts_with(g.tgname, $5)
      AND EXISTS (SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND d.objid = g.oid
          AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND (d.refobjid, d.refobjsubid) IN (SELECT u.oid, u.attnum FROM ROWS FROM (pg_catalog.unnest(places_of_columns), pg_catalog.unnest(attnums)) AS u (oid, attnum)))
    ORDER BY g.tgrelid, g.tgname
  LOOP
    down := down || pg_catalog.format('DROP TRIGGER %I ON %s', found.tgname, found.place);
    up := up || pg_catalog.pg_get_triggerdef(found.oid);
    up := up || ARRAY(
      SELECT pg_catalog.format('COMMENT ON TRIGGER %I ON %s IS %L', found.tgname, found.place, o.description) FROM pg_catalog.pg_description AS o
      WHERE o.classoid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND o.objoid = found.oid);
    up := up || ARRAY(
      SELECT pg_catalog.format('ALTER TRIGGER %I ON %s DEPENDS ON EXTENSION %I', found.tgname, found.place, e.extname)
      FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
      WHERE d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND d.objid = found.oid
        AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'x');
    IF found.tgenabled <> 'O' THEN
      up := up || pg_catalog.format('ALTER TABLE %s %s TRIGGER %I', found.place,
        CASE found.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, found.tgname);
    END IF;
  END LOOP;

  FOR found IN
    SELECT w.oid, w.rulename, w.ev_enabled, w.ev_class::pg_catalog.regclass AS place FROM pg_catalog.pg_rewrite AS w
    WHERE w.ev_class = ANY (places) AND EXISTS (SELECT FROM pg_catalog.pg_depend AS d
      WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = w.oid
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND (d.refobjid, d.refobjsubid) IN (SELECT u.oid, u.attnum FROM ROWS FROM (pg_catalog.unnest(places_of_columns), pg_catalog.unnest(attnums)) AS u (oid, attnum)))
    ORDER BY w.ev_class, w.rulename
  LOOP
    down := down || pg_catalog.format('DROP RULE %I ON %s', found.rulename, found.place);
    up := up || pg_catalog.pg_get_ruledef(found.oid);
    up := up || ARRAY(
      SELECT pg_catalog.format('COMMENT ON RULE %I ON %s IS %L', found.rulename, found.place, o.description) FROM pg_catalog.pg_description AS o
      WHERE o.classoid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND o.objoid = found.oid);
    IF found.ev_enabled <> 'O' THEN
      up := up || pg_catalog.format('ALTER TABLE %s %s RULE %I', found.place,
        CASE found.ev_enabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, found.rulename);
    END IF;
  END LOOP;

  IF NOT in_place THEN
    FOR found IN
      SELECT s.oid, pg_catalog.format('%I.%I', n.nspname, s.stxname) AS name, s.stxowner,
        (pg_catalog.to_jsonb(s) ->> 'stxstattarget')::int4 AS target
      FROM pg_catalog.pg_statistic_ext AS s JOIN pg_catalog.pg_namespace AS n ON n.oid = s.stxnamespace
      WHERE s.stxrelid = ANY (places) AND EXISTS (SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass AND d.objid = s.oid
          AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND (d.refobjid, d.refobjsubid) IN (SELECT u.oid, u.attnum FROM ROWS FROM (pg_catalog.unnest(places_of_columns), pg_catalog.unnest(attnums)) AS u (oid, attnum)))
      ORDER BY s.stxname
    LOOP
      down := down || pg_catalog.format('DROP STATISTICS %s', found.name);
      up := up || pg_catalog.pg_get_statisticsobjdef(found.oid);
      up := up || pg_catalog.format('ALTER STATISTICS %s OWNER TO %I', found.name, pg_catalog.pg_get_userbyid(found.stxowner));
      IF found.target >= 0 THEN
        up := up || pg_catalog.format('ALTER STATISTICS %s SET STATISTICS %s', found.name, found.target);
      END IF;
      up := up || ARRAY(
        SELECT pg_catalog.format('COMMENT ON STATISTICS %s IS %L', found.name, o.description) FROM pg_catalog.pg_description AS o
        WHERE o.classoid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass AND o.objoid = found.oid);
    END LOOP;
    up := up || ARRAY(
      SELECT pg_catalog.format('ALTER SEQUENCE %I.%I OWNED BY %s.%I', n.nspname, c.relname, a.attrelid::pg_catalog.regclass, a.attname)
      FROM pg_catalog.pg_depend AS d
      JOIN pg_catalog.pg_class AS c ON c.oid = d.objid AND c.relkind = 'S'
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND (d.refobjid, d.refobjsubid) IN (SELECT u.oid, u.attnum FROM ROWS FROM (pg_catalog.unnest(places_of_columns), pg_catalog.unnest(attnums)) AS u (oid, attnum)) AND d.deptype = 'a'
      ORDER BY c.oid);
  END IF;

  IF NOT in_place THEN
    FOR found IN
      SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, c.relowner, c.relacl, a.attname, a.attrelid::pg_catalog.regclass AS place, s.*,
        CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END AS given,
        CASE s.seqtypid WHEN 'int2'::pg_catalog.regtype THEN 32767 WHEN 'int4'::pg_catalog.regtype THEN 2147483647
          ELSE 9223372036854775807 END AS most
      FROM pg_catalog.pg_depend AS d
      JOIN pg_catalog.pg_class AS c ON c.oid = d.objid AND c.relkind = 'S'
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
      JOIN pg_catalog.pg_sequence AS s ON s.seqrelid = c.oid
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND (d.refobjid, d.refobjsubid) IN (SELECT u.oid, u.attnum FROM ROWS FROM (pg_catalog.unnest(places_of_columns), pg_catalog.unnest(attnums)) AS u (oid, attnum)) AND d.deptype = 'i'
    LOOP
      -- From here on nextval waits, and the next value is known.
      EXECUTE pg_catalog.format('ALTER SEQUENCE %s INCREMENT %s', found.name, found.seqincrement);
      EXECUTE pg_catalog.format('SELECT last_value, is_called FROM %s', found.name) INTO part;
      down := down || pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I DROP IDENTITY', found.place, found.attname);
      -- A limit that is that of its type becomes that of the other type.
      up := up || pg_catalog.format(
        'ALTER TABLE %s ALTER COLUMN %I ADD GENERATED %s AS IDENTITY (SEQUENCE NAME %s START WITH %s INCREMENT BY %s%s%s CACHE %s%s)',
        found.place, found.attname, found.given, found.name, found.seqstart, found.seqincrement,
        CASE WHEN found.seqmax <> CASE WHEN found.seqincrement > 0 THEN found.most ELSE -1 END THEN ' MAXVALUE ' || found.seqmax END,
        CASE WHEN found.seqmin <> CASE WHEN found.seqincrement > 0 THEN 1 ELSE -found.most - 1 END THEN ' MINVALUE ' || found.seqmin END,
        found.seqcache, CASE WHEN found.seqcycle THEN ' CYCLE' END);
      up := up || pg_catalog.format('SELECT pg_catalog.setval(%L, %s, %L)', found.name, part.last_value, part.is_called);
$10
      up := up || ARRAY(
        SELECT pg_catalog.format('COMMENT ON SEQUENCE %s IS %L', found.name, o.description) FROM pg_catalog.pg_description AS o
        WHERE o.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.objoid = found.oid);
    END LOOP;
  END IF;

  PERFORM pg_catalog.set_config('crossfade.made_anew', pg_catalog.array_to_json(up)::text, true);
  PERFORM pg_catalog.set_config('check_function_bodies', 'off', true);
  FOREACH statement IN ARRAY down LOOP
    EXECUTE statement;
  END LOOP;
  PERFORM pg_catalog.set_config('check_function_bodies', 'on', true);
END
