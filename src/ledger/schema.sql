-- The ledger, version 1. "crossfade" stands for the configured schema.
CREATE SCHEMA IF NOT EXISTS crossfade;
COMMENT ON SCHEMA crossfade IS 'Ledger of crossfade: what it has done to columns of this database, and the functions of its sync triggers';
-- Sync triggers run as the application's role and call functions that live here.
GRANT USAGE ON SCHEMA crossfade TO PUBLIC;

CREATE TABLE crossfade.ledger (
    version     integer     NOT NULL PRIMARY KEY,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

-- One execution of one plan. Never updated.
CREATE TABLE crossfade.run (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text        NOT NULL,
    fingerprint   text        NOT NULL,
    plan_text     text        NOT NULL,
    plan          jsonb       NOT NULL,
    facts         jsonb       NOT NULL,
    program       jsonb       NOT NULL,
    table_oid     oid         NOT NULL,
    database_oid  oid         NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    created_by    text        NOT NULL DEFAULT CURRENT_USER
);
CREATE INDEX ON crossfade.run (name, id);

-- What a run was predicted to cost when it was registered, to be compared with the entry "filled" of its log.
CREATE TABLE crossfade.prediction (
    run_id     bigint      NOT NULL PRIMARY KEY REFERENCES crossfade.run,
    at         timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    estimates  jsonb       NOT NULL
);

-- A column that an active run works on. The primary key is what keeps two runs off one column.
CREATE TABLE crossfade.claim (
    table_oid   oid    NOT NULL,
    column_name text   NOT NULL,
    run_id      bigint NOT NULL REFERENCES crossfade.run,
    PRIMARY KEY (table_oid, column_name)
);

-- The log. phase and state are what the entry led to, for people and for the status view.
CREATE TABLE crossfade.event (
    run_id  bigint      NOT NULL REFERENCES crossfade.run,
    seq     bigint      NOT NULL,
    at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    actor   text        NOT NULL,
    entry   jsonb       NOT NULL,
    phase   text        NOT NULL,
    state   text        NOT NULL,
    PRIMARY KEY (run_id, seq)
);
CREATE FUNCTION crossfade.append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log of crossfade is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON crossfade.event
    FOR EACH STATEMENT EXECUTE FUNCTION crossfade.append_only();

-- Who works on a run. Every transaction of a runner locks its row FOR KEY SHARE and compares epoch and expiry, so a
-- runner whose lease is gone cannot commit anything.
CREATE TABLE crossfade.lease (
    run_id       bigint      NOT NULL PRIMARY KEY REFERENCES crossfade.run,
    epoch        bigint      NOT NULL,
    holder       text        NOT NULL,
    backend_pid  integer     NOT NULL,
    backend_start timestamptz,
    taken_at     timestamptz NOT NULL,
    expires      timestamptz NOT NULL
);

-- Settings that a running backfill reads before each batch.
CREATE TABLE crossfade.setting (
    run_id  bigint NOT NULL REFERENCES crossfade.run,
    key     text   NOT NULL,
    value   text   NOT NULL,
    PRIMARY KEY (run_id, key)
);

-- The backfill of one table file: pages [0, bound) existed when the trigger was there. A new file starts a new pass.
CREATE TABLE crossfade.backfill (
    run_id       bigint      NOT NULL PRIMARY KEY REFERENCES crossfade.run,
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
    held_by          text,
    reported_at      timestamptz
);

-- A range of pages that one worker holds, or has done. Progress commits with the rows. Those that are not late lie side
-- by side; a late one is a page inside one of them that could not be locked when its turn came.
CREATE TABLE crossfade.page_window (
    run_id       bigint   NOT NULL REFERENCES crossfade.run,
    pass         integer  NOT NULL,
    from_page    bigint   NOT NULL,
    to_page      bigint   NOT NULL,
    sub_passes   integer  NOT NULL,
    sub_pass     integer  NOT NULL,
    next_page    bigint   NOT NULL,
    rows         bigint   NOT NULL,
    hot          bigint   NOT NULL DEFAULT 0,
    epoch        bigint   NOT NULL,
    worker       integer  NOT NULL,
    late         boolean  NOT NULL,
    done_at      timestamptz,
    PRIMARY KEY (run_id, pass, late, from_page)
);

-- Results of checks. A result counts for the run, the plan, the trigger and the table file that it names.
CREATE TABLE crossfade.verification (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id       bigint      NOT NULL REFERENCES crossfade.run,
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
    keys         jsonb       NOT NULL
);
CREATE INDEX ON crossfade.verification (run_id, id);

-- Writes through the old and the new columns, as seen when last looked at; the trigger itself advances sequences.
CREATE TABLE crossfade.write_count (
    run_id          bigint      NOT NULL PRIMARY KEY REFERENCES crossfade.run,
    old_writes      bigint      NOT NULL,
    new_writes      bigint      NOT NULL,
    conflicts       bigint      NOT NULL,
    old_changed_at  timestamptz NOT NULL,
    sampled_at      timestamptz NOT NULL
);

CREATE VIEW crossfade.status AS
SELECT run.id, run.name, event.phase,
       CASE WHEN event.state IN ('waiting', 'failed') AND lease.expires > pg_catalog.clock_timestamp() THEN 'running' ELSE event.state END AS state,
       lease.holder, event.at AS last_event_at, event.entry ->> 'kind' AS last_event,
       (SELECT pg_catalog.sum(w.rows) FROM crossfade.page_window AS w WHERE w.run_id = run.id)::bigint AS rows_filled,
       verification.at AS verified_at,
       verification.empty + verification.different + verification.unconverted AS mismatches,
       write_count.old_writes AS old_column_writes, write_count.new_writes AS new_column_writes,
       write_count.old_changed_at AS old_column_written_at, write_count.sampled_at AS writes_sampled_at,
       run.created_at
FROM crossfade.run
JOIN LATERAL (SELECT * FROM crossfade.event AS e WHERE e.run_id = run.id ORDER BY e.seq DESC LIMIT 1) AS event ON true
LEFT JOIN crossfade.lease ON lease.run_id = run.id
LEFT JOIN LATERAL (SELECT * FROM crossfade.verification AS v WHERE v.run_id = run.id ORDER BY v.id DESC LIMIT 1) AS verification ON true
LEFT JOIN crossfade.write_count ON write_count.run_id = run.id;
COMMENT ON VIEW crossfade.status IS 'Where every run of crossfade stands, one line a run';

INSERT INTO crossfade.ledger (version) VALUES (1);
