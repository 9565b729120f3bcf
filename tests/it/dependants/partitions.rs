//! A rename of a column of a partitioned table: all levels, default partitions, partitions that look different, partitions that come
//! and go, and rows that move between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossfade::plan::Plan;
use crossfade::run::Phase;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::cases::Case;
use super::{Both, PHASES, Place, difference, ends_like_alter};
use crate::harness::{Cli, Database, plain_alter, tool, versions};
use crate::steps::each_step_failed_on;

/// Ranges, one of them divided again by hash, one whose columns have other numbers, and a default partition.
const TREE: &str = "CREATE TABLE t (id int, k int, a text DEFAULT 'd', note text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
    CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (100);
    CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (100) TO (200) PARTITION BY HASH (id);
    CREATE TABLE t_2_0 PARTITION OF t_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE t_2_1 PARTITION OF t_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    CREATE TABLE t_3 (gone int, note text, a text DEFAULT 'd', k int NOT NULL, id int NOT NULL); ALTER TABLE t_3 DROP gone;
    ALTER TABLE t ATTACH PARTITION t_3 FOR VALUES FROM (200) TO (300);
    CREATE TABLE t_rest PARTITION OF t DEFAULT;
    INSERT INTO t SELECT g, g * 7 % 420, CASE WHEN g % 9 > 0 THEN 'x' || g END, 'n' FROM generate_series(1, 400) g;";

const WRITES: &[&str] = &[
    "INSERT INTO t (id, k, {c}) VALUES ({n}, 10, 'v{n}'), ({n}, 110, 'v{n}'), ({n}, 210, 'v{n}'), ({n}, 310, 'v{n}')",
    "INSERT INTO t (id, k) VALUES ({n}, 20)",
    "INSERT INTO t (id, k, {c}) VALUES ({n}, 21, NULL)",
    "INSERT INTO t_1 (id, k, {c}) VALUES ({n}, 11, 'leaf{n}')",
    "INSERT INTO t_2 (id, k, {c}) VALUES ({n}, 111, 'middle{n}')",
    "INSERT INTO t_3 (k, {c}, id) VALUES (211, 'other{n}', {n})",
    "INSERT INTO t (id, k, {c}) VALUES ({n}, 10, 'again') ON CONFLICT (id, k) DO UPDATE SET {c} = excluded.{c} || t.{c}",
    "UPDATE t SET {c} = {c} || '!' WHERE id = {n} AND k < 300",
    "UPDATE t_rest SET {c} = {c} || '?' WHERE id = {n}",
    // To another partition, to one of another level, and back, with the column and without it.
    "UPDATE t SET k = k + 100 WHERE id = {n} AND k = 10",
    "UPDATE t SET k = k + 201, {c} = 'moved{n}' WHERE id = {n} AND k = 111",
    "UPDATE t SET k = 12 WHERE id = {n} AND k = 310",
    "UPDATE t SET k = (k + 100) % 420 WHERE id BETWEEN {n} / 1000 AND {n} / 1000 + 9",
    "UPDATE t SET note = 'n{n}' WHERE id IN ({n}, 1, 2, 3, 5, 8)",
    "UPDATE t_2 SET {c} = NULL WHERE id % 50 = {n} / 1000",
    "DELETE FROM t WHERE {c} = 'x' || (300 + {n} / 1000)",
];

const fn tree(name: &'static str, more: &'static str) -> (&'static str, &'static str) {
    (name, more)
}

/// Beside [`TREE`].
const ON_TREE: [(&str, &str); 2] = [
    tree(
        "indexes of all and of one, checks of one, a view, a policy, grants",
        "CREATE INDEX on_a ON t (a); CREATE INDEX own ON t_1 (a, note) WHERE a > 'b'; CREATE UNIQUE INDEX once ON t (a, id, k);
         ALTER TABLE t_3 ADD CONSTRAINT own_check CHECK (a <> 'never'); ALTER TABLE t ADD CONSTRAINT all_check CHECK (length(a) < 99);
         ALTER TABLE t_1 ALTER note SET NOT NULL; CREATE VIEW w AS SELECT a, k FROM t; CREATE VIEW w1 AS SELECT a FROM t_1;
         GRANT SELECT, INSERT ON w TO neighbour; COMMENT ON COLUMN t.a IS 'of all'; COMMENT ON COLUMN t_1.a IS 'of one';
         CREATE STATISTICS s ON a, note FROM t_rest; ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (a IS NULL OR a <> 'hidden');
         CREATE TABLE p (k text PRIMARY KEY); INSERT INTO p SELECT DISTINCT a FROM t_1 WHERE a IS NOT NULL; ALTER TABLE t_1 ADD FOREIGN KEY (a) REFERENCES p; GRANT ALL ON p TO neighbour",
    ),
    tree(
        "BEFORE triggers of all and of one",
        "CREATE FUNCTION up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a := upper(NEW.a); RETURN NEW; END $$;
         CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := concat(NEW.note, 'm'); RETURN NEW; END $$;
         CREATE TRIGGER mark BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION mark();
         CREATE TRIGGER own BEFORE INSERT OR UPDATE ON t_rest FOR EACH ROW EXECUTE FUNCTION mark()",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_on_a_partitioned_table_ends_like_alter_table() {
    for (n, version) in versions().into_iter().enumerate() {
        for (name, more) in if n == 0 { &ON_TREE[..] } else { &ON_TREE[..1] } {
            let setup = format!("{TREE} {more}").leak();
            ends_like_alter(&version, &Case { name, setup, writes: WRITES, by_own_name: &[], since: 14 }).await;
        }
    }
}

const PLAN: &str = "version: 1\nname: tree\ntable: public.t\nchanges: [{ rename_column: { from: a, to: b } }]\n\
                    contract: { grace: 0s, quiet: 0s }\nindexes: { copy: none }\n";

fn parsed(text: &str) -> Plan {
    crossfade::plan::parse("plan.yaml", text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_on_a_partitioned_table_failed_once_ends_like_alter_table() {
    each_step_failed_on(&versions().remove(0), TREE, PLAN).await;
}

/// Partitions that are created, attached with rows, detached and dropped between all phases, under writers that use both names.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_come_and_go_while_the_run_lasts() {
    let plan = parsed(PLAN);
    for version in versions() {
        let (ours, beside) = (Place::new(&version, TREE).await, Place::new(&version, TREE).await);
        let writes = vec![
            "INSERT INTO t (id, k, {c}) SELECT {n} + g, g * 10, 'v' || g FROM generate_series(0, 60) g",
            "UPDATE t SET {c} = concat({c}, '.'), k = (k + 100) % 600 WHERE id BETWEEN {n} AND {n} + 30",
        ];
        let mut both =
            Both { name: "come and go".to_owned(), ours, plain: beside, writes, by_own_name: vec![], number: 0 };
        let tool = tool(&both.ours.database.url);
        for (n, phase) in PHASES.iter().enumerate() {
            tool.run(&plan, PLAN, Some(*phase)).await.unwrap_or_else(|error| panic!("to {phase}: {error:?}"));
            both.write(("a", "a"), false, &format!("after {phase}")).await;
            let from = 1000 + 10 * n;
            let (a, b, z) = (from, from + 5, from + 10);
            // The attached table has rows, which the mirror knows nothing of. Beside it, the plain one has no mirror.
            let columns = "id int NOT NULL, k int NOT NULL, a text DEFAULT 'd', note text";
            let come = |columns: &str| {
                format!(
                    "CREATE TABLE new_{n} PARTITION OF t FOR VALUES FROM ({a}) TO ({b});
                     CREATE TABLE came_{n} ({columns}, PRIMARY KEY (id, k)); INSERT INTO came_{n} (id, k, a) SELECT g, {b}, 'came' || g FROM generate_series(1, 500) g;
                     ALTER TABLE t ATTACH PARTITION came_{n} FOR VALUES FROM ({b}) TO ({z});
                     INSERT INTO t (id, k, a) VALUES (7, {a}, 'seven');
                     UPDATE t SET note = 'touched' WHERE k = {b} AND id % 3 = 0"
                )
            };
            both.ours.database.execute(&come(&format!("{columns}, b text"))).await;
            both.plain.database.execute(&come(columns)).await;
            if *phase == Phase::Backfill {
                for place in [&both.ours, &both.plain] {
                    place.database.execute("ALTER TABLE t DETACH PARTITION t_3; DROP TABLE t_3; DROP TABLE t_1").await;
                }
            }
            if *phase >= Phase::Backfill {
                both.write(("b", "a"), false, &format!("new name after {phase}")).await;
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

/// A table that is detached keeps what it has, and the run says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_detached_partition_is_named() {
    let database = Database::new().await;
    database.execute(TREE).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), PLAN).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let run = |args: &[&str]| Cli::new(&database.url).args(["run", path.as_str()]).args(args.iter().copied());
    let out = run(&["--to", "backfill"]).run().await;
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    database.execute("ALTER TABLE t DETACH PARTITION t_3").await;
    let out = run(&["--yes"]).run().await;
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    let said = format!("{}{}", out.stdout, out.stderr).replace('\n', " ");
    assert!(said.contains("public.t_3 is no partition of public.t any more"), "{said}");
    let columns: String = database
        .scalar("SELECT string_agg(attname, ' ' ORDER BY attname) FROM pg_attribute WHERE attrelid = 't_3'::regclass AND attnum > 0 AND NOT attisdropped")
        .await;
    assert_eq!(columns, "a b id k note");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_partitioned_table_cannot_have_is_refused_by_name() {
    let database = Database::new().await;
    database.execute(TREE).await;
    let tool = tool(&database.url);
    let refused = async |text: &str| {
        let preview = tool.preview(&parsed(text)).await.unwrap();
        preview
            .refusals
            .iter()
            .map(|finding| format!("{}: {}", finding.code, finding.message))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let of_key = PLAN.replace("from: a", "from: k");
    assert_eq!(refused(&of_key).await, "catalog::partition_key: column \"k\" is part of the partition key of public.t");
    // Of a lower level.
    let of_key = PLAN.replace("from: a", "from: id");
    assert_eq!(
        refused(&of_key).await,
        "catalog::partition_key: column \"id\" is part of the partition key of public.t"
    );
    let of_partition = refused(&PLAN.replace("public.t\n", "public.t_2_0\n")).await;
    assert!(of_partition.starts_with("catalog::partition: public.t_2_0 is a partition"), "{of_partition}");
    let retype = PLAN.replace(
        "rename_column: { from: a, to: b }",
        "change_type: { column: id, to: bigint, via: id_v2, reverse: id_v2::int }",
    );
    let said = refused(&retype.replace("indexes: { copy: none }\n", "")).await;
    assert!(said.contains("catalog::partitioned: public.t is a partitioned table, and the plan does more"), "{said}");
    database.execute("CREATE INDEX ON t (a)").await;
    let with_index = refused(&PLAN.replace("indexes: { copy: none }\n", "")).await;
    assert!(with_index.starts_with("catalog::partitioned_index"), "{with_index}");
    database
        .execute(
            "ALTER TABLE t_1 ALTER a SET DEFAULT 'other'; CREATE RULE r AS ON UPDATE TO t_2_1 DO ALSO SELECT 1; ALTER TABLE t_3 FORCE ROW LEVEL SECURITY;
             CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TRIGGER own AFTER UPDATE OF a ON t_3 FOR EACH ROW EXECUTE FUNCTION f()",
        )
        .await;
    assert_eq!(
        refused(PLAN).await,
        "catalog::partition_default: column \"a\" has another default in partition public.t_1 than in public.t\n\
         catalog::partition_unlike: partition public.t_2_1 of public.t has rule \"r\"\n\
         catalog::partition_unlike: partition public.t_3 of public.t has row-level security forced on its owner\n\
         catalog::partition_trigger: trigger \"own\" of public.t or of one of its partitions fires for UPDATE OF a column that is renamed"
    );
}

/// Writes rows of its own under one name, through the table and its partitions, and moves them and others between partitions; `note`
/// has the value that the column should have. Returns how many statements there were, and what failed.
async fn writer(url: String, n: i32, column: &'static str, stop: Arc<AtomicBool>) -> (u32, Vec<String>) {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("SET ROLE neighbour").execute(&mut connection).await.unwrap();
    let (mut done, mut failed) = (0, vec![]);
    for i in 0.. {
        let id = n * 1_000_000 + i;
        let statements = [
            format!("INSERT INTO t (id, k, {column}, note) VALUES ({id}, {}, 'v{i}', 'v{i}')", i * 37 % 420),
            format!("UPDATE t SET k = (k + 100) % 420 WHERE id = {id}"),
            format!("UPDATE t_1 SET {column} = 'l{i}', note = 'l{i}' WHERE id = {}", id - 1),
            format!("UPDATE t SET {column} = 'm{i}', note = 'm{i}', k = (k + 205) % 420 WHERE id = {}", id - 2),
            format!("UPDATE t SET k = (k + 50) % 420 WHERE id = {}", i * 4 % 400 + n),
            format!("DELETE FROM t WHERE id = {}", id - 9),
        ];
        for statement in statements {
            if let Err(error) = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut connection).await {
                failed.push(format!("{statement}: {error}"));
            }
            done += 1;
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    (done, failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_both_names_meet_no_error_while_rows_move_between_partitions() {
    let place = Place::new(&versions().remove(0), TREE).await;
    let (plan, tool) = (parsed(PLAN), tool(&place.database.url));
    let spawn =
        |n, column, stop: &Arc<AtomicBool>| tokio::spawn(writer(place.database.url.clone(), n, column, stop.clone()));
    let (old_release, new_release) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let old = [spawn(1, "a", &old_release), spawn(2, "a", &old_release)];
    tool.run(&plan, PLAN, Some(Phase::Backfill)).await.unwrap();
    let new = [spawn(3, "b", &new_release), spawn(4, "b", &new_release)];
    tool.run(&plan, PLAN, Some(Phase::Verify)).await.unwrap();
    old_release.store(true, Ordering::Relaxed);
    let mut all = vec![];
    for writer in old {
        all.push(writer.await.unwrap());
    }
    // With rows that move on, nobody is seen to write under the old name.
    tool.tune("tree", &[("quiet".to_owned(), "2s".to_owned())]).await.unwrap();
    tool.run(&plan, PLAN, None).await.unwrap_or_else(|error| panic!("{error:?}"));
    new_release.store(true, Ordering::Relaxed);
    for writer in new {
        all.push(writer.await.unwrap());
    }
    let failed: Vec<_> = all.iter().flat_map(|(_, failed)| failed).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(all.iter().all(|(done, _)| *done > 30), "{all:?}");
    let wrong = "SELECT count(*) FROM t WHERE CASE WHEN id > 1000 THEN b IS DISTINCT FROM note ELSE b IS DISTINCT FROM CASE WHEN id % 9 > 0 THEN 'x' || id END END";
    assert_eq!(place.database.scalar::<i64>(wrong).await, 0);
    assert_eq!(place.database.scalar::<i64>("SELECT count(*) FROM t WHERE id < 1000").await, 400);
}
