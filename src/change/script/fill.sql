
DECLARE
  v_file oid; v_next bigint; v_bound bigint; v_to bigint;
  v_pages bigint := 16; v_failures integer := 0; v_began timestamptz; v_took double precision; v_said timestamptz := 'epoch';
BEGIN
  LOOP
    v_began := pg_catalog.clock_timestamp();
    PERFORM pg_catalog.set_config('lock_timeout', '500ms', true);
    {settings}
    BEGIN
      LOCK TABLE {table} IN ROW EXCLUSIVE MODE;
      v_file := pg_catalog.pg_relation_filenode({literal}::pg_catalog.regclass);
      SELECT f.next_page, f.bound INTO v_next, v_bound FROM crossfade_script.fill AS f WHERE f.file = v_file;
      IF NOT FOUND THEN
        -- The beginning, or the table has got another file (VACUUM FULL). Rows on later pages are written under the trigger.
        v_next := 0;
        v_bound := pg_catalog.pg_relation_size({literal}::pg_catalog.regclass) / pg_catalog.current_setting('block_size')::bigint;
        DELETE FROM crossfade_script.fill;
        INSERT INTO crossfade_script.fill VALUES (v_file, v_next, v_bound);
      END IF;
      EXIT WHEN v_next >= v_bound;
      v_to := LEAST(v_next + v_pages, v_bound);
      EXECUTE {update} USING pg_catalog.format('(%s,0)', v_next)::pg_catalog.tid, pg_catalog.format('(%s,0)', v_to)::pg_catalog.tid;
      UPDATE crossfade_script.fill SET next_page = v_to;
      v_failures := 0;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      v_failures := v_failures + 1;
      v_pages := GREATEST(v_pages / 4, 1);
      IF v_failures > 300 THEN
        RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = 'a row or the table stays locked, so the backfill cannot continue',
          HINT = 'Look for long transactions on the table in pg_stat_activity, then run this script again: it continues here.';
      END IF;
    END;
    COMMIT;
    v_took := EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - v_began);
    IF v_failures = 0 THEN
      v_pages := GREATEST(1, LEAST(v_pages * 2, 16384, (v_pages * {target} / GREATEST(v_took, 0.0001))::bigint));
    END IF;
    IF pg_catalog.clock_timestamp() > v_said + interval '10 s' THEN
      v_said := pg_catalog.clock_timestamp();
      RAISE NOTICE 'filled % of % pages', v_to, v_bound;
    END IF;
    -- Half of the time is for everybody else.
    PERFORM pg_catalog.pg_sleep(GREATEST(LEAST(v_took, 1), 0.005));
    COMMIT;
  END LOOP;
  COMMIT;
END
