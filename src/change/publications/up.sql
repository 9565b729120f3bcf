
DECLARE
  statement pg_catalog.text;
BEGIN
  FOR statement IN
    SELECT m.value FROM pg_catalog.json_array_elements_text(pg_catalog.current_setting('crossfade.publications')::pg_catalog.json)
      WITH ORDINALITY AS m (value, n) ORDER BY m.n
  LOOP
    EXECUTE statement;
  END LOOP;
END
