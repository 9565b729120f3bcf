-- The ledger, version 1. "crossfade" stands for the configured schema.
CREATE SCHEMA IF NOT EXISTS crossfade;
COMMENT ON SCHEMA crossfade IS 'Ledger of crossfade: what it has done to columns of this database, and the functions of its sync triggers';

CREATE TABLE crossfade.ledger (
    version            integer     NOT NULL PRIMARY KEY,
    created_at         timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    -- Where it belongs: a ledger that was restored somewhere else is a copy. NULL where nobody could read the first.
    system_identifier  bigint,
    database_oid       oid         NOT NULL
);

-- One execution of one plan. Never updated. Plan, facts, program and prediction are in the stored format of this number.
CREATE TABLE crossfade.run (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text        NOT NULL,
    -- Among the runs of this name: the second is called name@2.
    number        integer     NOT NULL,
    format        integer     NOT NULL,
    fingerprint   text        NOT NULL,
    plan_text     text        NOT NULL,
    plan          jsonb       NOT NULL,
    facts         jsonb       NOT NULL,
    program       jsonb       NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    created_by    text        NOT NULL DEFAULT CURRENT_USER,
    UNIQUE (name, number)
);

-- The tables that a run works on, by their place in its program, under the names that they had when it began.
CREATE TABLE crossfade.relation (
    run_id       bigint   NOT NULL REFERENCES crossfade.run,
    relation     smallint NOT NULL,
    table_oid    oid      NOT NULL,
    schema_name  text     NOT NULL,
    table_name   text     NOT NULL,
    PRIMARY KEY (run_id, relation)
);

-- How many objects those tables had when the run was registered ("before") and when it had ended ("after"), for reports.
CREATE TABLE crossfade.object_count (
    run_id       bigint      NOT NULL,
    relation     smallint    NOT NULL,
    moment       text        NOT NULL,
    at           timestamptz NOT NULL,
    columns      bigint      NOT NULL,
    indexes      bigint      NOT NULL,
    constraints  bigint      NOT NULL,
    triggers     bigint      NOT NULL,
    PRIMARY KEY (run_id, relation, moment),
    FOREIGN KEY (run_id, relation) REFERENCES crossfade.relation
);

-- What a run was predicted to cost when it was registered, to be compared with the entry "filled" of its log.
CREATE TABLE crossfade.prediction (
    run_id     bigint      NOT NULL PRIMARY KEY REFERENCES crossfade.run,
    at         timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    estimates  jsonb       NOT NULL
);

-- What an active run has to itself. The primary key is what keeps two runs off one column; with table_oid 0 the name is
-- that of the run, and two active runs cannot have one name.
CREATE TABLE crossfade.claim (
    table_oid   oid    NOT NULL,
    column_name text   NOT NULL,
    run_id      bigint NOT NULL REFERENCES crossfade.run,
    PRIMARY KEY (table_oid, column_name)
);

-- The log. Each entry is in the stored format of the version that wrote it, which may be newer than the run's. phase and state
-- are what the entry led to, for people and for the status view. Who wrote it: the role is the server's word, the rest is what
-- the process says of itself.
CREATE TABLE crossfade.event (
    run_id    bigint      NOT NULL REFERENCES crossfade.run,
    seq       bigint      NOT NULL,
    at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    role      text        NOT NULL,
    os_user   text        NOT NULL,
    host      text        NOT NULL,
    pid       bigint      NOT NULL,
    version   text        NOT NULL,
    format    integer     NOT NULL,
    entry     jsonb       NOT NULL,
    phase     text        NOT NULL,
    state     text        NOT NULL,
    -- The hash of the entry before, of the first entry that of the run; and the entry's own, which covers that one too.
    previous  text        NOT NULL,
    hash      text        NOT NULL,
    -- The transaction that wrote it: whose snapshot is older does not see what was done before.
    transaction xid8      NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
    PRIMARY KEY (run_id, seq)
);
CREATE FUNCTION crossfade.append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log of crossfade is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON crossfade.event
    FOR EACH STATEMENT EXECUTE FUNCTION crossfade.append_only();

-- SHA-256 of texts, each preceded by its length in bytes: no two lists of texts read the same.
CREATE FUNCTION crossfade.digest(parts text[]) RETURNS text LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT encode(sha256(convert_to(string_agg(octet_length(convert_to(part, 'UTF8')) || ':' || part, '' ORDER BY number), 'UTF8')), 'hex')
    FROM unnest(parts) WITH ORDINALITY AS list(part, number)
$$;
-- Whoever appends an entry, it is chained to the one before. Two who append at once cannot both be next: the second waits at
-- the primary key, and fails.
CREATE FUNCTION crossfade.chain() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last record;
BEGIN
    SELECT e.seq, e.hash INTO last FROM crossfade.event AS e WHERE e.run_id = NEW.run_id ORDER BY e.seq DESC LIMIT 1;
    IF NEW.seq <> COALESCE(last.seq, 0) + 1 THEN
        RAISE EXCEPTION 'entry % cannot follow entry %', NEW.seq, COALESCE(last.seq, 0) USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    NEW.role := SESSION_USER;
    NEW.previous := COALESCE(last.hash, (
        SELECT crossfade.digest(ARRAY['run', r.id::text, r.name, r.number::text, r.format::text, r.fingerprint, r.plan_text,
          r.plan::text, r.facts::text, r.program::text, to_char(r.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), r.created_by])
        FROM crossfade.run AS r WHERE r.id = NEW.run_id));
    NEW.hash := crossfade.digest(ARRAY['entry', NEW.run_id::text, NEW.seq::text,
        to_char(NEW.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), NEW.role, NEW.os_user, NEW.host, NEW.pid::text, NEW.version,
        NEW.format::text, NEW.entry::text, NEW.phase, NEW.state, NEW.previous]);
    RETURN NEW;
END $$;
CREATE TRIGGER chain BEFORE INSERT ON crossfade.event FOR EACH ROW EXECUTE FUNCTION crossfade.chain();

-- Approvals of phases. Whoever may execute these two functions, and nothing else here, can approve and take it back: they append
-- an entry in the name of the role that logged in, and can write nothing but that. Whether it counts is decided by whoever does
-- the phase.
CREATE FUNCTION crossfade.record_approval(of_run bigint, of_phase text, entry jsonb, os_user text, host text, pid bigint, version text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last record;
BEGIN
    -- As whoever else appends: two cannot both be next.
    PERFORM FROM crossfade.run AS r WHERE r.id = of_run FOR NO KEY UPDATE;
    SELECT e.seq, e.phase, e.state, r.plan INTO last FROM crossfade.event AS e JOIN crossfade.run AS r ON r.id = e.run_id
    WHERE e.run_id = of_run ORDER BY e.seq DESC LIMIT 1;
    IF last.seq IS NULL OR last.state IN ('done', 'rolled_back', 'rolling_back') OR (last.plan -> 'approve' ? of_phase) IS NOT TRUE THEN
        RAISE EXCEPTION 'no phase % of run % waits for an approval', of_phase, of_run USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF EXISTS (SELECT FROM jsonb_each(entry) AS part WHERE length(part.value #>> '{}') > 2000) OR length(os_user) > 200
       OR length(host) > 300 OR length(version) > 100 THEN
        RAISE EXCEPTION 'too long for the log' USING ERRCODE = 'string_data_right_truncation';
    END IF;
    INSERT INTO crossfade.event (run_id, seq, os_user, host, pid, version, format, entry, phase, state)
    VALUES (of_run, last.seq + 1, os_user, host, pid, version, 1, entry, last.phase, last.state);
END $$;
REVOKE EXECUTE ON FUNCTION crossfade.record_approval(bigint, text, jsonb, text, text, bigint, text) FROM PUBLIC;
CREATE FUNCTION crossfade.approve(of_run bigint, of_phase text, person text, comment text, digest text, os_user text, host text, pid bigint, version text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF person IS NULL OR digest IS NULL OR digest !~ '^[0-9a-f]{64}$' THEN
        RAISE EXCEPTION 'an approval has a person and a digest' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM crossfade.record_approval(of_run, of_phase,
        jsonb_build_object('kind', 'approved', 'phase', of_phase, 'person', person, 'comment', comment, 'digest', digest), os_user, host, pid, version);
END $$;
REVOKE EXECUTE ON FUNCTION crossfade.approve(bigint, text, text, text, text, text, text, bigint, text) FROM PUBLIC;
CREATE FUNCTION crossfade.revoke_approval(of_run bigint, of_phase text, person text, os_user text, host text, pid bigint, version text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF person IS NULL THEN
        RAISE EXCEPTION 'somebody must take it back' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM crossfade.record_approval(of_run, of_phase,
        jsonb_build_object('kind', 'approval_revoked', 'phase', of_phase, 'person', person), os_user, host, pid, version);
END $$;
REVOKE EXECUTE ON FUNCTION crossfade.revoke_approval(bigint, text, text, text, text, bigint, text) FROM PUBLIC;

-- Who works on a run: one leads it, others may have joined its backfill. Every transaction of theirs locks its row FOR KEY
-- SHARE and compares epoch and expiry, so a process whose row is gone cannot commit anything.
CREATE TABLE crossfade.lease (
    run_id       bigint      NOT NULL REFERENCES crossfade.run,
    epoch        bigint      NOT NULL GENERATED BY DEFAULT AS IDENTITY,
    leads        boolean     NOT NULL,
    holder       text        NOT NULL,
    backend_pid  integer     NOT NULL,
    backend_start timestamptz,
    taken_at     timestamptz NOT NULL,
    expires      timestamptz NOT NULL,
    PRIMARY KEY (run_id, epoch)
);
CREATE UNIQUE INDEX ON crossfade.lease (run_id) WHERE leads;

-- Settings that a running backfill reads before each batch.
CREATE TABLE crossfade.setting (
    run_id  bigint NOT NULL REFERENCES crossfade.run,
    key     text   NOT NULL,
    value   text   NOT NULL,
    PRIMARY KEY (run_id, key)
);

-- The backfill of one table file: pages [0, bound) existed when the trigger was there. A new file starts a new pass.
CREATE TABLE crossfade.backfill (
    run_id       bigint      NOT NULL,
    relation     smallint    NOT NULL,
    pass         integer     NOT NULL,
    relfilenode  oid         NOT NULL,
    bound        bigint      NOT NULL,
    next_page    bigint      NOT NULL,
    started_at   timestamptz NOT NULL,
    -- As it was when the first pass began: later passes leave this as it is.
    began_at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    start_lsn    pg_lsn      NOT NULL DEFAULT pg_catalog.pg_current_wal_insert_lsn(),
    heap_bytes   bigint      NOT NULL DEFAULT 0,
    toast_bytes  bigint      NOT NULL DEFAULT 0,
    index_bytes  bigint      NOT NULL DEFAULT 0,
    -- What the engine says of itself once a second, for status.
    rows_per_second  double precision,
    eta_seconds      double precision,
    held_by          jsonb,
    pace             jsonb,
    reported_at      timestamptz,
    PRIMARY KEY (run_id, relation),
    FOREIGN KEY (run_id, relation) REFERENCES crossfade.relation
);

-- The course of a backfill, for reports: rows filled until then, and the latencies of the probes since the sample before, by class
-- of length. One sample a second in the first minute, then 32 whenever the time since the backfill began has doubled: 400 in a
-- day, 600 in twelve weeks.
CREATE TABLE crossfade.backfill_sample (
    run_id      bigint      NOT NULL,
    relation    smallint    NOT NULL,
    -- The first second that it stands for, since the backfill began.
    slot        bigint      NOT NULL,
    at          timestamptz NOT NULL,
    rows        bigint      NOT NULL,
    latencies   bigint[]    NOT NULL,
    over_goal   bigint      NOT NULL,
    PRIMARY KEY (run_id, relation, slot),
    FOREIGN KEY (run_id, relation) REFERENCES crossfade.relation
);

-- The time for which each signal held the process that leads a run or slowed it down, with the signal's worst value and the limit
-- at that moment, in the unit of the signal: seconds, bytes, segments, sessions.
CREATE TABLE crossfade.hold (
    run_id          bigint NOT NULL REFERENCES crossfade.run,
    signal          text   NOT NULL,
    times           bigint NOT NULL,
    seconds         double precision NOT NULL,
    slowed_seconds  double precision NOT NULL,
    worst           double precision,
    worst_limit     double precision,
    last_at         timestamptz NOT NULL,
    PRIMARY KEY (run_id, signal)
);

-- What the latency probe of a session writes, as a small transaction of an application would. It means nothing.
CREATE TABLE crossfade.latency_probe (
    run_id  bigint  NOT NULL REFERENCES crossfade.run,
    client  integer NOT NULL,
    probes  bigint  NOT NULL,
    PRIMARY KEY (run_id, client)
) WITH (fillfactor = 50);

-- A range of pages that one worker holds, or has done. Progress commits with the rows. Those that are not late lie side
-- by side; a late one is a page inside one of them that could not be locked when its turn came. The rows of a page fall
-- into parts; the sub-pass fills parts [slice_from, slice_to) of each page, and stands at next_page.
CREATE TABLE crossfade.page_window (
    run_id       bigint   NOT NULL,
    relation     smallint NOT NULL,
    pass         integer  NOT NULL,
    from_page    bigint   NOT NULL,
    to_page      bigint   NOT NULL,
    parts        integer  NOT NULL,
    slice_from   integer  NOT NULL,
    slice_to     integer  NOT NULL,
    sub_pass     integer  NOT NULL,
    next_page    bigint   NOT NULL,
    rows         bigint   NOT NULL,
    hot          bigint   NOT NULL DEFAULT 0,
    epoch        bigint   NOT NULL,
    worker       integer  NOT NULL,
    late         boolean  NOT NULL,
    done_at      timestamptz,
    PRIMARY KEY (run_id, relation, pass, late, from_page),
    FOREIGN KEY (run_id, relation) REFERENCES crossfade.relation
);

-- Results of checks. A result counts for the run, the relation, the plan, the trigger and the table file that it names.
CREATE TABLE crossfade.verification (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id       bigint      NOT NULL,
    relation     smallint    NOT NULL,
    at           timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    started_at   timestamptz NOT NULL,
    fingerprint  text        NOT NULL,
    body_hash    text        NOT NULL,
    relfilenode  oid         NOT NULL,
    repaired     boolean     NOT NULL,
    rows         bigint      NOT NULL,
    equal        bigint      NOT NULL,
    empty        bigint      NOT NULL,
    different    bigint      NOT NULL,
    unconverted  bigint      NOT NULL,
    only_new     bigint      NOT NULL,
    seconds      double precision NOT NULL,
    keys         jsonb       NOT NULL,
    FOREIGN KEY (run_id, relation) REFERENCES crossfade.relation
);
CREATE INDEX ON crossfade.verification (run_id, relation, id);

-- Writes through the old and the new columns, as seen when last looked at; the trigger itself advances sequences.
CREATE TABLE crossfade.write_count (
    run_id          bigint      NOT NULL PRIMARY KEY REFERENCES crossfade.run,
    old_writes      bigint      NOT NULL,
    new_writes      bigint      NOT NULL,
    conflicts       bigint      NOT NULL,
    old_changed_at  timestamptz NOT NULL,
    sampled_at      timestamptz NOT NULL
);

-- Clients whose statements named a column that the run takes away, since phase switch began. At most one change a minute and
-- client.
CREATE TABLE crossfade.column_client (
    run_id       bigint      NOT NULL REFERENCES crossfade.run,
    column_name  text        NOT NULL,
    application  text        NOT NULL,
    role_name    text        NOT NULL,
    address      text        NOT NULL,
    statement    text        NOT NULL,
    first_seen   timestamptz NOT NULL,
    last_seen    timestamptz NOT NULL,
    PRIMARY KEY (run_id, column_name, application, role_name, address)
);

-- What pg_stat_statements said of itself when last looked at, and what it has lost since phase switch began.
CREATE TABLE crossfade.statement_baseline (
    run_id    bigint      NOT NULL PRIMARY KEY REFERENCES crossfade.run,
    began_at  timestamptz NOT NULL,
    reset_at  timestamptz,
    evicted   bigint,
    lost      text
);

-- Statements of pg_stat_statements that name a column that the run takes away: their calls when last looked at, and by how much
-- these have grown since phase switch began.
CREATE TABLE crossfade.column_statement (
    run_id       bigint NOT NULL REFERENCES crossfade.run,
    column_name  text   NOT NULL,
    role_oid     bigint NOT NULL,
    query_id     bigint NOT NULL,
    role_name    text   NOT NULL,
    statement    text   NOT NULL,
    calls        bigint NOT NULL,
    grown        bigint NOT NULL,
    grown_at     timestamptz,
    PRIMARY KEY (run_id, column_name, role_oid, query_id)
);

-- When a scheduler last asked for each run, and on which host. Not in the log: most ticks find nothing to do. One row a run, whose
-- updates find room on its page.
CREATE TABLE crossfade.tick (
    run_id  bigint      NOT NULL PRIMARY KEY REFERENCES crossfade.run,
    at      timestamptz NOT NULL,
    host    text        NOT NULL
) WITH (fillfactor = 10);

-- What people are told: written with the entry of the log that it announces, so there is one if, and only if, there is the
-- other. The id is what receivers know it by, however often they get it.
CREATE TABLE crossfade.announcement (
    id       uuid        NOT NULL PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    run_id   bigint      NOT NULL REFERENCES crossfade.run,
    seq      bigint      NOT NULL,
    at       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    topic    text        NOT NULL,
    payload  jsonb       NOT NULL,
    UNIQUE (run_id, seq, topic)
);

-- Each of them on its way to each destination. The address of a destination, and the secret for it, are known to the hosts
-- that deliver, and never stand here. While one delivers, next_at is when another may try, should the first be gone.
CREATE TABLE crossfade.delivery (
    announcement  uuid        NOT NULL REFERENCES crossfade.announcement,
    destination   text        NOT NULL,
    run_id        bigint      NOT NULL,
    shape         text        NOT NULL,
    attempts      integer     NOT NULL DEFAULT 0,
    next_at       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    last_error    text,
    delivered_at  timestamptz,
    given_up_at   timestamptz,
    -- The receiver said that it is gone: the run tells it nothing any more.
    gone          boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (announcement, destination)
);
CREATE INDEX ON crossfade.delivery (next_at) WHERE delivered_at IS NULL AND given_up_at IS NULL;

CREATE VIEW crossfade.status AS
SELECT run.id, run.name, run.number, event.phase,
       CASE WHEN event.state IN ('waiting', 'failed') AND lease.expires > pg_catalog.clock_timestamp() THEN 'running' ELSE event.state END AS state,
       lease.holder, event.at AS last_event_at, event.entry ->> 'kind' AS last_event,
       (SELECT pg_catalog.sum(w.rows) FROM crossfade.page_window AS w WHERE w.run_id = run.id)::bigint AS rows_filled,
       verification.verified_at, verification.mismatches,
       write_count.old_writes AS old_column_write_seconds, write_count.new_writes AS new_column_write_seconds,
       write_count.old_changed_at AS old_column_written_at, write_count.sampled_at AS writes_sampled_at,
       COALESCE(pg_catalog.jsonb_typeof(run.plan -> 'schedule'), 'null') <> 'null' AS scheduled,
       tick.at AS last_tick_at, tick.host AS last_tick_host,
       run.created_at
FROM crossfade.run
JOIN LATERAL (SELECT * FROM crossfade.event AS e WHERE e.run_id = run.id ORDER BY e.seq DESC LIMIT 1) AS event ON true
LEFT JOIN crossfade.lease ON lease.run_id = run.id AND lease.leads
LEFT JOIN LATERAL (
    SELECT pg_catalog.min(latest.at) AS verified_at,
           pg_catalog.sum(latest.empty + latest.different + latest.unconverted)::bigint AS mismatches
    FROM (SELECT DISTINCT ON (v.relation) v.* FROM crossfade.verification AS v WHERE v.run_id = run.id
          ORDER BY v.relation, v.id DESC) AS latest) AS verification ON true
LEFT JOIN crossfade.write_count ON write_count.run_id = run.id
LEFT JOIN crossfade.tick ON tick.run_id = run.id;
COMMENT ON VIEW crossfade.status IS 'Where every run of crossfade stands, one line a run';

-- For exporters that make metrics of a query: columns of numbers are called as the metrics of `crossfade metrics` without
-- `crossfade_`, the others are labels. What only the program can compute (gates, dates to come) is not here. Reads nothing but the
-- ledger's tables.
CREATE VIEW crossfade.metrics AS
SELECT pg_catalog.current_database()::text AS database, run.name || '@' || run.number AS run, run.name AS plan,
       relation.schema_name || '.' || relation.table_name AS table, last.phase,
       CASE WHEN last.state IN ('waiting', 'failed') AND lease.expires > now.at THEN 'running' ELSE last.state END AS state,
       EXTRACT(EPOCH FROM now.at)::double precision AS metrics_timestamp_seconds,
       EXTRACT(EPOCH FROM run.created_at)::double precision AS run_created_timestamp_seconds,
       CASE WHEN last.state IN ('done', 'rolled_back') THEN EXTRACT(EPOCH FROM last.at)::double precision END AS run_ended_timestamp_seconds,
       log.entries AS log_entries_total, log.failures AS step_failures_total, log.lock_waits AS lock_waits_total, log.checks AS checks_total,
       EXTRACT(EPOCH FROM verification.at)::double precision AS check_timestamp_seconds,
       CASE WHEN last.state NOT IN ('done', 'rolled_back') THEN verification.unequal END AS unequal_rows,
       COALESCE(filled.rows, 0) AS rows_filled_total, COALESCE(filled.hot, 0) AS hot_rows_filled_total,
       write_count.old_writes AS old_column_written_seconds_total, write_count.new_writes AS new_column_written_seconds_total,
       write_count.conflicts AS conflict_seconds_total,
       CASE WHEN last.state NOT IN ('done', 'rolled_back') THEN EXTRACT(EPOCH FROM tick.at)::double precision END AS last_tick_timestamp_seconds,
       CASE WHEN COALESCE(pg_catalog.jsonb_typeof(run.plan -> 'schedule'), 'null') = 'null' OR last.state IN ('done', 'rolled_back') THEN NULL
            WHEN last.state NOT IN ('waiting', 'failed', 'drifted') OR lease.expires > now.at
              OR COALESCE(tick.at, run.created_at) + interval '1 hour' >= now.at THEN 0
            ELSE EXTRACT(EPOCH FROM COALESCE(tick.at, run.created_at) + interval '1 hour')::double precision
       END AS tick_overdue_since_timestamp_seconds,
       CASE WHEN last.state NOT IN ('done', 'rolled_back') THEN leases.processes END AS processes,
       CASE WHEN lease.expires > now.at THEN EXTRACT(EPOCH FROM now.at - lease.taken_at)::double precision END AS lease_age_seconds,
       (SELECT pg_catalog.count(*) FROM crossfade.delivery AS d JOIN crossfade.announcement AS a ON a.id = d.announcement
        WHERE d.run_id = run.id AND d.delivered_at IS NULL
          AND (d.last_error IS NOT NULL OR a.at < now.at - interval '1 minute')) AS announcements_undelivered
FROM crossfade.run
CROSS JOIN LATERAL (SELECT pg_catalog.clock_timestamp() AS at) AS now
JOIN crossfade.relation ON relation.run_id = run.id AND relation.relation = 0
JOIN LATERAL (SELECT * FROM crossfade.event AS e WHERE e.run_id = run.id ORDER BY e.seq DESC LIMIT 1) AS last ON true
CROSS JOIN LATERAL (
    SELECT pg_catalog.count(*) AS entries,
           pg_catalog.count(*) FILTER (WHERE e.entry ->> 'kind' = 'step_failed') AS failures,
           pg_catalog.count(*) FILTER (WHERE e.entry ->> 'kind' = 'lock_wait') AS lock_waits,
           pg_catalog.count(*) FILTER (WHERE e.entry ->> 'kind' = 'verified') AS checks
    FROM crossfade.event AS e WHERE e.run_id = run.id) AS log
CROSS JOIN LATERAL (
    SELECT pg_catalog.sum(w.rows)::bigint AS rows, pg_catalog.sum(w.hot)::bigint AS hot
    FROM crossfade.page_window AS w WHERE w.run_id = run.id) AS filled
CROSS JOIN LATERAL (
    SELECT pg_catalog.min(v.at) AS at, pg_catalog.sum(v.empty + v.different + v.unconverted)::bigint AS unequal
    FROM (SELECT DISTINCT ON (c.relation) c.* FROM crossfade.verification AS c WHERE c.run_id = run.id
          ORDER BY c.relation, c.id DESC) AS v) AS verification
CROSS JOIN LATERAL (
    SELECT pg_catalog.count(*) AS processes FROM crossfade.lease AS l WHERE l.run_id = run.id AND l.expires > now.at) AS leases
LEFT JOIN crossfade.lease ON lease.run_id = run.id AND lease.leads
LEFT JOIN crossfade.write_count ON write_count.run_id = run.id
LEFT JOIN crossfade.tick ON tick.run_id = run.id;
COMMENT ON VIEW crossfade.metrics IS 'Numbers of every run of crossfade, one line a run, for exporters';

INSERT INTO crossfade.ledger (version, database_oid)
SELECT 1, d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database();
