-- What this script keeps while it works. The schema goes with the last step.
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS crossfade_script;
-- The functions of the sync trigger live here, and run with the rights of the table's owner.
GRANT USAGE ON SCHEMA crossfade_script TO PUBLIC;
-- A step without a time was begun, and may have been done.
CREATE TABLE IF NOT EXISTS crossfade_script.step (key text PRIMARY KEY, done_at timestamptz);
CREATE TABLE IF NOT EXISTS crossfade_script.fill (file oid NOT NULL, next_page bigint NOT NULL, bound bigint NOT NULL);
CREATE TABLE IF NOT EXISTS crossfade_script.quiet (writes bigint NOT NULL, since timestamptz NOT NULL);

CREATE OR REPLACE PROCEDURE crossfade_script.say(words text) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $cf$
BEGIN
  RAISE NOTICE '%', words;
END $cf$;

CREATE OR REPLACE PROCEDURE crossfade_script.begun(which text) LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $cf$
  INSERT INTO crossfade_script.step (key) VALUES (which) ON CONFLICT DO NOTHING
$cf$;

CREATE OR REPLACE PROCEDURE crossfade_script.done(which text) LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $cf$
  INSERT INTO crossfade_script.step VALUES (which, clock_timestamp()) ON CONFLICT (key) DO UPDATE SET done_at = excluded.done_at
$cf$;

CREATE OR REPLACE PROCEDURE crossfade_script.undone(which text) LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $cf$
  DELETE FROM crossfade_script.step WHERE key = which
$cf$;

-- Takes a table lock in short attempts with long pauses, so that nobody queues behind it for long. A lock that an attempt
-- did get is kept to the end of the transaction.
CREATE OR REPLACE PROCEDURE crossfade_script.lock_politely(statement text) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $cf$
BEGIN
  FOR attempt IN 1..60 LOOP
    BEGIN
      PERFORM set_config('lock_timeout', least(100 * attempt, 1500)::text, true);
      EXECUTE statement;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      PERFORM pg_sleep(least(0.5 * attempt, 5));
    END;
  END LOOP;
  RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = format('no lock after 60 attempts: %s', statement),
    HINT = 'Look for long transactions on the table in pg_stat_activity, then run this script again: it continues here.';
END $cf$;
COMMIT;
