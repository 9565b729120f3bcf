//! A rename of a column of a partitioned table: all levels, default partitions, partitions that look different, partitions that come
//! and go, and rows that move between them.

use crossfade::plan::Plan;
use crossfade::run::{Action, PartitionedIndex, Phase};
use crossfade::runner::Tool;

use sqlx::AssertSqlSafe;

use super::cases::Case;
use super::releases::both_releases_write;
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
    CREATE INDEX all_a ON t (a, id) WHERE a <> 'nothing'; CREATE UNIQUE INDEX some_a ON t_2 (lower(a), id, k); CREATE INDEX one_a ON t_1 USING hash (a);
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
         ALTER TABLE t_1 ALTER note SET NOT NULL; ALTER TABLE t ADD place int DEFAULT 1, ADD here int; CREATE VIEW w AS SELECT a, k FROM t; CREATE VIEW w1 AS SELECT a FROM t_1;
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
            ends_like_alter(&version, &Case { name, setup, writes: WRITES, by_own_name: &[], since: 14 }, &PHASES)
                .await;
        }
    }
}

const PLAN: &str = "version: 1\nname: tree\ntable: public.t\nchanges: [{ rename_column: { from: a, to: b } }]\n\
                    contract: { grace: 0s, quiet: 0s }\n";

fn parsed(text: &str) -> Plan {
    crossfade::plan::parse("plan.yaml", text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_on_a_partitioned_table_failed_once_ends_like_alter_table() {
    each_step_failed_on(&versions().remove(0), TREE, PLAN).await;
}

/// Partitions in which the index of all has no mirror.
const WITHOUT_MIRROR: &str = "SELECT count(*) FROM pg_partition_tree('t') p WHERE isleaf AND NOT EXISTS (SELECT FROM pg_index i
    WHERE i.indrelid = p.relid AND i.indisvalid AND pg_get_indexdef(i.indexrelid) LIKE '%USING btree (b, id) WHERE (b <> ''nothing''::text)')";

/// Returns the mirror of the index of all partitions.
async fn mirror_of_all(tool: &Tool, plan: &Plan) -> PartitionedIndex {
    let program = tool.preview(plan).await.unwrap().program.unwrap();
    let of_all = program.steps.into_iter().find_map(|step| match step.action {
        Action::BuildInPartitions(index) if index.table.name == "t" => Some(index),
        _ => None,
    });
    of_all.unwrap()
}

async fn oid(database: &Database, table: &str) -> i64 {
    database.scalar(&format!("SELECT '{table}'::regclass::oid::bigint")).await
}

/// What a process that was killed has built in partitions is used by the next one, what it has half built is not, and nothing of it
/// is left by a rollback.
#[tokio::test(flavor = "multi_thread")]
async fn indexes_that_are_built_in_some_partitions_are_used_and_dropped() {
    for version in versions() {
        let place = Place::new(&version, TREE).await;
        let (plan, tool, database) = (parsed(PLAN), tool(&place.database.url), &place.database);
        let before = place.schema().await;
        let whole = mirror_of_all(&tool, &plan).await;
        tool.run(&plan, PLAN, Some(Phase::Expand)).await.unwrap();
        let (built, half) = (whole.name_in(oid(database, "t_1").await), whole.name_in(oid(database, "t_3").await));
        database.execute(&whole.build_in("t_1", &built)).await;
        // The others have come since.
        database.execute(&whole.join).await;
        // As a unique one that met two equal rows leaves it.
        let invalid = format!("CREATE UNIQUE INDEX CONCURRENTLY {half} ON t_3 ((1))");
        assert!(sqlx::raw_sql(AssertSqlSafe(invalid)).execute(&database.pool).await.is_err());
        let file = format!("SELECT relfilenode::bigint FROM pg_class WHERE relname = '{built}'");
        let of_killed: i64 = database.scalar(&file).await;
        tool.run(&plan, PLAN, Some(Phase::Index)).await.unwrap();
        assert_eq!(database.scalar::<i64>(&file).await, of_killed);
        assert_eq!(database.scalar::<i64>(WITHOUT_MIRROR).await, 0);
        tool.rollback("tree", Some(Phase::Expand)).await.unwrap();
        assert_eq!(
            database
                .scalar::<i64>("SELECT count(*) FROM pg_class WHERE relname LIKE 'cf%' AND relkind IN ('i', 'I')")
                .await,
            0
        );
        tool.run(&plan, PLAN, Some(Phase::Verify)).await.unwrap();
        tool.rollback("tree", None).await.unwrap();
        assert_eq!(place.schema().await, before, "{}", version.major);
    }
}

/// What was built in partitions and never joined goes too.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_cannot_be_built_in_one_partition_leaves_none_in_the_others() {
    let place = Place::new(&versions().remove(0), TREE).await;
    let (plan, tool, database) = (parsed(PLAN), tool(&place.database.url), &place.database);
    let before = place.schema().await;
    let name = mirror_of_all(&tool, &plan).await.name_in(oid(database, "t_3").await);
    tool.run(&plan, PLAN, Some(Phase::Expand)).await.unwrap();
    database.execute(&format!("CREATE TABLE {name} ()")).await;
    let error = tool.run(&plan, PLAN, Some(Phase::Index)).await.unwrap_err().to_string();
    assert!(error.contains("already exists"), "{error}");
    let built = "SELECT count(*) FROM pg_class WHERE relname LIKE 'cf%' AND relkind = 'i'";
    assert!(database.scalar::<i64>(built).await > 0);
    tool.rollback("tree", Some(Phase::Expand)).await.unwrap();
    assert_eq!(database.scalar::<i64>(built).await, 0);
    tool.rollback("tree", None).await.unwrap();
    database.execute(&format!("DROP TABLE {name}")).await;
    assert_eq!(place.schema().await, before);
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
            if *phase >= Phase::Index {
                assert_eq!(both.ours.database.scalar::<i64>(WITHOUT_MIRROR).await, 0, "after {phase}");
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
    assert!(said.contains("public.t_3 is no partition or child of public.t any more"), "{said}");
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
    let both = "{ rename_column: { from: a, to: b } }, { change_type: { column: note, to: varchar, via: note_v2, reverse: note_v2 } }";
    let said = refused(&PLAN.replace("{ rename_column: { from: a, to: b } }", both)).await;
    assert!(said.contains("catalog::partitioned: public.t is a partitioned table, and the plan does more"), "{said}");
    let with_index = refused(&format!("{PLAN}indexes: {{ add: [{{ name: more, columns: [b] }}] }}\n")).await;
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
         catalog::partition_trigger: trigger \"own\" of public.t, of one of its partitions or of a table that inherits from it fires for UPDATE OF a column that is renamed"
    );
}

/// What an application writes: rows move between partitions.
fn writes(n: i32, i: i32, column: &str) -> Vec<String> {
    let id = n * 1_000_000 + i;
    vec![
        format!("INSERT INTO t (id, k, {column}, note) VALUES ({id}, {}, 'v{i}', 'v{i}')", i * 37 % 420),
        format!("UPDATE t SET k = (k + 100) % 420 WHERE id = {id}"),
        format!("UPDATE t_1 SET {column} = 'l{i}', note = 'l{i}' WHERE id = {}", id - 1),
        format!("UPDATE t SET {column} = 'm{i}', note = 'm{i}', k = (k + 205) % 420 WHERE id = {}", id - 2),
        format!("UPDATE t SET k = (k + 50) % 420 WHERE id = {}", i * 4 % 400 + n),
        format!("DELETE FROM t WHERE id = {}", id - 9),
    ]
}

/// With rows that move on, nobody is seen to write under the old name.
#[tokio::test(flavor = "multi_thread")]
async fn writers_of_both_names_meet_no_error_while_rows_move_between_partitions() {
    both_releases_write(TREE, PLAN, writes).await;
}
