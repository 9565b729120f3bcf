-- pg_cron as watchdog: an error in the server's log, and in cron.job_run_details, for as long as the ticks of a run are overdue.
-- For a superuser, in the database of pg_cron (cron.database_name). `appdb` is the database of the ledger; `crossfade_watchdog` is a
-- member of crossfade_reader (docs/roles.md) and needs nothing else.
SELECT cron.schedule_in_database(
    'crossfade-overdue',
    '*/15 * * * *',
    $job$
    DO $watch$
    DECLARE
        overdue text;
    BEGIN
        SELECT string_agg(format('%s (%s)', CASE number WHEN 1 THEN name ELSE name || '@' || number END,
                   COALESCE('last tick ' || last_tick_at || ' on ' || last_tick_host, 'none yet')), '; ' ORDER BY id)
        INTO overdue
        FROM crossfade.status
        -- A tick that fills rows takes hours, and while a process is at work no other tick need come.
        WHERE scheduled AND state IN ('waiting', 'failed', 'drifted')
          AND COALESCE(last_tick_at, created_at) < clock_timestamp() - interval '1 hour';
        IF overdue IS NOT NULL THEN
            RAISE EXCEPTION 'ticks of crossfade are overdue: %', overdue;
        END IF;
    END $watch$
    $job$,
    'appdb',
    'crossfade_watchdog'
);
