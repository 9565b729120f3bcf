
DECLARE
  found record;
BEGIN
  FOR found IN
    WITH RECURSIVE member AS (
      SELECT pg_catalog.to_regclass($1)::pg_catalog.oid AS oid
      UNION
      SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN member AS m ON m.oid = i.inhparent
        JOIN pg_catalog.pg_class AS c ON c.oid = i.inhparent AND c.relkind = 'r'
    ), above (view, depth) AS (
      SELECT w.ev_class, 1
      FROM pg_catalog.pg_attribute AS a
      JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = a.attrelid
        AND d.refobjsubid = a.attnum AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      JOIN pg_catalog.pg_rewrite AS w ON w.oid = d.objid AND w.ev_type = '1' AND w.ev_class <> a.attrelid
      WHERE a.attrelid IN (SELECT m.oid FROM member AS m) AND a.attname = ANY ($2) AND NOT a.attisdropped
      UNION
      SELECT w.ev_class, above.depth + 1
      FROM above
      JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = above.view
        AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      JOIN pg_catalog.pg_rewrite AS w ON w.oid = d.objid AND w.ev_type = '1' AND w.ev_class <> above.view
    )
    SELECT c.oid::pg_catalog.regclass AS name, pg_catalog.pg_get_userbyid(c.relowner) AS owner,
      CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS kind
    FROM above JOIN pg_catalog.pg_class AS c ON c.oid = above.view AND c.relkind IN ('v', 'm')
    GROUP BY c.oid ORDER BY max(above.depth) DESC, c.oid
  LOOP
    -- LOCK TABLE would lock what is below the view as well. This changes nothing, and locks the view alone.
    EXECUTE pg_catalog.format('ALTER %s %s OWNER TO %I', found.kind, found.name, found.owner);
    IF pg_catalog.current_setting('lock_timeout')::pg_catalog.interval > '300ms' THEN
      PERFORM pg_catalog.set_config('lock_timeout', '300ms', true);
    END IF;
  END LOOP;
END
