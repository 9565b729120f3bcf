
DECLARE
  spot pg_catalog.text := $1;
  called pg_catalog.text := $2;
  was pg_catalog.text[] := $3;
  becomes pg_catalog.text[] := $4;
  back pg_catalog.bool := $5;
  found record;
  state record;
  list pg_catalog.text;
BEGIN
  SELECT t.oid, pg_catalog.encode(t.tgargs, 'hex') AS arguments, pg_catalog.pg_get_triggerdef(t.oid) AS definition,
    -- Those of partitions are made anew with it.
    (WITH RECURSIVE clone AS (
       SELECT o.oid, o.tgrelid, o.tgenabled FROM pg_catalog.pg_trigger AS o WHERE o.oid OPERATOR(pg_catalog.=) t.oid
       UNION ALL
       SELECT o.oid, o.tgrelid, o.tgenabled FROM clone JOIN pg_catalog.pg_trigger AS o ON o.tgparentid OPERATOR(pg_catalog.=) clone.oid)
     SELECT pg_catalog.json_agg(pg_catalog.json_build_object('place', c.tgrelid::pg_catalog.regclass::text, 'enabled', c.tgenabled)) FROM clone AS c) AS states
  INTO found
  FROM pg_catalog.pg_trigger AS t
  WHERE t.tgrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(spot) AND t.tgname::pg_catalog.text OPERATOR(pg_catalog.=) called AND NOT t.tgisinternal;
  IF found.oid IS NULL THEN
    IF back THEN
      RETURN;
    END IF;
    RAISE EXCEPTION 'trigger "%" of table % is not there any more', called, spot;
  END IF;
  IF found.arguments OPERATOR(pg_catalog.=) (SELECT COALESCE(pg_catalog.string_agg(pg_catalog.concat(
      pg_catalog.encode(pg_catalog.convert_to(a, pg_catalog.getdatabaseencoding()), 'hex'), '00'), '' ORDER BY n), '')
      FROM pg_catalog.unnest(becomes) WITH ORDINALITY AS u (a, n)) THEN
    RETURN;
  END IF;
  IF found.arguments OPERATOR(pg_catalog.<>) (SELECT COALESCE(pg_catalog.string_agg(pg_catalog.concat(
      pg_catalog.encode(pg_catalog.convert_to(a, pg_catalog.getdatabaseencoding()), 'hex'), '00'), '' ORDER BY n), '')
      FROM pg_catalog.unnest(was) WITH ORDINALITY AS u (a, n)) THEN
    RAISE EXCEPTION 'somebody has changed the arguments of trigger "%" of table %', called, spot
      USING HINT = 'give it one of the two lists that the run knows, the one it had when the run began or the one in the plan';
  END IF;
  -- As PostgreSQL prints them.
  list := pg_catalog.concat('(', (SELECT pg_catalog.string_agg(pg_catalog.concat('''', pg_catalog.replace(a, '''', ''''''), ''''), ', ' ORDER BY n)
    FROM pg_catalog.unnest(was) WITH ORDINALITY AS u (a, n)), ')');
  IF pg_catalog.right(found.definition, pg_catalog.length(list)) OPERATOR(pg_catalog.<>) list
     OR NOT pg_catalog.starts_with(found.definition, 'CREATE TRIGGER ') THEN
    RAISE EXCEPTION 'trigger "%" of table % has an unexpected definition: %', called, spot, found.definition;
  END IF;
  EXECUTE pg_catalog.concat('CREATE OR REPLACE TRIGGER ',
    pg_catalog.substr(pg_catalog.left(found.definition, OPERATOR(pg_catalog.-) pg_catalog.length(list)), pg_catalog.length('CREATE TRIGGER ') OPERATOR(pg_catalog.+) 1),
    '(', (SELECT pg_catalog.string_agg(pg_catalog.quote_literal(a), ', ' ORDER BY n) FROM pg_catalog.unnest(becomes) WITH ORDINALITY AS u (a, n)), ')');
  -- A trigger that is made anew is enabled.
  FOR state IN SELECT s.place, s.enabled FROM pg_catalog.json_to_recordset(found.states) AS s (place pg_catalog.text, enabled pg_catalog.text)
    WHERE s.enabled OPERATOR(pg_catalog.<>) 'O'
  LOOP
    EXECUTE pg_catalog.format('ALTER TABLE ONLY %s %s TRIGGER %I', state.place,
      CASE state.enabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, called);
  END LOOP;
END
