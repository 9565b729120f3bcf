//! Tables with something on the column that is renamed, each named after what it tests.

/// A table `t` with a column `a`, which becomes `b`.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Makes the table and everything on it.
    pub(super) setup: &'static str,
    /// What a role that owns nothing does. `{c}` is the column under one of its names, `{n}` a number that is new each time.
    /// A statement may fail, if it fails as it would beside plain ALTER TABLE.
    pub(super) writes: &'static [&'static str],
    /// What it does only under the name that the column itself has: PostgreSQL has to know the column by it.
    pub(super) by_own_name: &'static [&'static str],
    /// The least major version that has it.
    pub(super) since: u32,
}

const TEXT: &[&str] = &[
    "INSERT INTO t (id, {c}) VALUES ({n}, 'v{n}')",
    "INSERT INTO t (id) VALUES (-{n})",
    "UPDATE t SET {c} = {c} || '!' WHERE id = {n}",
    "UPDATE t SET {c} = NULL WHERE id = -{n}",
    "UPDATE t SET note = 'n{n}' WHERE id IN ({n}, 1)",
    "UPDATE t SET {c} = 'w{n}', note = {c} WHERE id = 2",
    "DELETE FROM t WHERE {c} = 'v{n}'",
];

const NUMBER: &[&str] = &[
    "INSERT INTO t (id, {c}) VALUES ({n}, {n})",
    "INSERT INTO t (id) VALUES (-{n})",
    "UPDATE t SET {c} = {c} + 100000 WHERE id = {n}",
    "UPDATE t SET note = 'n{n}' WHERE id IN ({n}, 1)",
    "UPDATE t SET {c} = -1 WHERE id = {n}",
    "UPDATE t SET {c} = NULL WHERE id = {n}",
    "DELETE FROM t WHERE {c} = {n} - 3",
];

const KEY: &[&str] = &[
    "INSERT INTO t ({c}, note) VALUES ({n}, 'n')",
    "INSERT INTO t ({c}, note) VALUES ({n}, 'twice')",
    "INSERT INTO t (note) VALUES ('none')",
    "UPDATE t SET {c} = {c} + 500000 WHERE {c} = {n}",
    "UPDATE t SET note = 'u{n}' WHERE {c} IN (1, {n})",
    "UPDATE t SET {c} = NULL WHERE {c} = 2",
    "DELETE FROM t WHERE {c} = {n} + 500000",
    // Which number it got depends on how many were given.
    "DELETE FROM t WHERE note = 'none'",
];

/// Types, with three literals of each. Beside `CREATE TABLE t (id int, a TYPE, note text)`.
pub(super) const TYPES: [(&str, [&str; 3]); 24] = [
    ("varchar(5)", ["'abc'", "''", "'too long for it'"]),
    ("char(4)", ["'a '", "'ab'", "'abcde'"]),
    ("text COLLATE \"C\"", ["'B'", "'a'", "'ä'"]),
    ("name", ["'n'", "'m'", "''"]),
    ("\"char\"", ["'x'", "'y'", "''"]),
    ("smallint", ["1", "-1", "70000"]),
    ("numeric(6,2)", ["1.10", "1.1", "12345.678"]),
    ("numeric", ["1.0", "1.00", "'NaN'"]),
    ("double precision", ["0", "'-0'", "'NaN'"]),
    ("real", ["0.1", "1e30", "'Infinity'"]),
    ("money", ["1", "2", "'x'"]),
    ("boolean", ["true", "false", "'maybe'"]),
    ("bytea", ["'\\x00ff'", "'\\x'", "'abc'"]),
    ("bit varying(4)", ["B'01'", "B''", "B'01010'"]),
    ("date", ["'2026-02-28'", "'infinity'", "'2026-02-30'"]),
    ("timestamptz(0)", ["'2026-01-01 00:00:00.7+00'", "'2026-01-01'", "'-infinity'"]),
    ("interval", ["'1 day'", "'24 hours'", "'1 mon'"]),
    ("uuid", ["'00000000-0000-0000-0000-000000000001'", "'00000000-0000-0000-0000-000000000002'", "'x'"]),
    ("json", ["'{\"a\": 1}'", "'{\"a\":1}'", "'{'"]),
    ("jsonb", ["'{\"a\": 1.0}'", "'{\"a\": 1.00}'", "'null'"]),
    ("inet", ["'10.0.0.1/24'", "'::1'", "'10.0.0.300'"]),
    ("point", ["'(1,2)'", "'(1.0,2)'", "'(1'"]),
    ("int[]", ["'{1,2}'", "'{NULL}'", "'[0:1]={1,2}'"]),
    ("tsvector", ["'a b'", "'a:1 b:2A'", "''"]),
];

/// What is done with each of a type's literals, `{v}`.
pub(super) const OF_A_TYPE: [&str; 4] = [
    "INSERT INTO t (id, {c}) VALUES ({n}, {v})",
    "UPDATE t SET {c} = {v} WHERE id IN ({n}, 1)",
    "UPDATE t SET note = {c}::text WHERE id = {n}",
    "INSERT INTO t (id, {c}) VALUES ({n}, NULL)",
];

const fn case(name: &'static str, setup: &'static str, writes: &'static [&'static str]) -> Case {
    Case { name, setup, writes, by_own_name: &[], since: 14 }
}

const fn text(name: &'static str, more: &'static str) -> (&'static str, &'static str) {
    (name, more)
}

/// Beside `CREATE TABLE t (id int, a text, note text)` with 40 rows.
pub(super) const ON_TEXT: [(&str, &str); 44] = [
    text("nothing", ""),
    text("hash index and a column twice in one", "CREATE INDEX ON t USING hash (a); CREATE INDEX ON t (a, a DESC)"),
    text("BRIN and GIN", "CREATE INDEX ON t USING brin (a) WITH (pages_per_range = 2); CREATE INDEX ON t USING gin (to_tsvector('simple', a)) WHERE a IS NOT NULL"),
    text("unique index with a condition", "CREATE UNIQUE INDEX once ON t (a) WHERE id < 0 AND a IS NOT NULL"),
    text("unique index on an expression", "CREATE UNIQUE INDEX once ON t (lower(a), id, note)"),
    text("index with options", "CREATE INDEX i ON t (a COLLATE \"C\" text_pattern_ops DESC NULLS LAST) WITH (fillfactor = 60); ALTER INDEX i SET (deduplicate_items = off); COMMENT ON INDEX i IS 'i'"),
    text("unlogged, with options", "ALTER TABLE t SET UNLOGGED; ALTER TABLE t SET (fillfactor = 60, autovacuum_enabled = off)"),
    text("primary key with it", "UPDATE t SET a = id WHERE a IS NULL; ALTER TABLE t ADD PRIMARY KEY (a, id) INCLUDE (note)"),
    text(
        "foreign keys to a unique constraint",
        "UPDATE t SET a = 'y' || id; ALTER TABLE t ADD CONSTRAINT one_a UNIQUE (a);
         CREATE TABLE child (x text REFERENCES t (a) ON DELETE SET NULL ON UPDATE CASCADE, y text DEFAULT 'y1' REFERENCES t (a) ON DELETE SET DEFAULT DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO child SELECT a, a FROM t WHERE id % 3 = 0; GRANT ALL ON child TO neighbour",
    ),
    text("two foreign keys on it", "CREATE TABLE p (k text PRIMARY KEY); INSERT INTO p SELECT DISTINCT a FROM t WHERE a IS NOT NULL; ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES p, ADD CONSTRAINT loose FOREIGN KEY (a) REFERENCES p NOT VALID; GRANT ALL ON p TO neighbour"),
    text("sequence that it owns", "CREATE SEQUENCE q OWNED BY t.a; GRANT ALL ON q TO neighbour"),
    text("default that is the time", "ALTER TABLE t ALTER a SET DEFAULT CURRENT_DATE"),
    text("view with triggers of its own", "CREATE VIEW w AS SELECT id, a FROM t; CREATE FUNCTION into_t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; CREATE TRIGGER instead INSTEAD OF INSERT ON w FOR EACH ROW EXECUTE FUNCTION into_t(); GRANT ALL ON w TO neighbour"),
    text("recursive view and a grouped one", "CREATE RECURSIVE VIEW r (x) AS SELECT a FROM t WHERE id = 1 UNION SELECT t.a FROM t JOIN r ON t.note = r.x; CREATE VIEW g AS SELECT a, count(*) AS n FROM t GROUP BY a HAVING max(a) > 'a'"),
    text("view of whole rows", "CREATE VIEW w AS SELECT t FROM t; CREATE VIEW star AS SELECT t.*, a || 'x' AS x FROM t"),
    text("policies with a subselect, forced", "CREATE TABLE may (who text); GRANT SELECT ON may TO neighbour; INSERT INTO may SELECT 'x' || g FROM generate_series(1, 40) g; ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY p ON t AS PERMISSIVE FOR ALL TO neighbour USING (a IN (SELECT who FROM may) OR a IS NULL OR a LIKE 'v%') WITH CHECK (true); CREATE POLICY r ON t AS RESTRICTIVE FOR DELETE USING (a <> 'x3')"),
    text("trigger with WHEN", "CREATE TABLE log (what text); GRANT ALL ON log TO neighbour; CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (concat_ws(' ', TG_NAME, NEW.id)); RETURN NULL; END $$; CREATE TRIGGER changed AFTER UPDATE ON t FOR EACH ROW WHEN (OLD.a IS DISTINCT FROM NEW.a) EXECUTE FUNCTION note(); CREATE TRIGGER came AFTER INSERT ON t FOR EACH ROW WHEN (NEW.a LIKE 'v%') EXECUTE FUNCTION note()"),
    text("index", "CREATE INDEX on_a ON t (a)"),
    text("partial index", "CREATE INDEX on_a ON t (note) WHERE a > 'k'"),
    text("index on an expression", "CREATE INDEX on_a ON t (lower(a), id) INCLUDE (note)"),
    text("unique constraint", "ALTER TABLE t ADD CONSTRAINT one_a UNIQUE (a, id); COMMENT ON CONSTRAINT one_a ON t IS 'one'"),
    text("unique constraint, deferrable", "ALTER TABLE t ADD CONSTRAINT one_a UNIQUE (a, id) DEFERRABLE INITIALLY DEFERRED"),
    text("check", "ALTER TABLE t ADD CONSTRAINT no_w CHECK (a NOT LIKE 'w1%'); ALTER TABLE t ADD CHECK (a <> note)"),
    text("check that was never validated", "ALTER TABLE t ADD CONSTRAINT no_w CHECK (a NOT LIKE 'w2%') NOT VALID"),
    text(
        "views",
        "CREATE VIEW w AS SELECT id, a, upper(a) AS u FROM t WHERE a IS NOT NULL; CREATE VIEW ww AS SELECT u, id FROM w;
         CREATE VIEW safe WITH (security_barrier) AS SELECT * FROM t; GRANT SELECT, INSERT, UPDATE ON w, ww, safe TO neighbour",
    ),
    text(
        "materialized view",
        "CREATE MATERIALIZED VIEW m AS SELECT a, count(*) FROM t GROUP BY a; CREATE UNIQUE INDEX ON m (a)",
    ),
    text(
        "policies",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY sees ON t USING (a IS NULL OR a < 'x');
         CREATE POLICY writes ON t FOR INSERT TO neighbour WITH CHECK (a IS NULL OR a NOT LIKE 'v3%')",
    ),
    text("generated column", "ALTER TABLE t ADD g text GENERATED ALWAYS AS (coalesce(a, '-') || '?') STORED"),
    text(
        "rule on delete",
        "CREATE TABLE gone (a text); GRANT ALL ON gone TO neighbour; CREATE RULE keeps AS ON DELETE TO t DO ALSO INSERT INTO gone VALUES (OLD.a)",
    ),
    text("statistics", "CREATE STATISTICS s ON a, note FROM t; CREATE STATISTICS e ON lower(a), id FROM t"),
    text(
        "column grants",
        "REVOKE ALL ON t FROM neighbour; GRANT SELECT, DELETE ON t TO neighbour; GRANT INSERT (id, a), UPDATE (a, note) ON t TO neighbour",
    ),
    text(
        "comment, statistics target, options, storage",
        "COMMENT ON COLUMN t.a IS 'it''s'; ALTER TABLE t ALTER a SET STATISTICS 500, ALTER a SET (n_distinct = 7), ALTER a SET STORAGE EXTERNAL",
    ),
    text("function in SQL", "CREATE FUNCTION longest() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT max(a) FROM t; END"),
    text("clustered", "CREATE INDEX on_a ON t (a); CLUSTER t USING on_a"),
    text("not null with a default", "UPDATE t SET a = 'x' WHERE a IS NULL; ALTER TABLE t ALTER a SET NOT NULL, ALTER a SET DEFAULT 'd'"),
    text("default", "ALTER TABLE t ALTER a SET DEFAULT 'd'"),
    text(
        "columns with the names of variables",
        "ALTER TABLE t ADD here int DEFAULT 1, ADD pages int, ADD place int DEFAULT 3, ADD t text DEFAULT 't', ADD found text, ADD v_found text,
         ADD old_changed boolean, ADD wrote_old boolean, ADD conflict text DEFAULT 'c', ADD \"new\" text, ADD \"OLD\" text, ADD file bigint,
         ADD converted text, ADD changed text, ADD answer text, ADD statement text, ADD path text, ADD key text, ADD rows int, ADD empty boolean",
    ),
    text("default that differs each time", "CREATE SEQUENCE q; GRANT ALL ON SEQUENCE q TO neighbour; ALTER TABLE t ALTER a SET DEFAULT 'q' || nextval('q')"),
    text(
        "trigger for UPDATE OF",
        "CREATE TABLE log (what text); GRANT ALL ON log TO neighbour;
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (concat_ws(' ', TG_NAME, TG_OP, NEW.id)); RETURN NEW; END $$;
         CREATE TRIGGER watch AFTER UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION note();
         CREATE TRIGGER \"odd UPDATE OF a ON\" AFTER INSERT OR UPDATE OF note, a ON t FOR EACH ROW WHEN (NEW.a IS NOT NULL) EXECUTE FUNCTION note();
         CREATE TRIGGER asleep AFTER UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION note(); ALTER TABLE t DISABLE TRIGGER asleep;
         CREATE TRIGGER always BEFORE UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION note(); ALTER TABLE t ENABLE ALWAYS TRIGGER always;
         COMMENT ON TRIGGER watch ON t IS 'looks'",
    ),
    text(
        "trigger for UPDATE OF, per statement",
        "CREATE TABLE log (what text); GRANT ALL ON log TO neighbour;
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (TG_NAME); RETURN NULL; END $$;
         CREATE TRIGGER per_statement AFTER UPDATE OF a ON t EXECUTE FUNCTION note()",
    ),
    text(
        "constraint trigger",
        "CREATE TABLE log (what text); GRANT ALL ON log TO neighbour;
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (concat_ws(' ', TG_NAME, NEW.id)); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER late AFTER UPDATE OF a ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.a IS DISTINCT FROM OLD.a) EXECUTE FUNCTION note();
         ALTER TABLE t ENABLE REPLICA TRIGGER late; ALTER TABLE t ENABLE TRIGGER late; COMMENT ON TRIGGER late ON t IS 'late'",
    ),
    text(
        "BEFORE trigger that changes another column",
        "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := 'stamped ' || TG_OP; RETURN NEW; END $$;
         CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stamp()",
    ),
    text("after columns that were dropped", "ALTER TABLE t ADD x int, ADD y int; ALTER TABLE t DROP x, DROP y, DROP note; ALTER TABLE t ADD note text"),
    text(
        "type of another table's column",
        "CREATE TABLE holder (id int, was t); INSERT INTO holder SELECT 1, t FROM t WHERE id = 1; CREATE FUNCTION f(t) RETURNS text LANGUAGE sql AS $$ SELECT $1.note $$",
    ),
];

pub(super) const ON_TEXT_WRITES: &[&str] = TEXT;

pub(super) const CASES: &[Case] = &[
    case(
        "foreign key",
        "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p SELECT generate_series(1, 40); GRANT ALL ON p TO neighbour;
         CREATE TABLE t (id int PRIMARY KEY, a int REFERENCES p ON DELETE SET NULL ON UPDATE CASCADE, note text); INSERT INTO t SELECT g, g FROM generate_series(1, 40) g",
        &[
            "INSERT INTO p VALUES ({n})",
            "INSERT INTO t (id, {c}) VALUES ({n}, {n})",
            "INSERT INTO t (id, {c}) VALUES (-{n}, -{n})",
            "UPDATE p SET id = id + 700000 WHERE id = {n}",
            "UPDATE t SET note = 'n' WHERE {c} = {n} + 700000",
            "UPDATE t SET {c} = 5 WHERE id = {n}",
            "DELETE FROM p WHERE id = {n} + 700000",
            "DELETE FROM p WHERE id = {n} - 100",
        ],
    ),
    case(
        "foreign key of two columns, MATCH FULL",
        "CREATE TABLE p (x int, y int, PRIMARY KEY (x, y)); INSERT INTO p SELECT g, g FROM generate_series(1, 40) g; GRANT ALL ON p TO neighbour;
         CREATE TABLE t (id int, a int, y int, note text, FOREIGN KEY (a, y) REFERENCES p MATCH FULL DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO t SELECT g, g, g FROM generate_series(1, 40) g",
        &[
            "INSERT INTO p VALUES ({n}, {n})",
            "INSERT INTO t (id, {c}, y) VALUES ({n}, {n}, {n})",
            "INSERT INTO t (id, {c}) VALUES (-{n}, {n})",
            "UPDATE t SET {c} = NULL, y = NULL WHERE id = {n}",
            "UPDATE t SET {c} = NULL WHERE id = 3",
            "DELETE FROM p WHERE x = {n}",
        ],
    ),
    case(
        "primary key that others refer to",
        "CREATE TABLE t (a int PRIMARY KEY, note text); INSERT INTO t SELECT generate_series(1, 40);
         CREATE TABLE child (id int, t int REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE); INSERT INTO child SELECT g, g FROM generate_series(1, 40) g; GRANT ALL ON child TO neighbour",
        &[
            "INSERT INTO t ({c}, note) VALUES ({n}, 'n')",
            "INSERT INTO t ({c}, note) VALUES ({n}, 'twice')",
            "INSERT INTO child VALUES ({n}, {n})",
            "INSERT INTO child VALUES ({n}, -{n})",
            "UPDATE t SET {c} = {c} + 500000 WHERE {c} = {n}",
            "DELETE FROM t WHERE {c} = {n} + 500000",
            "UPDATE t SET {c} = NULL WHERE {c} = 2",
        ],
    ),
    case(
        "table that refers to itself",
        "CREATE TABLE t (a int PRIMARY KEY, up int REFERENCES t ON DELETE CASCADE, note text); INSERT INTO t SELECT g, nullif(g / 2, 0) FROM generate_series(1, 40) g",
        &[
            "INSERT INTO t ({c}, up) VALUES ({n}, 1)",
            "INSERT INTO t ({c}, up) VALUES (-{n}, {n})",
            "UPDATE t SET up = -1 WHERE {c} = {n}",
            "UPDATE t SET {c} = {c} - 1000000 WHERE {c} = -{n}",
            "DELETE FROM t WHERE {c} = {n}",
        ],
    ),
    case(
        "key that refers to the same table",
        "CREATE TABLE t (id int PRIMARY KEY, a int REFERENCES t ON DELETE SET NULL, note text); INSERT INTO t SELECT g, nullif(g / 2, 0) FROM generate_series(1, 40) g",
        NUMBER,
    ),
    case(
        "replica identity",
        "CREATE TABLE t (id int NOT NULL, a int NOT NULL, note text); CREATE UNIQUE INDEX who ON t (a); ALTER TABLE t REPLICA IDENTITY USING INDEX who; INSERT INTO t SELECT g, g FROM generate_series(1, 40) g",
        NUMBER,
    ),
    case("serial key", "CREATE TABLE t (a serial PRIMARY KEY, note text); INSERT INTO t (note) SELECT 'x' FROM generate_series(1, 40)", KEY),
    case(
        "identity by default",
        "CREATE TABLE t (a int GENERATED BY DEFAULT AS IDENTITY (START 100 INCREMENT 2) PRIMARY KEY, note text); INSERT INTO t (note) SELECT 'x' FROM generate_series(1, 40)",
        KEY,
    ),
    case(
        "identity always",
        "CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text); INSERT INTO t (note) SELECT 'x' FROM generate_series(1, 40)",
        &[
            "INSERT INTO t (note) VALUES ('none')",
            "INSERT INTO t ({c}, note) VALUES ({n}, 'given')",
            "DELETE FROM t WHERE note = 'none'",
            "UPDATE t SET {c} = {n} WHERE {c} = 3",
            "UPDATE t SET note = 'u' WHERE {c} IN (1, 2)",
            "DELETE FROM t WHERE {c} = 4",
        ],
    ),
    Case {
        by_own_name: &["INSERT INTO t ({c}, note) OVERRIDING SYSTEM VALUE VALUES ({n}, 'forced')", "UPDATE t SET {c} = DEFAULT WHERE {c} = 5"],
        ..case(
            "identity always, overridden",
            "CREATE TABLE t (a bigint GENERATED ALWAYS AS IDENTITY, note text); INSERT INTO t (note) SELECT 'x' FROM generate_series(1, 40)",
            &["INSERT INTO t (note) VALUES ('n{n}')"],
        )
    },
    Case {
        by_own_name: &["INSERT INTO t ({c}, note) VALUES ({n}, 'once'), (1, 'conflict') ON CONFLICT ON CONSTRAINT t_pkey DO UPDATE SET note = EXCLUDED.note"],
        ..case("upserts", "CREATE TABLE t (a int PRIMARY KEY, note text); INSERT INTO t SELECT generate_series(1, 40)", &[
            "INSERT INTO t ({c}, note) VALUES ({n}, 'once') ON CONFLICT ON CONSTRAINT t_pkey DO NOTHING",
            "INSERT INTO t ({c}, note) VALUES (1, 'twice') ON CONFLICT DO NOTHING",
        ])
    },
    case(
        "exclusion constraint",
        "CREATE TABLE t (id int, a int4range, note text, CONSTRAINT apart EXCLUDE USING gist (a WITH &&)); INSERT INTO t SELECT g, int4range(g * 10, g * 10 + 5) FROM generate_series(1, 40) g",
        &[
            "INSERT INTO t (id, {c}) VALUES ({n}, int4range({n} * 10, {n} * 10 + 5))",
            "INSERT INTO t (id, {c}) VALUES (-{n}, int4range({n} * 10 + 3, {n} * 10 + 9))",
            "UPDATE t SET {c} = int4range({n} * 10 + 5, {n} * 10 + 7) WHERE id = {n}",
            "DELETE FROM t WHERE {c} @> 15",
        ],
    ),
    case(
        "domain with a check",
        "CREATE DOMAIN positive AS int DEFAULT 7 CHECK (VALUE > 0); CREATE TABLE t (id int, a positive, note text); INSERT INTO t (id, a) SELECT g, g FROM generate_series(1, 40) g",
        NUMBER,
    ),
    case(
        "domain over a domain, with a limit, not null",
        "CREATE DOMAIN code AS varchar(8) COLLATE \"C\" CHECK (VALUE <> 'bad'); CREATE DOMAIN must AS code NOT NULL CHECK (length(VALUE) > 1);
         CREATE TABLE t (id int, a must DEFAULT 'none', note text); INSERT INTO t (id, a) SELECT g, 'x' || g FROM generate_series(1, 40) g; CREATE INDEX ON t (a)",
        TEXT,
    ),
    case(
        "domain with a check that calls a function",
        "CREATE FUNCTION fine(numeric) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN $1 > 0; END $$; CREATE DOMAIN price AS numeric CHECK (fine(VALUE));
         CREATE TABLE t (id int, a price, note text); INSERT INTO t (id, a) SELECT g, g + 0.10 FROM generate_series(1, 40) g",
        NUMBER,
    ),
    case(
        "domain without a check",
        "CREATE DOMAIN label AS text; CREATE TABLE t (id int, a label, note text); INSERT INTO t SELECT g, 'x' || g FROM generate_series(1, 40) g",
        TEXT,
    ),
    case(
        "composite type",
        "CREATE TYPE place AS (x int, y int); CREATE TABLE t (id int, a place, note text, CHECK ((a).x < 2000)); INSERT INTO t SELECT g, (g, g)::place FROM generate_series(1, 40) g",
        &["INSERT INTO t (id, {c}) VALUES ({n}, ({n}, 0))", "UPDATE t SET {c} = (1, {n}) WHERE id = 1", "UPDATE t SET {c}.x = 5 WHERE id = {n}", "UPDATE t SET note = 'x' WHERE ({c}).x = 1"],
    ),
    case(
        "array, enum and a collation",
        "CREATE TYPE mood AS ENUM ('bad', 'good'); CREATE TABLE t (id int, a mood[], note text COLLATE \"C\"); INSERT INTO t SELECT g, '{good}' FROM generate_series(1, 40) g; CREATE INDEX ON t USING gin (a)",
        &["INSERT INTO t (id, {c}) VALUES ({n}, '{bad,good}')", "UPDATE t SET {c}[1] = 'good' WHERE id = {n}", "UPDATE t SET {c} = {c} || 'bad'::mood WHERE id = 1", "INSERT INTO t (id, {c}) VALUES ({n}, '{ugly}')"],
    ),
    case(
        "view that needs the key",
        "CREATE TABLE t (a int PRIMARY KEY, note text, n int); INSERT INTO t SELECT g, 'x', g FROM generate_series(1, 40) g; CREATE VIEW w AS SELECT a, note, sum(n) FROM t GROUP BY a; GRANT SELECT ON w TO neighbour",
        KEY,
    ),
    case(
        "view that is written",
        "CREATE TABLE base (id int, a text, note text); CREATE VIEW w AS SELECT id, a FROM base WITH CHECK OPTION; ALTER TABLE base RENAME TO t; INSERT INTO t SELECT g, 'x' FROM generate_series(1, 40) g; GRANT ALL ON w TO neighbour",
        &["INSERT INTO w (id, a) VALUES ({n}, 'through')", "UPDATE w SET a = 'u{n}' WHERE id = {n}", "UPDATE t SET {c} = {c} || '.' WHERE id = {n}", "DELETE FROM w WHERE a = 'u{n}.'"],
    ),
    case(
        "triggers of each kind",
        "CREATE TABLE t (id int PRIMARY KEY, a int, note text); INSERT INTO t SELECT g, g FROM generate_series(1, 40) g; CREATE TABLE log (what text); GRANT ALL ON log TO neighbour;
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (concat_ws(' ', TG_NAME, TG_OP, TG_LEVEL)); RETURN coalesce(NEW, OLD); END $$;
         CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.note = 'n4' THEN RAISE 'no'; END IF; NEW.note := lower(NEW.note); RETURN NEW; END $$;
         CREATE TRIGGER z_guard BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION guard();
         CREATE TRIGGER one AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note();
         CREATE TRIGGER two BEFORE UPDATE OF a, note ON t FOR EACH ROW WHEN (OLD.a IS DISTINCT FROM NEW.a) EXECUTE FUNCTION note();
         CREATE TRIGGER three AFTER UPDATE ON t REFERENCING NEW TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION note();
         CREATE TRIGGER four AFTER TRUNCATE ON t EXECUTE FUNCTION note()",
        NUMBER,
    ),
    Case {
        since: 15,
        ..case(
            "unique, nulls not distinct",
            "CREATE TABLE t (id int, a int, note text, UNIQUE NULLS NOT DISTINCT (a, id)); INSERT INTO t SELECT g, g FROM generate_series(1, 40) g",
            NUMBER,
        )
    },
    Case {
        since: 18,
        ..case(
            "not null never validated, not enforced checks",
            "CREATE TABLE t (id int, a int, note text); INSERT INTO t SELECT g, g FROM generate_series(1, 40) g; ALTER TABLE t ADD CONSTRAINT there NOT NULL a NOT VALID; ALTER TABLE t ADD CONSTRAINT loose CHECK (a > 10) NOT ENFORCED",
            NUMBER,
        )
    },
    Case {
        since: 18,
        ..case(
            "virtual column from it",
            "CREATE TABLE t (id int, a int, note text, twice int GENERATED ALWAYS AS (a * 2)); INSERT INTO t SELECT g, g FROM generate_series(1, 40) g",
            NUMBER,
        )
    },
    Case {
        since: 18,
        ..case(
            "key without overlaps",
            "CREATE TABLE t (k int4range, a int4range, note text, CONSTRAINT alone PRIMARY KEY (k, a WITHOUT OVERLAPS)); INSERT INTO t SELECT '[1,1]', int4range(g * 10, g * 10 + 5) FROM generate_series(1, 40) g",
            &["INSERT INTO t (k, {c}) VALUES ('[1,1]', int4range({n} * 10, {n} * 10 + 5))", "INSERT INTO t (k, {c}) VALUES ('[1,1]', int4range({n} * 10 + 2, {n} * 10 + 7))", "DELETE FROM t WHERE {c} @> 12"],
        )
    },
];
