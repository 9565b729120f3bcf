
DECLARE
  signature pg_catalog.text := $1;
  was pg_catalog.text := $2;
  becomes pg_catalog.text := $3;
  back pg_catalog.bool := $4;
  source pg_catalog.text;
  definition pg_catalog.text;
  quote pg_catalog.text;
BEGIN
  SELECT p.prosrc, pg_catalog.pg_get_functiondef(p.oid), CASE p.prokind WHEN 'p' THEN '$procedure' ELSE '$function' END
  INTO source, definition, quote
  FROM pg_catalog.pg_proc AS p WHERE p.oid = pg_catalog.to_regprocedure(signature);
  IF source IS NULL THEN
    IF back THEN
      RETURN;
    END IF;
    RAISE EXCEPTION 'function % is not there any more', signature;
  END IF;
  IF source OPERATOR(pg_catalog.=) becomes THEN
    RETURN;
  END IF;
  IF source OPERATOR(pg_catalog.<>) was THEN
    RAISE EXCEPTION 'somebody has changed the body of function %', signature
      USING HINT = 'give it one of the two bodies that the run knows, the one it had when the run began or the one in the plan';
  END IF;
  -- As PostgreSQL chooses the quotes.
  WHILE pg_catalog.strpos(source, quote) OPERATOR(pg_catalog.>) 0 LOOP
    quote := pg_catalog.concat(quote, 'x');
  END LOOP;
  quote := pg_catalog.concat('AS ', quote, '$', source, quote, '$', E'\n');
  IF pg_catalog.right(definition, pg_catalog.length(quote)) OPERATOR(pg_catalog.<>) quote THEN
    RAISE EXCEPTION 'function % has an unexpected definition: %', signature, definition;
  END IF;
  EXECUTE pg_catalog.concat(pg_catalog.left(definition, OPERATOR(pg_catalog.-) pg_catalog.length(quote)), 'AS ', pg_catalog.quote_literal(becomes));
END
