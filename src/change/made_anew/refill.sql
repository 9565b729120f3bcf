
DECLARE
  path text := pg_catalog.current_setting('search_path');
  up text[] := '{}';
  last text[] := '{}';
  found record;
  part record;
  tries int4 := 0;
BEGIN
  -- Whatever the owner's path has, these are the names of PostgreSQL; only what is theirs runs under it.
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);

  -- What somebody has dropped has nothing that takes its place.
  FOR found IN
    SELECT format('%I.%I', n.nspname, c.relname) AS name, CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS kind
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm') AND starts_with(c.relname, $1)
      AND NOT EXISTS (SELECT FROM pg_class AS o WHERE o.oid::text = substr(c.relname, length($1) + 1) AND o.relkind = c.relkind)
    ORDER BY c.oid DESC
  LOOP
    EXECUTE format('DROP %s %s', found.kind, found.name);
  END LOOP;

  -- A comment that stays as it is takes the lock that keeps REFRESH away, and CREATE INDEX, but nobody who reads.
  FOR found IN
    SELECT format('%I.%I', n.nspname, o.relname) AS name, obj_description(o.oid, 'pg_class') AS comment
    FROM pg_class AS c
    JOIN pg_class AS o ON o.oid::text = substr(c.relname, length($1) + 1) AND o.relkind = c.relkind
    JOIN pg_namespace AS n ON n.oid = o.relnamespace
    WHERE c.relkind = 'm' AND starts_with(c.relname, $1) ORDER BY c.oid
  LOOP
    EXECUTE format('COMMENT ON MATERIALIZED VIEW %s IS %L', found.name, found.comment);
  END LOOP;

  FOR found IN
    SELECT c.oid AS twin, format('%I.%I', n.nspname, c.relname) AS twin_name, o.oid, o.relispopulated
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_class AS o ON o.oid::text = substr(c.relname, length($1) + 1) AND o.relkind = c.relkind
    WHERE c.relkind = 'm' AND starts_with(c.relname, $1) ORDER BY c.oid
  LOOP
    IF found.relispopulated THEN
      PERFORM set_config('search_path', path, true);
      EXECUTE 'REFRESH MATERIALIZED VIEW ' || found.twin_name;
      PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    END IF;
    FOR part IN
      SELECT format('%s%s_%s', $1, found.oid, x.oid) AS name, i.indisunique, s.spcname,
        substr(pg_get_indexdef(x.oid), length(format('CREATE %sINDEX %I ON %I.%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' END,
          x.relname, n.nspname, o.relname)) + 1) AS tail
      FROM pg_index AS i
      JOIN pg_class AS x ON x.oid = i.indexrelid
      JOIN pg_class AS o ON o.oid = i.indrelid
      JOIN pg_namespace AS n ON n.oid = o.relnamespace
      LEFT JOIN pg_tablespace AS s ON s.oid = x.reltablespace
      WHERE i.indrelid = found.oid AND i.indisvalid ORDER BY x.oid
    LOOP
      PERFORM set_config('default_tablespace', coalesce(part.spcname, ''), true);
      PERFORM set_config('search_path', path, true);
      EXECUTE pg_catalog.format('CREATE %s INDEX %I ON %s %s', CASE WHEN part.indisunique THEN 'UNIQUE' END, part.name, found.twin_name, part.tail);
      PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    END LOOP;
  END LOOP;

  -- From here on readers wait, for as long as the names change hands.
  LOOP
    BEGIN
      PERFORM set_config('lock_timeout', '300ms', true);
      FOR found IN
        SELECT format('%I.%I', n.nspname, o.relname) AS name, CASE o.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS kind,
          pg_get_userbyid(o.relowner) AS owner
        FROM pg_class AS c
        JOIN pg_class AS o ON o.oid::text = substr(c.relname, length($1) + 1) AND o.relkind = c.relkind
        JOIN pg_namespace AS n ON n.oid = o.relnamespace
        WHERE c.relkind IN ('v', 'm') AND starts_with(c.relname, $1) ORDER BY c.oid DESC
      LOOP
        EXECUTE format('ALTER %s %s OWNER TO %I', found.kind, found.name, found.owner);
      END LOOP;
      EXIT;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      tries := tries + 1;
      IF tries = 100 THEN
        RAISE;
      END IF;
    END;
    PERFORM pg_sleep(1.5);
  END LOOP;

  FOR found IN
    SELECT c.oid AS twin, c.relname AS twin_name, o.oid, n.nspname, o.relname, format('%I.%I', n.nspname, o.relname) AS name, o.relowner, o.relacl, o.relkind,
      CASE o.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS kind,
      o.relkind = 'v' AND obj_description(c.oid, 'pg_class') IS DISTINCT FROM
        (SELECT w.xmin::text FROM pg_rewrite AS w WHERE w.ev_class = o.oid AND w.ev_type = '1') AS is_replaced
    FROM pg_class AS c
    JOIN pg_class AS o ON o.oid::text = substr(c.relname, length($1) + 1) AND o.relkind = c.relkind
    JOIN pg_namespace AS n ON n.oid = o.relnamespace
    WHERE c.relkind IN ('v', 'm') AND starts_with(c.relname, $1) ORDER BY c.oid
  LOOP
    IF found.is_replaced THEN
      RAISE object_not_in_prerequisite_state USING MESSAGE = format('view %s was replaced while the materialized views that it reads are made anew', found.name),
        HINT = format('Drop view %s, let crossfade continue, and create it again afterwards.', found.name);
    END IF;
    last := array_prepend(format('DROP %s %s', found.kind, found.name), last);
    up := up || format('ALTER %s %I.%I RENAME TO %I', found.kind, found.nspname, found.twin_name, found.relname);
    up := up || format('COMMENT ON %s %s IS NULL', found.kind, found.name);
$3
$4
    FOR part IN
      SELECT x.relname, format('%s%s_%s', $1, found.oid, x.oid) AS twin, i.indisclustered, obj_description(x.oid, 'pg_class') AS comment, x.oid
      FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = found.oid AND i.indisvalid ORDER BY x.oid
    LOOP
      up := up || format('ALTER INDEX %I.%I RENAME TO %I', found.nspname, part.twin, part.relname);
      IF part.indisclustered THEN
        up := up || format('ALTER MATERIALIZED VIEW %s CLUSTER ON %I', found.name, part.relname);
      END IF;
      IF part.comment IS NOT NULL THEN
        up := up || format('COMMENT ON INDEX %I.%I IS %L', found.nspname, part.relname, part.comment);
      END IF;
      up := up || ARRAY(
        SELECT format('ALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS %s', found.nspname, part.relname, a.attnum, a.attstattarget)
        FROM pg_attribute AS a WHERE a.attrelid = part.oid AND a.attstattarget >= 0 ORDER BY a.attnum);
    END LOOP;
    IF found.relkind = 'm' THEN
      up := up || ARRAY(
        SELECT format('ALTER MATERIALIZED VIEW %s ALTER COLUMN %I %s', found.name, a.attname, x.what)
        FROM pg_attribute AS a
        JOIN pg_type AS y ON y.oid = a.atttypid
        CROSS JOIN LATERAL (VALUES
          ('SET STATISTICS ' || CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END),
          ('SET (' || array_to_string(a.attoptions, ', ') || ')'),
          ('SET COMPRESSION ' || CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END),
          -- A column of another type has that type's own storage.
          ('SET STORAGE ' || CASE WHEN a.attstorage <> y.typstorage AND y.typstorage <> 'p' THEN
            CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'm' THEN 'MAIN' WHEN 'e' THEN 'EXTERNAL' ELSE 'EXTENDED' END END)) AS x (what)
        JOIN pg_attribute AS b ON b.attrelid = found.twin AND b.attnum = a.attnum
        WHERE a.attrelid = found.oid AND a.attnum > 0 AND x.what IS NOT NULL
          AND (x.what !~ '^SET (STORAGE|COMPRESSION)' OR b.atttypid = a.atttypid)
        ORDER BY a.attnum, x.what);
      FOR part IN
        SELECT s.oid, format('%I.%I', n.nspname, s.stxname) AS name, s.stxowner, (to_jsonb(s) ->> 'stxstattarget')::int4 AS target,
          obj_description(s.oid, 'pg_statistic_ext') AS comment
        FROM pg_statistic_ext AS s JOIN pg_namespace AS n ON n.oid = s.stxnamespace WHERE s.stxrelid = found.oid ORDER BY s.stxname
      LOOP
        up := up || pg_get_statisticsobjdef(part.oid);
        up := up || format('ALTER STATISTICS %s OWNER TO %I', part.name, pg_get_userbyid(part.stxowner));
        IF part.target >= 0 THEN
          up := up || format('ALTER STATISTICS %s SET STATISTICS %s', part.name, part.target);
        END IF;
        IF part.comment IS NOT NULL THEN
          up := up || format('COMMENT ON STATISTICS %s IS %L', part.name, part.comment);
        END IF;
      END LOOP;
      up := up || ARRAY(
        SELECT format('ALTER MATERIALIZED VIEW %s DEPENDS ON EXTENSION %I', found.name, e.extname)
        FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = found.oid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'x');
    END IF;
  END LOOP;

  -- As the swap does it: a function whose body PostgreSQL has read is replaced twice.
  FOR found IN
    SELECT p.oid, format('%I.%I', n.nspname, p.proname) AS name, p.prokind = 'p' AS is_procedure
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE p.prosqlbody IS NOT NULL AND EXISTS (SELECT FROM pg_depend AS d
      JOIN pg_class AS c ON c.relkind IN ('v', 'm') AND starts_with(c.relname, $1) AND substr(c.relname, length($1) + 1) = d.refobjid::text
      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_class'::regclass)
    ORDER BY p.oid
  LOOP
    last := array_prepend(format('CREATE OR REPLACE %s %s(%s)%s LANGUAGE sql AS %L',
      CASE WHEN found.is_procedure THEN 'PROCEDURE' ELSE 'FUNCTION' END, found.name, pg_get_function_arguments(found.oid),
      ' RETURNS ' || pg_get_function_result(found.oid), ''), last);
    up := up || pg_get_functiondef(found.oid);
    up := up || ARRAY(
      SELECT format('ALTER ROUTINE %s DEPENDS ON EXTENSION %I', found.oid::regprocedure, e.extname)
      FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
      WHERE d.classid = 'pg_proc'::regclass AND d.objid = found.oid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'x');
  END LOOP;

  -- The views that only the dropped ones have read.
  SELECT last || ('DROP VIEW ' || string_agg(format('%I.%I', n.nspname, c.relname), ', '))
  INTO last FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind = 'v' AND starts_with(c.relname, $2);

  PERFORM set_config('lock_timeout', '0', true);
  PERFORM set_config('check_function_bodies', 'off', true);
  FOR found IN SELECT m.value FROM unnest(last || up) WITH ORDINALITY AS m (value, n) WHERE m.value IS NOT NULL ORDER BY m.n LOOP
    EXECUTE found.value;
  END LOOP;
END
