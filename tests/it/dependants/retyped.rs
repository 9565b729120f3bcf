//! A type change of a column with anything that may hang on it: what a role that owns nothing does works as beside a table that
//! had the new type from the beginning, the way back ends where the run began, and the end is that table.

use crossfade::run::Phase;
use crossfade::runner::Error;
use tokio_util::sync::CancellationToken;

use super::partitions_retyped::Both;
use super::{PHASES, Place, difference};
use crate::harness::{Version, long_versions, tool, versions};
use crate::steps::{each_step_failed_on, each_step_failed_to};

/// What hangs on column `n` of a table that holds the numbers from 1 to 40, and what is written: `{n}` is a number of the
/// statement's own.
struct Case {
    name: &'static str,
    more: &'static str,
    writes: &'static [&'static str],
}

const fn case(name: &'static str, more: &'static str, writes: &'static [&'static str]) -> Case {
    Case { name, more, writes }
}

/// Tried on each case.
const WRITES: &[&str] = &[
    "INSERT INTO t (id, n, note) VALUES ({n}, {n}, 'i')",
    "INSERT INTO t (id, note) VALUES ({n} + 1, 'none')",
    "UPDATE t SET n = n + 1 WHERE id = 3",
    "UPDATE t SET note = 'o' WHERE id = 4",
    "DELETE FROM t WHERE id = 5",
];

const CASES: &[Case] = &[
    case(
        "views on views with everything that a view can have",
        "CREATE VIEW low WITH (security_barrier) AS SELECT id, n, n * 2 AS twice FROM t WHERE n < 5000 WITH LOCAL CHECK OPTION;
         CREATE VIEW \"upper's %\" (a, b) AS SELECT id, twice FROM low UNION ALL SELECT id, n FROM t;
         CREATE VIEW beside AS SELECT id, note FROM t;
         CREATE VIEW joined AS SELECT l.id, u.b, x.note FROM low l JOIN \"upper's %\" u ON u.a = l.id JOIN beside x ON x.id = l.id;
         COMMENT ON VIEW low IS 'it''s $1'; COMMENT ON COLUMN low.twice IS 'doubled';
         ALTER VIEW low ALTER COLUMN n SET DEFAULT 7; REVOKE DELETE ON low FROM neighbour; GRANT UPDATE (id) ON low TO PUBLIC;
         GRANT SELECT ON joined TO neighbour WITH GRANT OPTION; ALTER VIEW joined RENAME COLUMN b TO both_of_them;
         DO $$ BEGIN CREATE ROLE crossfade_viewer; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         GRANT CREATE ON SCHEMA public TO crossfade_viewer; GRANT SELECT ON t TO crossfade_viewer; ALTER VIEW beside OWNER TO crossfade_viewer;
         ALTER VIEW \"upper's %\" OWNER TO crossfade_viewer; GRANT SELECT ON low TO crossfade_viewer; REVOKE ALL ON \"upper's %\" FROM crossfade_viewer;
         GRANT SELECT ON \"upper's %\" TO crossfade_viewer;
         CREATE FUNCTION into_low() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.t (id, n, note) VALUES (NEW.id, NEW.both_of_them, 'w'); RETURN NEW; END $$;
         CREATE TRIGGER written INSTEAD OF INSERT ON joined FOR EACH ROW EXECUTE FUNCTION into_low(); COMMENT ON TRIGGER written ON joined IS 't';
         CREATE RULE gone AS ON DELETE TO \"upper's %\" DO INSTEAD DELETE FROM t WHERE id = OLD.a; COMMENT ON RULE gone ON \"upper's %\" IS 'r'",
        &[
            "INSERT INTO low (id) VALUES ({n} + 10)",
            "INSERT INTO low (id, n) VALUES ({n} + 11, 90000)",
            "INSERT INTO joined (id, both_of_them) VALUES ({n} + 12, {n})",
            "DELETE FROM low WHERE id = 6",
            "DELETE FROM \"upper's %\" WHERE a = 7",
            "UPDATE low SET n = 3 WHERE id = 8",
            "SELECT count(*) FROM joined HAVING sum(both_of_them) > 0",
        ],
    ),
    case(
        "materialized views, what they stand on and what reads them",
        "CREATE VIEW low AS SELECT id, n, note FROM t WHERE n < 5000; COMMENT ON VIEW low IS 'low'; CREATE RULE gone AS ON DELETE TO low DO INSTEAD DELETE FROM t WHERE id = OLD.id;
         GRANT SELECT (id) ON low TO PUBLIC;
         CREATE MATERIALIZED VIEW m WITH (fillfactor = 70, autovacuum_enabled = off) AS SELECT n, count(*) AS c, max(note) AS note FROM t GROUP BY n;
         CREATE UNIQUE INDEX m_n ON m (n) INCLUDE (c); CREATE INDEX \"m's %\" ON m ((n + 1) DESC, lower(note)) WHERE c > 0; COMMENT ON INDEX m_n IS 'it''s';
         ALTER INDEX \"m's %\" ALTER COLUMN 1 SET STATISTICS 55; ALTER MATERIALIZED VIEW m CLUSTER ON m_n;
         ALTER MATERIALIZED VIEW m ALTER COLUMN n SET STATISTICS 77, ALTER COLUMN c SET (n_distinct = 3), ALTER COLUMN note SET STORAGE EXTERNAL, ALTER COLUMN note SET COMPRESSION pglz;
         CREATE STATISTICS of_m (ndistinct) ON n, c FROM m; COMMENT ON STATISTICS of_m IS 's'; ALTER STATISTICS of_m SET STATISTICS 9;
         COMMENT ON MATERIALIZED VIEW m IS 'it''s $1'; COMMENT ON COLUMN m.n IS 'n'; REVOKE ALL ON m FROM neighbour; GRANT SELECT (n, c) ON m TO PUBLIC;
         CREATE MATERIALIZED VIEW \"m 2\" (a, b) AS SELECT sum(n), note FROM low GROUP BY note; CREATE MATERIALIZED VIEW m3 AS SELECT a FROM \"m 2\";
         DO $$ BEGIN CREATE ROLE crossfade_viewer; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         GRANT CREATE ON SCHEMA public TO crossfade_viewer; GRANT SELECT ON \"m 2\" TO crossfade_viewer; ALTER MATERIALIZED VIEW m3 OWNER TO crossfade_viewer;
         CREATE VIEW above WITH (security_barrier) AS SELECT m.n, x.a, l.id FROM m JOIN m3 x ON true JOIN low l ON l.n = m.n; GRANT SELECT ON above TO neighbour WITH GRANT OPTION;
         CREATE RULE none AS ON DELETE TO above DO INSTEAD NOTHING; COMMENT ON RULE none ON above IS 'r'; COMMENT ON COLUMN above.a IS 'a';
         CREATE MATERIALIZED VIEW top AS SELECT max(n) AS most FROM above; REVOKE ALL ON top FROM neighbour;
         CREATE FUNCTION of_m() RETURNS bigint SECURITY DEFINER BEGIN ATOMIC SELECT max(n) FROM m; END; COMMENT ON FUNCTION of_m IS 'f';
         CREATE PROCEDURE refreshed() LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$ BEGIN
           REFRESH MATERIALIZED VIEW CONCURRENTLY m; REFRESH MATERIALIZED VIEW \"m 2\"; REFRESH MATERIALIZED VIEW m3; REFRESH MATERIALIZED VIEW top; END $$",
        &[
            "DELETE FROM low WHERE id = 6", "SELECT FROM m WHERE note = 'n'", "SELECT n FROM m WHERE c > 0", "SELECT * FROM above", "DELETE FROM above",
            "SELECT FROM of_m() AS x WHERE x > 1000", "SELECT FROM top", "CALL refreshed()",
        ],
    ),
    case(
        "recursive and grouped views",
        "CREATE RECURSIVE VIEW steps (n) AS SELECT 1 UNION ALL SELECT s.n + 1 FROM steps s WHERE s.n < (SELECT min(n) + 3 FROM t);
         CREATE VIEW sums AS SELECT note, sum(id) AS s FROM t GROUP BY note HAVING max(n) > 3",
        &["SELECT count(*) FROM steps HAVING count(*) > 1", "SELECT * FROM sums"],
    ),
    case(
        "policies",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY seen ON t USING (n < 3000 OR n IS NULL) WITH CHECK (n < 2500 OR n IS NULL);
         CREATE POLICY all_others ON t AS RESTRICTIVE FOR UPDATE TO neighbour USING (id <> 9 AND n > 0);
         CREATE POLICY also ON t FOR INSERT TO PUBLIC WITH CHECK (n = (SELECT count(*) FROM pg_class WHERE n = -1)); COMMENT ON POLICY seen ON t IS 'p'",
        &["UPDATE t SET n = 2700 WHERE id = 10", "UPDATE t SET n = 11 WHERE id = 9", "SELECT * FROM t"],
    ),
    case(
        "triggers with columns and conditions",
        "CREATE TABLE log (what text, id int);
         GRANT INSERT ON log TO neighbour;
         CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.log VALUES (TG_NAME, NEW.id); RETURN NEW; END $$;
         CREATE TRIGGER of_n AFTER UPDATE OF n ON t FOR EACH ROW EXECUTE FUNCTION noted();
         CREATE TRIGGER of_both BEFORE INSERT OR UPDATE OF note, n ON t FOR EACH ROW EXECUTE FUNCTION noted();
         CREATE TRIGGER when_changed AFTER UPDATE ON t FOR EACH ROW WHEN (OLD.n IS DISTINCT FROM NEW.n) EXECUTE FUNCTION noted();
         CREATE TRIGGER off AFTER UPDATE OF n ON t FOR EACH ROW EXECUTE FUNCTION noted(); ALTER TABLE t DISABLE TRIGGER off;
         CREATE TRIGGER always AFTER UPDATE OF n ON t FOR EACH ROW EXECUTE FUNCTION noted(); ALTER TABLE t ENABLE ALWAYS TRIGGER always;
         CREATE CONSTRAINT TRIGGER late AFTER UPDATE OF n ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.n > 2) EXECUTE FUNCTION noted();
         CREATE TRIGGER of_note AFTER UPDATE OF note ON t FOR EACH ROW EXECUTE FUNCTION noted(); COMMENT ON TRIGGER of_n ON t IS 'it''s'",
        &["UPDATE t SET n = 1 WHERE id = 11", "UPDATE t SET n = n WHERE id = 12", "UPDATE t SET id = id WHERE id = 13"],
    ),
    case(
        "extended statistics",
        "CREATE STATISTICS both_of_them (ndistinct, dependencies) ON id, n FROM t; CREATE STATISTICS \"of a sum\" ON (n + 1), note FROM t;
         ALTER STATISTICS both_of_them SET STATISTICS 77; COMMENT ON STATISTICS both_of_them IS 's'; CREATE STATISTICS others ON id, note FROM t",
        &[],
    ),
    case(
        "checks",
        "ALTER TABLE t ADD CONSTRAINT small CHECK (n < 9000000), ADD CONSTRAINT \"two of them\" CHECK (n IS NULL OR n > 0 AND id <> 77) NO INHERIT,
         ADD CONSTRAINT later CHECK (n <> 390) NOT VALID, ADD CONSTRAINT t_n_check CHECK (abs(n) = n), ADD CONSTRAINT other CHECK (id > 0);
         COMMENT ON CONSTRAINT small ON t IS 'it''s'; UPDATE t SET n = 41 WHERE n IS NULL; ALTER TABLE t ALTER COLUMN n SET NOT NULL, ADD CONSTRAINT written CHECK (note <> n::text)",
        &["UPDATE t SET n = -1 WHERE id = 1", "UPDATE t SET n = 390 WHERE id = 2", "INSERT INTO t (id, n) VALUES (77, 1)", "UPDATE t SET note = '6' WHERE id = 6", "UPDATE t SET n = NULL WHERE id = 4"],
    ),
    case(
        "foreign keys",
        "CREATE TABLE p (id int PRIMARY KEY, x int, UNIQUE (x, id)); INSERT INTO p SELECT g, g % 7 FROM generate_series(1, 20000) g;
         CREATE TABLE two (a int, b text, UNIQUE (b, a)); INSERT INTO two SELECT g, 'n' FROM generate_series(1, 20000) g;
         GRANT ALL ON p, two TO neighbour; ALTER TABLE t ADD PRIMARY KEY (id);
         ALTER TABLE t ADD CONSTRAINT to_p FOREIGN KEY (n) REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE;
         ALTER TABLE t ADD CONSTRAINT to_self FOREIGN KEY (n) REFERENCES t DEFERRABLE INITIALLY DEFERRED;
         ALTER TABLE t ADD CONSTRAINT \"to two\" FOREIGN KEY (note, n) REFERENCES two (b, a) ON DELETE SET NULL NOT VALID;
         COMMENT ON CONSTRAINT to_p ON t IS 'p'",
        &["INSERT INTO t (id, n, note) VALUES ({n} + 5, 30000, 'n')", "DELETE FROM p WHERE id = 14", "UPDATE p SET id = 29999 WHERE id = 19999",
          "DELETE FROM two WHERE a = 15", "INSERT INTO t (id, n, note) VALUES ({n} + 6, 16, 'x')", "INSERT INTO t (id, n, note) VALUES ({n} + 7, {n} + 7, 'n')"],
    ),
    case(
        "a primary key with foreign keys that refer to it",
        "DELETE FROM t WHERE n IS NULL; ALTER TABLE t ADD CONSTRAINT t_pkey PRIMARY KEY (n); COMMENT ON CONSTRAINT t_pkey ON t IS 'key'; COMMENT ON INDEX t_pkey IS 'of it';
         ALTER TABLE t CLUSTER ON t_pkey; CREATE VIEW grouped AS SELECT n, note FROM t GROUP BY n;
         CREATE TABLE child (id int, t_n int REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE, other int REFERENCES t (n) ON DELETE SET NULL DEFERRABLE);
         CREATE TABLE \"an other\" (id int, t int, up int, FOREIGN KEY (up) REFERENCES t ON DELETE SET DEFAULT);
         ALTER TABLE \"an other\" ADD CONSTRAINT \"of t\" FOREIGN KEY (t) REFERENCES t NOT VALID; COMMENT ON CONSTRAINT \"of t\" ON \"an other\" IS 'it''s'; ALTER TABLE t ADD up int, ADD CONSTRAINT to_self FOREIGN KEY (up) REFERENCES t;
         GRANT ALL ON child, \"an other\" TO neighbour; INSERT INTO child SELECT g, g, g + 1 FROM generate_series(19, 24) g; INSERT INTO \"an other\" VALUES (1, 28, 29)",
        &[
            "INSERT INTO child VALUES ({n}, {n}, NULL)", "INSERT INTO child VALUES ({n}, 77777, NULL)", "DELETE FROM t WHERE n = 20",
            "UPDATE t SET n = {n} + 500 WHERE n = 22", "DELETE FROM t WHERE n = 28", "INSERT INTO \"an other\" VALUES (2, 77777, NULL)",
            "UPDATE t SET up = 30 WHERE id = 31", "UPDATE t SET up = 77777 WHERE id = 32", "DELETE FROM t WHERE n = 30",
            "INSERT INTO t (id, n) VALUES (1, 33)", "INSERT INTO t (id, n, note) VALUES (2, 33, 'twice') ON CONFLICT (n) DO UPDATE SET note = 'met'",
        ],
    ),
    case(
        "an identity that is the key",
        "DELETE FROM t WHERE n IS NULL; ALTER TABLE t ADD PRIMARY KEY (n), ALTER COLUMN n ADD GENERATED BY DEFAULT AS IDENTITY (START WITH 70000 INCREMENT BY 2);
         CREATE TABLE child (t int REFERENCES t); GRANT ALL ON child TO neighbour; REVOKE UPDATE ON SEQUENCE t_n_seq FROM neighbour; COMMENT ON SEQUENCE t_n_seq IS 'it''s'",
        &[
            "INSERT INTO t (id, n) VALUES ({n}, DEFAULT)", "WITH x AS (INSERT INTO t (id) VALUES ({n}) RETURNING n) SELECT * FROM x WHERE n > 70000",
            "SELECT nextval('t_n_seq')", "SELECT setval('t_n_seq', 1)", "INSERT INTO child SELECT max(n) FROM t",
        ],
    ),
    case(
        "an identity of which nobody gives the values",
        "DELETE FROM t WHERE n IS NULL; ALTER TABLE t ALTER COLUMN n SET NOT NULL, ALTER COLUMN n ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME \"of them\" MAXVALUE 80000 MINVALUE 5 START 60000 CYCLE)",
        &["INSERT INTO t (id) VALUES ({n})", "UPDATE t SET n = DEFAULT WHERE id = 12", "INSERT INTO t (id, n) OVERRIDING SYSTEM VALUE VALUES ({n}, {n} + 3)"],
    ),
    case(
        "a key of two columns, one of them",
        "DELETE FROM t WHERE n IS NULL; ALTER TABLE t ADD PRIMARY KEY (note, n) DEFERRABLE, ADD UNIQUE (n, id);
         CREATE TABLE child (a int, b int, FOREIGN KEY (a, b) REFERENCES t (n, id) MATCH FULL ON UPDATE CASCADE); GRANT ALL ON child TO neighbour; INSERT INTO child VALUES (19, 19), (21, 21)",
        &["UPDATE t SET n = {n} + 500 WHERE n = 21", "DELETE FROM t WHERE n = 19", "INSERT INTO child VALUES (23, 23)", "INSERT INTO child VALUES (23, 24)"],
    ),
    case(
        "functions whose bodies PostgreSQL has read",
        "CREATE VIEW low AS SELECT id, n FROM t WHERE n < 5000;
         CREATE FUNCTION top(bottom int DEFAULT 3) RETURNS bigint STABLE SECURITY DEFINER COST 7 SET work_mem = '5MB' RETURN (SELECT max(n) FROM t WHERE n > bottom);
         CREATE FUNCTION of_low(OUT i int, OUT twice numeric) RETURNS SETOF record ROWS 11 BEGIN ATOMIC SELECT id, n * 2 FROM low; END;
         CREATE PROCEDURE \"put $it\"(i int, INOUT said text DEFAULT 'a,b') BEGIN ATOMIC INSERT INTO t (id, n, note) VALUES (i, i, said); SELECT 'it''s'::text; END;
         CREATE FUNCTION less(t) RETURNS int RETURN ($1).n - 1;
         CREATE VIEW calls AS SELECT top() AS t, twice FROM of_low(); ALTER TABLE t ADD CHECK (note <> 'x' OR top() > 0);
         REVOKE ALL ON FUNCTION top FROM PUBLIC; GRANT EXECUTE ON FUNCTION top TO neighbour WITH GRANT OPTION; COMMENT ON FUNCTION of_low() IS 'it''s'",
        &["CALL \"put $it\"({n} + 3)", "SELECT FROM calls WHERE twice > 10", "SELECT FROM top(5) AS x WHERE x > 100", "SELECT FROM t WHERE less(t) = 8"],
    ),
    case(
        "rules for DELETE",
        "CREATE TABLE log (n bigint); GRANT ALL ON log TO neighbour; CREATE RULE logged AS ON DELETE TO t DO ALSO INSERT INTO log VALUES (OLD.n);
         CREATE RULE \"kept by it\" AS ON DELETE TO t WHERE OLD.n = 14 DO INSTEAD UPDATE t SET note = 'kept' WHERE id = OLD.id; COMMENT ON RULE logged ON t IS 'it''s';
         CREATE RULE \"not any more\" AS ON DELETE TO t WHERE OLD.n > 2 DO INSTEAD NOTHING; ALTER TABLE t DISABLE RULE \"not any more\"",
        &["DELETE FROM t WHERE id IN (14, 15)", "DELETE FROM t WHERE n BETWEEN 16 AND 17"],
    ),
    case(
        "a replica identity, and what else a column can have",
        "DELETE FROM t WHERE n IS NULL; ALTER TABLE t ALTER n SET NOT NULL; CREATE UNIQUE INDEX \"of n\" ON t (n) INCLUDE (note); ALTER TABLE t REPLICA IDENTITY USING INDEX \"of n\", CLUSTER ON \"of n\";
         ALTER TABLE t ALTER n SET STATISTICS 55, ALTER n SET (n_distinct = 33, n_distinct_inherited = -0.5); COMMENT ON COLUMN t.n IS 'it''s'; GRANT UPDATE (n) ON t TO neighbour WITH GRANT OPTION",
        &["UPDATE t SET n = {n} + 500 WHERE n = 21", "INSERT INTO t (id, n) VALUES (1, 33)", "DELETE FROM t WHERE n = 19"],
    ),
    case(
        "unique constraints that can be deferred",
        "ALTER TABLE t ADD CONSTRAINT late UNIQUE (id, n) DEFERRABLE INITIALLY DEFERRED, ADD CONSTRAINT \"at the end\" UNIQUE (n) DEFERRABLE",
        &["UPDATE t SET n = n + 1 WHERE id IN (20, 21, 22)", "INSERT INTO t (id, n) VALUES (1, 1)"],
    ),
    case(
        "a sequence of its own",
        "CREATE SEQUENCE t_n_seq START 1000000 OWNED BY t.n; ALTER TABLE t ALTER COLUMN n SET DEFAULT nextval('t_n_seq'); GRANT ALL ON SEQUENCE t_n_seq TO neighbour",
        &["INSERT INTO t (id, n) VALUES ({n} + 2, DEFAULT)"],
    ),
];

fn table(of_type: &str) -> String {
    format!(
        "CREATE TABLE t (id int, n {of_type}, note text); INSERT INTO t SELECT g, CASE WHEN g % 9 > 0 THEN g END, 'n' FROM generate_series(1, 40) g"
    )
}

async fn ends_like_the_new_type(version: &Version, case: &Case) {
    let name = format!("{} on {}", case.name, version.major);
    let setup = |of_type| format!("{}; {}", table(of_type), case.more);
    let (mut ours, mut beside) =
        (Place::new(version, &setup("int")).await, Place::new(version, &setup("bigint")).await);
    // Triggers for every UPDATE would fire once for each row of the backfill, as its warning says.
    let triggers = if case.more.contains("UPDATE ON t") { "backfill: { triggers: skip }\n" } else { "" };
    let text = format!(
        "version: 1\nname: carry\ntable: public.t\nchanges: [{{ change_type: {{ column: n, to: bigint, via: n_v2, reverse: \"n_v2::int\" }} }}]\n\
         contract: {{ grace: 0s, quiet: 0s }}\n{triggers}"
    );
    let plan = crossfade::plan::parse("plan.yaml", &text).unwrap();
    let tool = tool(&ours.database.url);
    let preview = tool.preview(&plan).await.unwrap();
    assert!(preview.refusals.is_empty(), "{name}: {:?}", preview.refusals);
    let mut number = 0;
    let mut both = async |ours: &mut Place, when: &str| {
        number += 1000;
        for statement in WRITES.iter().chain(case.writes) {
            let statement = statement.replace("{n}", &number.to_string());
            ours.write(&statement).await;
            beside.write(&statement).await;
            assert_eq!(ours.ends.last(), beside.ends.last(), "{name}, {when}: {statement}");
        }
        let (found, expected) = (ours.contents().await, beside.contents().await);
        // The second column is there for a while.
        let found: Vec<_> = found.lines().map(|line| without(line, "n_v2")).collect();
        assert_eq!(found.join("\n"), expected.trim_end(), "{name}, {when}: rows");
    };
    both(&mut ours, "before").await;
    let before = ours.schema().await;
    for phase in PHASES {
        tool.run(&plan, &text, Some(phase)).await.unwrap_or_else(|error| panic!("{name} to {phase}: {error:?}"));
        both(&mut ours, phase.as_str()).await;
    }
    tool.rollback("carry", None).await.unwrap_or_else(|error| panic!("{name} back: {error:?}"));
    let back = ours.schema().await;
    assert!(back == before, "{name}, rolled back:\n{}", difference(&before, &back));
    both(&mut ours, "rolled back").await;
    tool.run(&plan, &text, Some(Phase::Verify)).await.unwrap_or_else(|error| panic!("{name} again: {error:?}"));
    both(&mut ours, "again").await;
    tool.run(&plan, &text, None).await.unwrap_or_else(|error| panic!("{name} to the end: {error:?}"));
    both(&mut ours, "at the end").await;
    let (found, expected) = (ours.database.schema().await, beside.database.schema().await);
    assert!(found == expected, "{name}, at the end:\n{}", difference(&expected, &found));
}

/// A row as JSON without one of its keys, and with its keys in order.
pub(super) fn without(line: &str, key: &str) -> String {
    let Ok(serde_json::Value::Object(mut row)) = serde_json::from_str(line) else { return line.to_owned() };
    row.remove(key);
    let mut keys: Vec<_> = row.into_iter().collect();
    keys.sort_by(|a, b| (a.0.len(), &a.0).cmp(&(b.0.len(), &b.0)));
    let fields: Vec<_> =
        keys.iter().map(|(key, value)| format!("{}: {value}", serde_json::Value::from(key.as_str()))).collect();
    format!("{{{}}}", fields.join(", "))
}

/// One of them: CASE=name.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_change_carries_what_hangs_on_the_column() {
    let only = std::env::var("CASE").ok();
    for version in long_versions() {
        let wanted = |case: &&Case| only.as_ref().is_none_or(|only| case.name.contains(only));
        assert!(CASES.iter().any(|case| wanted(&case)), "no such case");
        for case in CASES.iter().filter(wanted) {
            ends_like_the_new_type(&version, case).await;
        }
    }
}

/// Where PostgreSQL only touches the catalog it does not take these along either; a CHECK it would prove again, with the table locked.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_place_carries_what_hangs_on_the_column() {
    const MORE: &str = "CREATE VIEW low AS SELECT id, upper(s) AS up, s FROM t; CREATE VIEW lower_still AS SELECT up FROM low; COMMENT ON VIEW low IS 'v';
         ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY seen ON t USING (s <> 'hidden');
         CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
         CREATE TRIGGER of_s AFTER UPDATE OF s ON t FOR EACH ROW EXECUTE FUNCTION noted(); ALTER TABLE t DISABLE TRIGGER of_s;
         CREATE STATISTICS both_of_them ON id, s FROM t";
    let setup = |of_type: &str, more: &str| {
        format!("CREATE TABLE t (id int, s {of_type}); INSERT INTO t VALUES (1, 'x'); {MORE}; {more}")
    };
    let text = "version: 1\nname: wider\ntable: public.t\nchanges: [{ change_type: { column: s, to: varchar(40), via: s_v2, reverse: \"s_v2::varchar(20)\" } }]\n\
                contract: { grace: 0s, quiet: 0s }\n";
    let plan = crossfade::plan::parse("plan.yaml", text).unwrap();
    for version in long_versions() {
        for (more, in_place) in [("", true), ("ALTER TABLE t ADD CHECK (s <> '')", false)] {
            let (ours, beside) = (
                Place::new(&version, &setup("varchar(20)", more)).await,
                Place::new(&version, &setup("varchar(40)", more)).await,
            );
            let tool = tool(&ours.database.url);
            let program = tool.preview(&plan).await.unwrap().program.unwrap();
            assert_eq!(program.phases == [Phase::Expand], in_place, "{more}");
            tool.run(&plan, text, None).await.unwrap_or_else(|error| panic!("{more}: {error:?}"));
            let (found, expected) = (ours.database.schema().await, beside.database.schema().await);
            assert!(found == expected, "{more} on {}:\n{}", version.major, difference(&expected, &found));
        }
    }
}

/// A materialized view keeps its rows until those from the new column are there: whatever goes wrong between, it is read by a role that
/// owns nothing, and never shows what is older than what it has shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_materialized_view_has_its_rows_until_it_is_filled_again() {
    const SETUP: &str = "CREATE TABLE t (id int, n int); INSERT INTO t SELECT g, g FROM generate_series(1, 40) g; CREATE TABLE fails (x int);
         CREATE FUNCTION tried(id int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF EXISTS (SELECT FROM public.fails) THEN RAISE 'not now'; END IF; RETURN id; END $$;
         CREATE VIEW low AS SELECT id, n FROM t;
         CREATE MATERIALIZED VIEW m AS SELECT tried(id) AS id, n FROM low; CREATE UNIQUE INDEX ON m (id);
         CREATE MATERIALIZED VIEW empty AS SELECT n FROM t WITH NO DATA; CREATE INDEX ON empty (n); CREATE VIEW on_it AS SELECT max(id) AS most FROM m";
    const READS: &str = "SELECT count(*) FROM m UNION ALL SELECT most FROM on_it";
    let text = "version: 1\nname: carry\ntable: public.t\nchanges: [{ change_type: { column: n, to: bigint, via: n_v2, reverse: \"n_v2::int\" } }]\n\
                contract: { grace: 0s, quiet: 0s }\n";
    let plan = crossfade::plan::parse("plan.yaml", text).unwrap();
    for version in long_versions() {
        let ours = Place::new(&version, SETUP).await;
        let beside = Place::new(&version, &SETUP.replace("n int)", "n bigint)")).await;
        let tool = tool(&ours.database.url);
        let before = ours.schema().await;
        let (stop, mut reader) = (CancellationToken::new(), ours.neighbour);
        let stopped = stop.clone();
        let reading = tokio::spawn(async move {
            let (mut most, mut reads) = (vec![0, 0], 0);
            while !stopped.is_cancelled() {
                let rows: Vec<i64> =
                    sqlx::query_scalar(READS).fetch_all(&mut reader).await.expect("a reader is served");
                assert!(rows[0] >= most[0] && rows[1] >= most[1], "{most:?}, and then {rows:?}");
                (most, reads) = (rows, reads + 1);
            }
            (most, reads)
        });
        tool.run(&plan, text, Some(Phase::Verify)).await.unwrap();
        ours.database.execute("INSERT INTO t VALUES (100, 100); REFRESH MATERIALIZED VIEW CONCURRENTLY m; INSERT INTO t VALUES (200, 200)").await;
        let rows = async || ours.database.scalar::<i64>("SELECT max(n)::bigint FROM m").await;
        let fails = async || ours.database.execute("INSERT INTO fails VALUES (1)").await;
        let works = async || ours.database.execute("DELETE FROM fails").await;
        let not_now = |error: Error| assert!(format!("{error:?}").contains("not now"), "{error:?}");
        let as_before = async || {
            let back = ours.database.exact_schema().await;
            assert!(before.starts_with(&back), "{}:\n{}", version.major, difference(&before, &back));
        };
        // Not filled on the way there, so there is nothing to fill on the way back.
        fails().await;
        not_now(tool.run(&plan, text, None).await.unwrap_err());
        let waits: i64 = ours.database.scalar("SELECT count(*) FROM pg_class WHERE relname ~ '^cf_.*_mv[0-9]+$'").await;
        assert_eq!((waits, rows().await), (3, 100), "m, empty and on_it");
        tool.rollback("carry", None).await.unwrap();
        as_before().await;
        assert_eq!(rows().await, 100);
        // Filled on the way there, and not on the way back before it can be.
        works().await;
        tool.run(&plan, text, Some(Phase::Switch)).await.unwrap();
        assert_eq!(rows().await, 200);
        fails().await;
        not_now(tool.rollback("carry", None).await.unwrap_err());
        assert_eq!(rows().await, 200);
        ours.database.execute("INSERT INTO t VALUES (250, 250)").await;
        works().await;
        tool.rollback("carry", None).await.unwrap();
        as_before().await;
        assert_eq!(rows().await, 250);
        // There, and somebody replaces what is to be exchanged.
        fails().await;
        not_now(tool.run(&plan, text, None).await.unwrap_err());
        ours.database.execute("CREATE OR REPLACE VIEW on_it AS SELECT max(id) AS most, 1 AS more FROM m; DELETE FROM fails; INSERT INTO t VALUES (300, 300)").await;
        let failed = tool.run(&plan, text, None).await.unwrap_err();
        assert!(format!("{failed:?}").contains("view public.on_it was replaced"), "{failed:?}");
        stop.cancel();
        let (most, reads) = reading.await.expect("no reader fails");
        assert_eq!((most, reads > 10), (vec![43, 250], true));
        ours.database.execute("DROP VIEW on_it").await;
        tool.run(&plan, text, None).await.unwrap();
        ours.database.execute("CREATE VIEW on_it AS SELECT max(id) AS most FROM m").await;
        assert_eq!(rows().await, 300);
        let (found, expected) = (ours.database.schema().await, beside.database.schema().await);
        assert!(found == expected, "on {}:\n{}", version.major, difference(&expected, &found));
        let filled: String = ours
            .database
            .scalar("SELECT string_agg(relname, ' ') FROM pg_class WHERE relkind = 'm' AND relispopulated")
            .await;
        assert_eq!(filled, "m");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_materialized_view_is_exchanged_whichever_step_fails() {
    const SETUP: &str = "CREATE TABLE t (id int, n int); INSERT INTO t SELECT g, g FROM generate_series(1, 40) g; CREATE VIEW low AS SELECT n FROM t;
         CREATE MATERIALIZED VIEW m AS SELECT n FROM low; CREATE UNIQUE INDEX ON m (n); CREATE VIEW on_it AS SELECT n FROM m";
    const END: &str = "CREATE TABLE t (id int, n bigint); INSERT INTO t SELECT g, g FROM generate_series(1, 40) g; CREATE VIEW low AS SELECT n FROM t;
         CREATE MATERIALIZED VIEW m AS SELECT n FROM low; CREATE UNIQUE INDEX ON m (n); CREATE VIEW on_it AS SELECT n FROM m";
    let text = "version: 1\nname: carry\ntable: public.t\nchanges: [{ change_type: { column: n, to: bigint, via: n_v2, reverse: \"n_v2::int\" } }]\n\
                contract: { grace: 0s, quiet: 0s }\n";
    each_step_failed_to(&versions()[0], (SETUP, END), text).await;
}

/// In mid-run somebody makes a view, a policy, a trigger: on the way on and on the way back they are where they would be.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_hang_on_a_column_in_mid_change_is_carried() {
    const MORE: &str = "CREATE VIEW low AS SELECT id, n FROM t WHERE n > 3; CREATE VIEW gone AS SELECT n FROM t;
         CREATE MATERIALIZED VIEW there AS SELECT n FROM t; CREATE MATERIALIZED VIEW not_for_long AS SELECT n FROM t";
    const MEANWHILE: &str = "CREATE OR REPLACE VIEW low AS SELECT id, n, n + 1 AS next FROM t; CREATE VIEW more AS SELECT next FROM low; DROP VIEW gone;
         CREATE POLICY seen ON t USING (n > 0); CREATE STATISTICS both_of_them ON id, n FROM t;
         CREATE MATERIALIZED VIEW counted AS SELECT count(*), next FROM more GROUP BY next; CREATE INDEX there_n ON there (n); DROP MATERIALIZED VIEW not_for_long";
    let text = "version: 1\nname: carry\ntable: public.t\nchanges: [{ change_type: { column: n, to: bigint, via: n_v2, reverse: \"n_v2::int\" } }]\n\
                contract: { grace: 0s, quiet: 0s }\n";
    let plan = crossfade::plan::parse("plan.yaml", text).unwrap();
    for version in long_versions() {
        for phase in PHASES {
            for back in [false, true] {
                let when = format!("after {phase} on {}, back: {back}", version.major);
                let ours = Place::new(&version, &format!("{}; {MORE}", table("int"))).await;
                let of_type = if back { "int" } else { "bigint" };
                let beside = Place::new(&version, &format!("{}; {MORE}; {MEANWHILE}", table(of_type))).await;
                let tool = tool(&ours.database.url);
                tool.run(&plan, text, Some(phase)).await.unwrap_or_else(|error| panic!("{when}: {error:?}"));
                ours.database.execute(MEANWHILE).await;
                if back {
                    tool.rollback("carry", None).await.unwrap_or_else(|error| panic!("{when}: {error:?}"));
                } else {
                    tool.run(&plan, text, None).await.unwrap_or_else(|error| panic!("{when}: {error:?}"));
                }
                let (found, expected) = (ours.database.schema().await, beside.database.schema().await);
                assert!(found == expected, "{when}:\n{}", difference(&expected, &found));
            }
        }
    }
}

/// Conversions that may fail, and plans that copy no index: what the table cannot do without is there in the end.
#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_a_column_is_carried_whatever_the_plan_leaves_out() {
    const CASES: [(&str, &str, &str, &str); 4] = [
        (
            "int",
            "smallint",
            "ALTER TABLE t ADD CONSTRAINT small CHECK (n < 1000), ADD CONSTRAINT later CHECK (n > 0) NOT VALID; CREATE VIEW v AS SELECT n FROM t",
            "",
        ),
        (
            "text",
            "int",
            "ALTER TABLE t ADD CONSTRAINT filled CHECK (n IS NOT NULL); CREATE TABLE p (id int PRIMARY KEY); COMMENT ON CONSTRAINT filled ON t IS 'c'",
            "",
        ),
        (
            "int",
            "bigint",
            "ALTER TABLE t ADD PRIMARY KEY (n), ADD UNIQUE (id); CREATE INDEX gone ON t (n, id); CREATE TABLE c (t int REFERENCES t)",
            "indexes: { copy: none }\n",
        ),
        (
            "int",
            "bigint",
            "ALTER TABLE t ADD PRIMARY KEY (n); CREATE INDEX gone ON t (n, id); CREATE INDEX \"kept, too\" ON t (n); CREATE INDEX others ON t (id)",
            "indexes: { copy: ['kept, too'] }\n",
        ),
    ];
    for version in long_versions() {
        for (from, to, more, indexes) in CASES {
            let setup = |of_type: &str| {
                format!(
                    "CREATE TABLE t (id int, n {of_type}, note text); INSERT INTO t SELECT g, g::text::{of_type} FROM generate_series(1, 40) g; {more}"
                )
            };
            let ours = Place::new(&version, &setup(from)).await;
            let beside = Place::new(&version, &setup(to)).await;
            if !indexes.is_empty() {
                beside.database.execute("DROP INDEX gone").await;
            }
            let text = format!(
                "version: 1\nname: carry\ntable: public.t\nchanges: [{{ change_type: {{ column: n, to: {to}, via: n_v2, using: \"n::text::{to}\", reverse: \"n_v2::text::{from}\" }} }}]\n\
                 contract: {{ grace: 0s, quiet: 0s }}\n{indexes}"
            );
            let text = if indexes.is_empty() { text } else { text.replace(", using: \"n::text::bigint\"", "") };
            let plan = crossfade::plan::parse("plan.yaml", &text).unwrap();
            let tool = tool(&ours.database.url);
            let before = ours.schema().await;
            tool.run(&plan, &text, Some(Phase::Switch)).await.unwrap_or_else(|error| panic!("{to}: {error:?}"));
            tool.rollback("carry", None).await.unwrap_or_else(|error| panic!("{to} back: {error:?}"));
            let back = ours.schema().await;
            assert!(back == before, "{to} on {}, rolled back:\n{}", version.major, difference(&before, &back));
            tool.run(&plan, &text, None).await.unwrap_or_else(|error| panic!("{to} to the end: {error:?}"));
            let (found, expected) = (ours.database.schema().await, beside.database.schema().await);
            assert!(found == expected, "{to} on {}:\n{}", version.major, difference(&expected, &found));
        }
    }
}

/// A foreign key that somebody makes after the swap refers to the new column: the run goes on, and only a rollback, which would lose
/// it, stops.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_key_made_after_the_swap_stays() {
    const SETUP: &str = "CREATE TABLE t (id int, n int PRIMARY KEY); INSERT INTO t SELECT g, g FROM generate_series(1, 9) g; CREATE TABLE c (t int)";
    let text = "version: 1\nname: carry\ntable: public.t\nchanges: [{ change_type: { column: n, to: bigint, via: n_v2, reverse: \"n_v2::int\" } }]\n\
                contract: { grace: 0s, quiet: 0s }\n";
    let plan = crossfade::plan::parse("plan.yaml", text).unwrap();
    let ours = Place::new(&long_versions()[0], SETUP).await;
    let tool = tool(&ours.database.url);
    tool.run(&plan, text, Some(Phase::Switch)).await.unwrap();
    ours.database.execute("ALTER TABLE c ADD CONSTRAINT late FOREIGN KEY (t) REFERENCES t").await;
    let refused = tool.rollback("carry", None).await.unwrap_err();
    assert!(refused.to_string().contains("late"), "{refused}");
    tool.run(&plan, text, None).await.unwrap();
    let kept: bool = ours.database.scalar("SELECT convalidated FROM pg_constraint WHERE conname = 'late'").await;
    assert!(kept);
}

/// One column changes in the catalog alone, another is carried, and what hangs on both is carried with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_changes_in_place_and_one_that_is_carried_go_there_and_back_together() {
    const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, s varchar(10), note text);
        INSERT INTO t SELECT g, g, 's' || g, 'n' FROM generate_series(1, 80) g;
        CREATE INDEX of_both ON t (s, n); CREATE UNIQUE INDEX once ON t (n, s) INCLUDE (note); CREATE INDEX of_s ON t (s);
        ALTER TABLE t ADD CONSTRAINT fits CHECK (n > -50);
        COMMENT ON COLUMN t.s IS 's'; GRANT UPDATE (s, n) ON t TO neighbour";
    const PLAN: &str = "version: 1\nname: mixed\ntable: public.t\nchanges:\n  - change_type: { column: s, to: varchar(20), via: s_v2 }\n  \
                        - change_type: { column: n, to: bigint, via: n_v2, reverse: \"n_v2::int\" }\ncontract: { grace: 0s, quiet: 0s }\n";
    let writes = [
        "INSERT INTO t (id, n, s) VALUES ({n}, {n}, 'v{n}')",
        "INSERT INTO t (id, n, s) VALUES ({n} + 1, -90, 'never')",
        "UPDATE t SET n = n + 1, s = 'w' WHERE id = {n}",
        "UPDATE t SET s = s || '!' WHERE id IN ({n}, 3, 5)",
        "UPDATE t SET n = n - 1 WHERE id IN ({n}, 4, 6)",
        "DELETE FROM t WHERE s = 's' || (10 + {n} / 1000)",
    ];
    let plan = crossfade::plan::parse("plan.yaml", PLAN).unwrap();
    for version in versions() {
        let mut both = Both::new(&version, TABLE, writes.to_vec()).await;
        let tool = tool(&both.ours.database.url);
        both.write("before").await;
        let before = both.ours.schema().await;
        for phase in PHASES {
            tool.run(&plan, PLAN, Some(phase)).await.unwrap_or_else(|error| panic!("to {phase}: {error:?}"));
            both.write(phase.as_str()).await;
        }
        // What was made in place stays: it holds every value that the other type does.
        tool.rollback("mixed", None).await.unwrap_or_else(|error| panic!("back: {error:?}"));
        let (back, expected) = (both.ours.schema().await, before.replace("varying(10)", "varying(20)"));
        assert!(back == expected && before != expected, "rolled back:\n{}", difference(&expected, &back));
        both.plain.database.execute("ALTER TABLE t ALTER s TYPE varchar(20)").await;
        both.write("rolled back").await;
        let again = tool.run(&plan, PLAN, None).await;
        assert!(
            matches!(&again, Err(Error::Refused { findings }) if findings[0].code == "catalog::same_type"),
            "{again:?}"
        );
        let text = PLAN.replace("  - change_type: { column: s, to: varchar(20), via: s_v2 }\n", "");
        let plan = crossfade::plan::parse("plan.yaml", &text).unwrap();
        tool.run(&plan, &text, None).await.unwrap_or_else(|error| panic!("to the end: {error:?}"));
        both.end(&plan, None, &format!("at the end on {}", version.major)).await;
    }
    each_step_failed_on(&versions().remove(0), TABLE, PLAN).await;
}
