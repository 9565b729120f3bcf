//! A type change of a column that other tables inherit (`INHERITS`): children, their children, one with two parents of the tree, what a
//! child has alone, tables that come and go, and rows written through any of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossfade::run::Phase;
use crossfade::runner::Error;

use super::partitions_retyped::{Both, parsed, there_and_back};
use super::releases::writer;
use super::{PHASES, Place, difference};
use crate::harness::{Database, long_versions, tool, versions, versions_of};
use crate::steps::each_step_failed_on;

/// A child, its own child, one that has declared the column itself under other numbers, and one that inherits from two of them.
const TREE: &str = "CREATE TABLE t (id int, n int NOT NULL, note text, PRIMARY KEY (id));
    CREATE TABLE t_1 (more int) INHERITS (t);
    CREATE TABLE t_1_1 (deep int) INHERITS (t_1);
    CREATE TABLE t_2 (gone int, own text, note text, n int CONSTRAINT t_n_not_null NOT NULL, id int CONSTRAINT t_id_not_null NOT NULL);
    ALTER TABLE t_2 DROP gone; ALTER TABLE t_2 INHERIT t;
    CREATE TABLE t_3 () INHERITS (t_1, t_2);
    INSERT INTO t SELECT g, g, 'n' FROM generate_series(1, 80) g;
    INSERT INTO t_1 (id, n, note) SELECT g, g, 'n' FROM generate_series(81, 160) g;
    INSERT INTO t_1_1 (id, n, note) SELECT g, g, 'n' FROM generate_series(161, 240) g;
    INSERT INTO t_2 (id, n, note) SELECT g, g, 'n' FROM generate_series(241, 320) g;
    INSERT INTO t_3 (id, n, note) SELECT g, g, 'n' FROM generate_series(321, 400) g;";

const WRITES: &[&str] = &[
    "INSERT INTO t (id, n) VALUES ({n}, {n})",
    "INSERT INTO t_1 (id, n, more) VALUES ({n}, {n} + 1, 1)",
    "INSERT INTO t_1_1 (id, n) VALUES ({n}, {n} + 2)",
    "INSERT INTO t_2 (id, n, own) VALUES ({n}, {n} + 3, 'own')",
    "INSERT INTO t_3 (id, n) VALUES ({n}, {n} + 4)",
    "INSERT INTO t (id) VALUES ({n} + 1)",
    "INSERT INTO t_2 (id, n) VALUES ({n} + 1, NULL)",
    // Through the parent, through one in between, and of one table alone.
    "UPDATE t SET n = n + 10 WHERE id = {n}",
    "UPDATE t_1 SET n = n + 20 WHERE id = {n}",
    "UPDATE ONLY t SET n = n + 30 WHERE id % 50 = {n} / 1000",
    "UPDATE t_3 SET n = n + 40 WHERE id = {n}",
    "UPDATE t SET note = 'n{n}' WHERE id IN ({n}, 1, 82, 163, 244, 325)",
    "UPDATE t_2 SET n = NULL WHERE id % 50 = {n} / 1000",
    "DELETE FROM t WHERE n = 300 + {n} / 1000",
];

/// Beside [`TREE`], with what else is written.
const ON_TREE: [(&str, &str, &[&str]); 2] = [
    (
        "keys, indexes and constraints of single tables",
        "CREATE INDEX on_n ON t (n, note) WHERE n <> 7; CREATE UNIQUE INDEX once ON t_1 (n) INCLUDE (more); ALTER TABLE t_1_1 ADD CONSTRAINT known UNIQUE (n, deep) DEFERRABLE;
         ALTER TABLE t_2 ADD CONSTRAINT t_2_pkey PRIMARY KEY (n); COMMENT ON CONSTRAINT t_2_pkey ON t_2 IS 'it''s'; CREATE INDEX low ON t_3 ((n + 1), id); ALTER TABLE t_3 CLUSTER ON low;
         ALTER TABLE t_2 REPLICA IDENTITY USING INDEX t_2_pkey; COMMENT ON INDEX low IS 'low';
         ALTER TABLE t_2 ADD CONSTRAINT small CHECK (n < 900000000); ALTER TABLE t ADD CONSTRAINT small CHECK (n < 900000000); ALTER TABLE ONLY t ADD CONSTRAINT alone CHECK (n <> 900017) NO INHERIT;
         ALTER TABLE t_1_1 ADD CONSTRAINT own CHECK (n <> deep); ALTER TABLE t_2 ADD CONSTRAINT own CHECK (n > 0 OR own IS NULL); COMMENT ON CONSTRAINT own ON t_2 IS 'c';
         CREATE TABLE p (n int PRIMARY KEY); INSERT INTO p SELECT generate_series(1, 400); INSERT INTO p SELECT g * 1000 + 2 FROM generate_series(1, 40) g;
         ALTER TABLE t_1_1 ADD CONSTRAINT to_p FOREIGN KEY (n) REFERENCES p",
        &["INSERT INTO t_1_1 (id, n, deep) VALUES ({n}, 5, 5)", "INSERT INTO t_2 (id, n) VALUES ({n}, 250)", "INSERT INTO t_1 (id, n) VALUES ({n}, 100)",
          "INSERT INTO t_1_1 (id, n) VALUES ({n}, -5)", "INSERT INTO t (id, n) VALUES (-{n}, 900017)"],
    ),
    (
        "views, policies, triggers, statistics, grants, comments",
        "CREATE VIEW w AS SELECT n, id FROM t; CREATE VIEW w_1 AS SELECT n, deep FROM t_1_1; CREATE VIEW both_of_them AS SELECT w.n, t_2.own FROM w JOIN t_2 USING (n); COMMENT ON VIEW w_1 IS 'v';
         GRANT SELECT, INSERT ON w_1 TO neighbour; COMMENT ON COLUMN t.n IS 'of all'; COMMENT ON COLUMN t_1.n IS 'of one'; GRANT UPDATE (n) ON t TO neighbour WITH GRANT OPTION;
         GRANT SELECT (n), UPDATE (n) ON t_2 TO neighbour; ALTER TABLE t ALTER n SET STATISTICS 55; ALTER TABLE ONLY t_1 ALTER n SET STATISTICS 66; ALTER TABLE t_3 ALTER n SET (n_distinct = 7);
         CREATE STATISTICS s ON n, note FROM t_2; CREATE STATISTICS s_1 ON id, n FROM t_1; ALTER TABLE t_1 ENABLE ROW LEVEL SECURITY; CREATE POLICY seen ON t_1 USING (n <> 117);
         CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := concat(NEW.note, 'm'); RETURN NEW; END $$;
         CREATE TRIGGER of_n BEFORE UPDATE OF n ON t_1_1 FOR EACH ROW EXECUTE FUNCTION mark(); COMMENT ON TRIGGER of_n ON t_1_1 IS 'of n';
         CREATE TRIGGER own BEFORE INSERT OR UPDATE ON t_2 FOR EACH ROW EXECUTE FUNCTION mark()",
        &["UPDATE t SET n = n + 500000 WHERE id = 33", "UPDATE t_1_1 SET n = n + 5 WHERE id = 177", "UPDATE w_1 SET deep = 1 WHERE n = 188", "SELECT FROM both_of_them WHERE n = 18"],
    ),
];

const PLAN: &str = "version: 1\nname: heirs\ntable: public.t\nchanges: [{ change_type: { column: n, to: bigint, via: n_v2, reverse: \"n_v2::int\" } }]\n\
                    contract: { grace: 0s, quiet: 0s }\n";

/// Which tables have declared the column themselves, and from how many they inherit it.
async fn declared(database: &Database) -> String {
    let all = "SELECT string_agg(concat_ws(' ', attrelid::regclass, attislocal, attinhcount), ', ' ORDER BY attrelid::regclass::text) \
               FROM pg_attribute WHERE attname = 'n' AND attrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r' AND relname ~ '^(t|new|came)(_|$)')";
    database.scalar(all).await
}

/// Which tables have declared a constraint themselves, and from how many they inherit it.
async fn flags(database: &Database) -> String {
    let all = "SELECT coalesce(string_agg(concat_ws(' ', conrelid::regclass, conname, conislocal, coninhcount), ', ' ORDER BY conrelid::regclass::text, conname), '') \
               FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0";
    database.scalar(all).await
}

/// The tables have declared the same columns and constraints in both.
async fn assert_declared(both: &Both, when: &str) {
    let (ours, plain) = (&both.ours.database, &both.plain.database);
    assert_eq!(declared(ours).await, declared(plain).await, "{when}");
    assert_eq!(flags(ours).await, flags(plain).await, "{when}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_change_of_an_inherited_column_ends_like_alter_table() {
    for (at, (name, more, writes)) in ON_TREE.iter().enumerate() {
        for version in versions_of(at) {
            let writes = WRITES.iter().chain(*writes).copied().collect();
            let both = there_and_back(&version, (TREE, PLAN), (name, more), writes).await;
            assert_declared(&both, name).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_a_type_change_on_inherited_columns_failed_once_ends_like_alter_table() {
    each_step_failed_on(&versions().remove(0), TREE, PLAN).await;
}

/// Tables that are created as children, given a parent with rows, taken out and dropped between all phases.
#[tokio::test(flavor = "multi_thread")]
async fn children_come_and_go_while_a_type_changes() {
    let plan = parsed(PLAN);
    for version in long_versions() {
        let writes = vec![
            "INSERT INTO t (id, n) SELECT {n} + g, {n} + g FROM generate_series(0, 60) g",
            "INSERT INTO t_3 (id, n) SELECT {n} + g, {n} + g FROM generate_series(0, 60) g",
            "UPDATE t SET n = n + 500000 WHERE id BETWEEN {n} AND {n} + 30",
        ];
        let mut both = Both::new(&version, TREE, writes).await;
        let tool = tool(&both.ours.database.url);
        for (at, phase) in PHASES.iter().enumerate() {
            tool.run(&plan, PLAN, Some(*phase)).await.unwrap_or_else(|error| panic!("to {phase}: {error:?}"));
            both.write(&format!("after {phase}")).await;
            // The one that is given a parent has rows. From verify on, rows need the value until the table is found, and the table what
            // the new column has.
            let come = |second: &str, value: &str| {
                format!(
                    "CREATE TABLE new_{at} (x int) INHERITS (t_1); INSERT INTO new_{at} (id, n{second}) SELECT g, g{value} FROM generate_series(7, 7) g;
                     CREATE TABLE came_{at} (LIKE t INCLUDING ALL EXCLUDING INDEXES);
                     INSERT INTO came_{at} (id, n{second}) SELECT g, g{value} FROM generate_series(1, 500) g;
                     ALTER TABLE came_{at} INHERIT t; UPDATE t SET note = 'touched' WHERE n % 3 = 0"
                )
            };
            let filled = *phase >= Phase::Verify;
            let of_ours = if filled { come(", n_v2", ", g") } else { come("", "") };
            both.ours.database.execute(&of_ours).await;
            both.plain.database.execute(&come("", "")).await;
            if *phase == Phase::Backfill {
                for place in [&both.ours, &both.plain] {
                    place.database.execute("DROP TABLE t_1_1; ALTER TABLE t_2 NO INHERIT t; DROP TABLE t_3, t_2; CREATE TABLE t_3 () INHERITS (t_1)").await;
                }
            }
        }
        tool.run(&plan, PLAN, None).await.unwrap_or_else(|error| panic!("to the end: {error:?}"));
        let when = format!("at the end on {}", version.major);
        both.end(&plan, None, &when).await;
        assert_declared(&both, &when).await;
    }
}

/// A table that is taken out keeps its columns and none of our triggers; one that comes once the old column has no name any more stops
/// the run by name.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_leaves_is_let_go_and_one_that_comes_late_is_named() {
    let database = Database::new().await;
    database.execute(TREE).await;
    let (tool, text) = (tool(&database.url), PLAN.replace("grace: 0s", "grace: 1h"));
    let plan = parsed(&text);
    tool.run(&plan, &text, Some(Phase::Verify)).await.unwrap();
    database.execute("ALTER TABLE t_1_1 NO INHERIT t_1").await;
    let waits = tool.run(&plan, &text, None).await.expect_err("the grace has not passed");
    assert!(matches!(waits, Error::NotYet(_)), "{waits}");
    let triggers = "SELECT count(*) FROM pg_trigger WHERE tgrelid = 't_1_1'::regclass AND tgname LIKE '%crossfade%'";
    assert_eq!(database.scalar::<i64>(triggers).await, 0, "a table that is no child any more keeps no trigger");
    database.execute("INSERT INTO t_1_1 (id, n, n_v2) VALUES (1, 2, 3); CREATE TABLE late () INHERITS (t_2)").await;
    tool.tune("heirs", &[("grace".to_owned(), "0s".to_owned())]).await.unwrap();
    let stopped = tool.run(&plan, &text, None).await.expect_err("a child came late");
    let Error::Drifted { facts } = &stopped else { panic!("{stopped:?}") };
    assert!(facts[0].starts_with("table public.late inherits from the run's table since"), "{facts:?}");
    database.execute("DROP TABLE late").await;
    tool.run(&plan, &text, None).await.unwrap();
}

/// Where PostgreSQL only touches the catalog, the column of all tables changes in place, and views of children are made anew.
#[tokio::test(flavor = "multi_thread")]
async fn an_inherited_column_that_changes_in_place_takes_views_of_children_along() {
    const SETUP: &str = "CREATE TABLE t (id int, c varchar(10)); CREATE TABLE t_1 (own text) INHERITS (t); CREATE INDEX ON t_1 (c, own);
        CREATE VIEW w AS SELECT c FROM t; CREATE VIEW w_1 AS SELECT t_1.c, own FROM t_1 JOIN w USING (c); COMMENT ON VIEW w_1 IS 'w';
        ALTER TABLE t_1 ENABLE ROW LEVEL SECURITY; CREATE POLICY seen ON t_1 USING (c <> 'x'); INSERT INTO t_1 VALUES (1, 'a', 'b')";
    const TEXT: &str = "version: 1\nname: heirs\ntable: public.t\nchanges: [{ change_type: { column: c, to: varchar(20), via: c_v2 } }]\n";
    let version = versions().remove(0);
    let ours = Place::new(&version, SETUP).await;
    let of_new_type = Place::new(&version, &SETUP.replace("varchar(10)", "varchar(20)")).await;
    let plan = parsed(TEXT);
    tool(&ours.database.url).run(&plan, TEXT, None).await.unwrap_or_else(|error| panic!("{error:?}"));
    let (found, expected) = (ours.database.schema().await, of_new_type.database.schema().await);
    assert!(found == expected, "{}", difference(&expected, &found));
}

/// What others hang on a column of one child while the run lasts is carried or stops it by name, and so does a rollback that would lose
/// it.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_on_a_child_in_mid_run_is_carried_or_named() {
    let place = Place::new(&versions().remove(0), TREE).await;
    let (plan, tool, database) = (parsed(PLAN), tool(&place.database.url), &place.database);
    tool.run(&plan, PLAN, Some(Phase::Verify)).await.unwrap();
    database
        .execute(
            "CREATE INDEX since ON t_3 (n, note); ALTER TABLE t_1 ADD CONSTRAINT own CHECK (n <> 5000);
             COMMENT ON COLUMN t_2.n IS 'since'; CREATE VIEW over_one AS SELECT n FROM t_1_1;
             CREATE TABLE c (n int UNIQUE); ALTER TABLE t_2 ADD UNIQUE (n); ALTER TABLE c ADD CONSTRAINT to_one FOREIGN KEY (n) REFERENCES t_2 (n)",
        )
        .await;
    let stopped = tool.run(&plan, PLAN, None).await.unwrap_err().to_string();
    assert!(stopped.contains("constraint to_one on table public.c refers to public.t_2"), "{stopped}");
    database.execute("ALTER TABLE c DROP CONSTRAINT to_one").await;
    tool.run(&plan, PLAN, Some(Phase::Switch)).await.unwrap();
    let of = |name: &str| {
        format!("SELECT format_type(atttypid, 0) FROM pg_attribute WHERE attrelid = '{name}'::regclass AND attnum = 1")
    };
    for name in ["since", "over_one", "t_2_n_key"] {
        assert_eq!(database.scalar::<String>(&of(name)).await, "bigint", "{name}");
    }
    let check = "SELECT pg_get_constraintdef(oid) || convalidated FROM pg_constraint WHERE conrelid = 't_1'::regclass AND conname = 'own'";
    assert_eq!(database.scalar::<String>(check).await, "CHECK ((n <> 5000))true");
    let comment =
        "SELECT col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = 't_2'::regclass AND attname = 'n'";
    assert_eq!(database.scalar::<String>(comment).await, "since");
    database.execute("ALTER TABLE t_1_1 ADD CONSTRAINT late CHECK (n <> 6000)").await;
    let stopped = tool.rollback("heirs", None).await.unwrap_err().to_string();
    assert!(stopped.contains("constraint late on table public.t_1_1"), "{stopped}");
    tool.run(&plan, PLAN, None).await.unwrap();
    assert!(database.scalar::<bool>("SELECT EXISTS (SELECT FROM pg_constraint WHERE conname = 'late')").await);
}

/// What an application writes through parent and children; `note` says what the column should be.
fn writes(n: i32, i: i32, column: &str) -> Vec<String> {
    let (id, child) = (n * 1_000_000 + i, ["t", "t_1", "t_1_1", "t_2", "t_3"][usize::try_from(i % 5).unwrap()]);
    vec![
        format!("INSERT INTO {child} (id, {column}, note) VALUES ({id}, {id}, '{id}')"),
        format!("UPDATE t SET {column} = {id} + 100000, note = {id} + 100000 WHERE id = {}", id - 2),
        format!("UPDATE t_1 SET {column} = {id} + 200000, note = {id} + 200000 WHERE id = {}", id - 1),
        format!("UPDATE ONLY {child} SET note = note WHERE id = {}", i * 4 % 400 + n),
        format!("DELETE FROM t WHERE id = {}", id - 9),
    ]
}

/// Under the name of the column all the time, and under that of the second one while there are two.
#[tokio::test(flavor = "multi_thread")]
async fn writers_meet_no_error_while_the_type_of_an_inherited_column_changes() {
    let setup = TREE.replace("'n'", "g");
    let place = Place::new(&versions().remove(0), &setup).await;
    let (plan, tool) = (parsed(PLAN), tool(&place.database.url));
    let spawn = |n, column, stop: &Arc<AtomicBool>| {
        tokio::spawn(writer(place.database.url.clone(), (n, column), writes, stop.clone()))
    };
    let (always, both) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let under_its_name = [spawn(1, "n", &always), spawn(2, "n", &always)];
    tool.run(&plan, PLAN, Some(Phase::Backfill)).await.unwrap();
    let under_the_second = [spawn(3, "n_v2", &both)];
    tool.run(&plan, PLAN, Some(Phase::Verify)).await.unwrap_or_else(|error| panic!("{error:?}"));
    both.store(true, Ordering::Relaxed);
    let mut all = vec![];
    for writer in under_the_second {
        all.push(writer.await.unwrap());
    }
    tool.run(&plan, PLAN, None).await.unwrap_or_else(|error| panic!("{error:?}"));
    always.store(true, Ordering::Relaxed);
    for writer in under_its_name {
        all.push(writer.await.unwrap());
    }
    let failed: Vec<_> = all.iter().flat_map(|(_, failed)| failed).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(all.iter().all(|(done, _)| *done > 30), "{all:?}");
    assert_eq!(place.database.scalar::<i64>("SELECT count(*) FROM t WHERE n::text IS DISTINCT FROM note").await, 0);
    assert_eq!(place.database.scalar::<i64>("SELECT count(*) FROM t WHERE id < 1000").await, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_type_change_cannot_carry_in_children_is_refused_by_name() {
    let database = Database::new().await;
    database.execute(TREE).await;
    let tool = tool(&database.url);
    let refused = async |text: &str| {
        let preview = tool.preview(&parsed(text)).await.unwrap();
        let said = preview.refusals.iter().map(|finding| format!("{}: {}", finding.code, finding.message));
        said.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(refused(PLAN).await, "");
    assert_eq!(
        refused(&PLAN.replace("public.t\n", "public.t_1_1\n")).await,
        "catalog::inheritance: column \"n\" of public.t_1_1 is inherited"
    );
    assert_eq!(
        refused(&PLAN.replace("via: n_v2,", "via: own,").replace("n_v2::int", "own::int")).await,
        "catalog::inheritance: table public.t_2, which inherits from public.t, has a column \"own\" of its own\n\
         catalog::inheritance: table public.t_3, which inherits from public.t, has a column \"own\" of its own"
    );
    let said = refused(&PLAN.replace("public.t\n", "public.t_2\n")).await;
    assert!(
        said.contains("column \"n\" of table public.t_3 is inherited from public.t_2 and from another table"),
        "{said}"
    );
    let said = refused(&PLAN.replace("via: n_v2,", "via: n_v2, keep_name: false,")).await;
    assert!(said.contains("and the plan does more than rename columns or change their types"), "{said}");
    database
        .execute(
            "ALTER TABLE t ALTER note DROP NOT NULL; ALTER TABLE t_1_1 ALTER n SET DEFAULT 5; ALTER TABLE t_1 ADD UNIQUE (n);
             CREATE TABLE c (n int, CONSTRAINT to_one FOREIGN KEY (n) REFERENCES t_1 (n));
             CREATE RULE r AS ON UPDATE TO t_3 DO ALSO SELECT 1; CREATE SCHEMA other; CREATE TABLE other.t_4 () INHERITS (t); CREATE INDEX elsewhere ON other.t_4 (n);
             ALTER TABLE t_2 ADD twice int GENERATED ALWAYS AS (n * 2) STORED, ADD CONSTRAINT x EXCLUDE (n WITH =)",
        )
        .await;
    insta::assert_snapshot!(refused(PLAN).await, @r#"
    catalog::inheritance: column "n" has another default in table public.t_1_1 than in public.t, from which that inherits
    catalog::inheritance: table public.t_3, which inherits from public.t, has rule "r"
    catalog::inheritance: column "n" of table other.t_4, which inherits from public.t, is in index "elsewhere" of another schema
    catalog::foreign_key: constraint to_one on table public.c refers to public.t_1, which inherits from public.t
    catalog::generated_column: column twice of table public.t_2 is generated from column "n" of "public.t_2"
    catalog::generated_column: column twice of table public.t_3 is generated from column "n" of "public.t_3"
    catalog::exclusion: exclusion constraint "x" of public.t_2 uses column "n"
    "#);
    database.execute("ALTER TABLE t ADD k int DEFAULT 1; ALTER TABLE t_1 ALTER k SET NOT NULL").await;
    let said = refused(&PLAN.replace("column: n,", "column: k,")).await;
    assert!(
        said.contains(
            "column \"k\" of table public.t_1, which inherits from public.t, is NOT NULL, and that of the parent is not"
        ),
        "{said}"
    );
}
