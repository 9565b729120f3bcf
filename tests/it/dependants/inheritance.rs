//! A rename of a column that other tables inherit (`INHERITS`): children, their children, one with two parents of the tree, tables
//! that come and go, and rows written through any of them.
use crossfade::plan::Plan;
use crossfade::run::Phase;
use crossfade::runner::Error;

use super::cases::Case;
use super::releases::both_releases_write;
use super::{Both, PHASES, Place, difference, ends_like_alter};
use crate::harness::{Database, long_versions, plain_alter, tool, versions};
use crate::steps::each_step_failed_on;

/// A child, its own child, one whose columns have other numbers, and one that inherits from two of them.
const TREE: &str = "CREATE TABLE t (id int, a text DEFAULT 'd', note text);
    CREATE TABLE t_1 (more int) INHERITS (t);
    CREATE TABLE t_1_1 (deep int) INHERITS (t_1);
    CREATE TABLE t_2 (gone int, own text, a text DEFAULT 'd', note text, id int); ALTER TABLE t_2 DROP gone; ALTER TABLE t_2 INHERIT t;
    CREATE TABLE t_3 () INHERITS (t_1, t_2);
    INSERT INTO t SELECT g, CASE WHEN g % 9 > 0 THEN 'x' || g END, 'n' FROM generate_series(1, 80) g;
    INSERT INTO t_1 (id, a, note) SELECT g, CASE WHEN g % 9 > 0 THEN 'x' || g END, 'n' FROM generate_series(81, 160) g;
    INSERT INTO t_1_1 (id, a, note) SELECT g, CASE WHEN g % 9 > 0 THEN 'x' || g END, 'n' FROM generate_series(161, 240) g;
    INSERT INTO t_2 (id, a, note) SELECT g, CASE WHEN g % 9 > 0 THEN 'x' || g END, 'n' FROM generate_series(241, 320) g;
    INSERT INTO t_3 (id, a, note) SELECT g, CASE WHEN g % 9 > 0 THEN 'x' || g END, 'n' FROM generate_series(321, 400) g;";

const WRITES: &[&str] = &[
    "INSERT INTO t (id, {c}) VALUES ({n}, 'v{n}')",
    "INSERT INTO t_1 (id, {c}, more) VALUES ({n}, 'one{n}', 1)",
    "INSERT INTO t_1_1 (id, {c}) VALUES ({n}, 'deep{n}')",
    "INSERT INTO t_2 (id, {c}, own) VALUES ({n}, 'two{n}', 'own')",
    "INSERT INTO t_3 (id, {c}) VALUES ({n}, 'three{n}')",
    "INSERT INTO t_1 (id) VALUES ({n} + 1)",
    "INSERT INTO t_2 (id, {c}) VALUES ({n} + 1, NULL)",
    // Through the parent, through one in between, and of one table alone.
    "UPDATE t SET {c} = {c} || '!' WHERE id = {n}",
    "UPDATE t_1 SET {c} = {c} || '?' WHERE id = {n}",
    "UPDATE ONLY t SET {c} = 'alone' WHERE id % 50 = {n} / 1000",
    "UPDATE t_3 SET {c} = {c} || '.' WHERE id = {n}",
    "UPDATE t SET note = 'n{n}' WHERE id IN ({n}, 1, 82, 163, 244, 325)",
    "UPDATE t_2 SET {c} = NULL WHERE id % 50 = {n} / 1000",
    "DELETE FROM t WHERE {c} = 'x' || (300 + {n} / 1000)",
];

const BESIDE: &str = "CREATE INDEX on_a ON t (a); ALTER TABLE t_1_1 ADD CONSTRAINT own_check CHECK (a <> 'never');
    ALTER TABLE t ADD CONSTRAINT all_check CHECK (length(a) < 99); CREATE VIEW w AS SELECT a, id FROM t; CREATE VIEW w1 AS SELECT a FROM t_1_1;
    GRANT SELECT, INSERT ON w TO neighbour; COMMENT ON COLUMN t.a IS 'of all'; COMMENT ON COLUMN t_1.a IS 'of one';
    CREATE STATISTICS s ON a, note FROM t_2; GRANT SELECT (a), UPDATE (a) ON t TO neighbour;
    CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := concat(NEW.note, 'm'); RETURN NEW; END $$;
    CREATE TRIGGER own BEFORE INSERT OR UPDATE ON t_2 FOR EACH ROW EXECUTE FUNCTION mark()";

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_of_an_inherited_column_ends_like_alter_table() {
    for version in versions() {
        let setup = format!("{TREE} {BESIDE}").leak();
        let case = Case { name: "inheritance", setup, writes: WRITES, by_own_name: &[], since: 14 };
        ends_like_alter(&version, &case, &PHASES).await;
    }
}

const PLAN: &str = "version: 1\nname: heirs\ntable: public.t\nchanges: [{ rename_column: { from: a, to: b } }]\n\
                    contract: { grace: 0s, quiet: 0s }\n";

fn parsed(text: &str) -> Plan {
    crossfade::plan::parse("plan.yaml", text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_on_inherited_columns_failed_once_ends_like_alter_table() {
    each_step_failed_on(&versions().remove(0), TREE, PLAN).await;
}

/// Tables that are created as children, given a parent with rows, taken out and dropped between all phases.
#[tokio::test(flavor = "multi_thread")]
async fn children_come_and_go_while_the_run_lasts() {
    let plan = parsed(PLAN);
    for version in long_versions() {
        let (ours, beside) = (Place::new(&version, TREE).await, Place::new(&version, TREE).await);
        let writes = vec![
            "INSERT INTO t (id, {c}) SELECT {n} + g, 'v' || g FROM generate_series(0, 60) g",
            "INSERT INTO t_3 (id, {c}) SELECT {n} + g, 'w' || g FROM generate_series(0, 60) g",
            "UPDATE t SET {c} = concat({c}, '.') WHERE id BETWEEN {n} AND {n} + 30",
        ];
        let mut both =
            Both { name: "come and go".to_owned(), ours, plain: beside, writes, by_own_name: vec![], number: 0 };
        let tool = tool(&both.ours.database.url);
        for (n, phase) in PHASES.iter().enumerate() {
            tool.run(&plan, PLAN, Some(*phase)).await.unwrap_or_else(|error| panic!("to {phase}: {error:?}"));
            both.write(("a", "a"), false, &format!("after {phase}")).await;
            // One has rows, which the mirror knows nothing of. Beside it, the plain one has no mirror.
            let come = |mirror: &str| {
                format!(
                    "CREATE TABLE new_{n} (x int) INHERITS (t_1); INSERT INTO new_{n} (id, a) VALUES (7, 'd');
                     CREATE TABLE came_{n} (a text DEFAULT 'd', id int, note text{mirror});
                     INSERT INTO came_{n} (id, a) SELECT g, 'came' || g FROM generate_series(1, 500) g;
                     ALTER TABLE came_{n} INHERIT t; UPDATE t SET note = 'touched' WHERE a LIKE 'came%' AND id % 3 = 0"
                )
            };
            both.ours.database.execute(&come(", b text")).await;
            both.plain.database.execute(&come("")).await;
            if *phase == Phase::Backfill {
                for place in [&both.ours, &both.plain] {
                    place.database.execute("DROP TABLE t_1_1; ALTER TABLE t_2 NO INHERIT t; DROP TABLE t_3, t_2; CREATE TABLE t_3 () INHERITS (t_1)").await;
                }
            }
        }
        tool.run(&plan, PLAN, None).await.unwrap_or_else(|error| panic!("to the end: {error:?}"));
        for statement in plain_alter(&plan) {
            both.plain.database.execute(&statement).await;
        }
        both.write(("b", "b"), true, "at the end").await;
        let (found, expected) = (both.ours.contents().await, both.plain.contents().await);
        assert!(found == expected, "{}", difference(&expected, &found));
        assert_eq!(both.ours.database.schema().await, both.plain.database.schema().await, "{}", version.major);
    }
}

/// A table that is taken out keeps its columns and none of our triggers; one that comes when the names are exchanged stops the run by name.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_leaves_is_let_go_and_one_that_comes_late_is_named() {
    let database = Database::new().await;
    database.execute(TREE).await;
    let (tool, text) = (tool(&database.url), PLAN.replace("grace: 0s", "grace: 1h"));
    let plan = parsed(&text);
    tool.run(&plan, &text, Some(Phase::Verify)).await.unwrap();
    let triggers = "SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('t_1_1'::regclass, 't_1'::regclass) AND tgname LIKE '%crossfade%'";
    assert!(database.scalar::<i64>(triggers).await > 2);
    database.execute("ALTER TABLE t_1_1 NO INHERIT t_1").await;
    let waits = tool.run(&plan, &text, None).await.expect_err("the grace has not passed");
    assert!(matches!(waits, Error::NotYet(_)), "{waits}");
    assert_eq!(
        database.scalar::<i64>(&triggers.replace(", 't_1'::regclass", "")).await,
        0,
        "a table that is no child any more keeps no trigger"
    );
    database
        .execute("INSERT INTO t_1_1 (id, a, b) VALUES (1, 'two', 'names'); CREATE TABLE late () INHERITS (t_2)")
        .await;
    tool.tune("heirs", &[("grace".to_owned(), "0s".to_owned())]).await.unwrap();
    let stopped = tool.run(&plan, &text, None).await.expect_err("a child came late");
    let Error::Drifted { facts } = &stopped else { panic!("{stopped:?}") };
    assert!(facts[0].starts_with("table public.late inherits from the run's table since"), "{facts:?}");
    database.execute("ALTER TABLE late NO INHERIT t_2").await;
    tool.run(&plan, &text, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_children_cannot_have_is_refused_by_name() {
    let database = Database::new().await;
    database.execute(TREE).await;
    let tool = tool(&database.url);
    let refused = async |text: &str| {
        let preview = tool.preview(&parsed(text)).await.unwrap();
        let said = preview.refusals.iter().map(|finding| format!("{}: {}", finding.code, finding.message));
        said.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(refused(PLAN).await, "");
    // A column of its own is nobody else's.
    let own = PLAN.replace("public.t\n", "public.t_1_1\n").replace("from: a", "from: deep");
    assert_eq!(refused(&own).await, "");
    assert_eq!(
        refused(&PLAN.replace("public.t\n", "public.t_1_1\n")).await,
        "catalog::inheritance: column \"a\" of public.t_1_1 is inherited"
    );
    let dropped = "version: 1\nname: heirs\ntable: public.t_1_1\nchanges: [{ drop_column: { column: a } }]\n";
    assert_eq!(refused(dropped).await, "catalog::inheritance: column \"a\" of public.t_1_1 is inherited");
    let taken = PLAN.replace("to: b", "to: own");
    assert_eq!(
        refused(&taken).await,
        "catalog::inheritance: table public.t_2, which inherits from public.t, has a column \"own\" of its own\n\
         catalog::inheritance: table public.t_3, which inherits from public.t, has a column \"own\" of its own"
    );
    // That of one of several parents.
    let one_of_two = PLAN.replace("public.t\n", "public.t_2\n");
    let said = refused(&one_of_two).await;
    assert!(said.contains("catalog::inheritance: column \"a\" of public.t_2 is inherited"), "{said}");
    assert!(
        said.contains("column \"a\" of table public.t_3 is inherited from public.t_2 and from another table"),
        "{said}"
    );
    let added = "version: 1\nname: heirs\ntable: public.t\nchanges: [{ add_column: { name: added, type: int } }]\n";
    assert_eq!(
        refused(added).await,
        "catalog::inheritance: public.t is inherited by public.t_1, public.t_1_1, public.t_2 and public.t_3, and the plan does more than rename \
         columns or change their types"
    );
    database
        .execute(
            "CREATE INDEX of_child ON t_1_1 (lower(a)); ALTER TABLE t_1_1 ALTER a SET DEFAULT 'other'; GRANT SELECT (a) ON t_2 TO public;
             CREATE RULE r AS ON UPDATE TO t_3 DO ALSO SELECT 1; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TRIGGER own AFTER UPDATE OF a ON t_3 FOR EACH ROW EXECUTE FUNCTION f()",
        )
        .await;
    assert_eq!(
        refused(PLAN).await,
        "catalog::inheritance: column \"a\" of table public.t_2, which inherits from public.t, has grants of its own\n\
         catalog::inheritance: column \"a\" has another default in table public.t_1_1 than in public.t, from which that inherits\n\
         catalog::inheritance: table public.t_3, which inherits from public.t, has rule \"r\"\n\
         catalog::inherited_index: index \"of_child\" of table public.t_1_1, which inherits from public.t, is on column \"a\"\n\
         catalog::partition_trigger: trigger \"own\" of public.t, of one of its partitions or of a table that inherits from it fires for \
         UPDATE OF a column that is renamed"
    );
    assert!(!refused(&format!("{PLAN}indexes: {{ copy: none }}\n")).await.contains("inherited_index"));
}

/// What an application writes through parent and children.
fn writes(n: i32, i: i32, column: &str) -> Vec<String> {
    let (id, child) = (n * 1_000_000 + i, ["t", "t_1", "t_1_1", "t_2", "t_3"][usize::try_from(i % 5).unwrap()]);
    vec![
        format!("INSERT INTO {child} (id, {column}, note) VALUES ({id}, 'v{i}', 'v{i}')"),
        format!("UPDATE t SET {column} = 'm{i}', note = 'm{i}' WHERE id = {}", id - 2),
        format!("UPDATE t_1 SET {column} = 'l{i}', note = 'l{i}' WHERE id = {}", id - 1),
        format!("UPDATE t SET note = note WHERE id = {}", i * 4 % 400 + n),
        format!("DELETE FROM t WHERE id = {}", id - 9),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_both_names_meet_no_error_on_parent_and_children() {
    both_releases_write(TREE, PLAN, writes).await;
}
