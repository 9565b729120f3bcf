//! What the application's own BEFORE triggers change and leave out: every value is carried over, and counts as written.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crossfade::run::Phase;
use crossfade::runner::Error;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Cli, Database, PATIENCE, tool, versions, wait_for};

fn plan(change: &str) -> String {
    format!("version: 1\nname: around\ntable: t\nchanges:\n  - {change}\ncontract: {{ grace: 0s, quiet: 0s }}\n")
}

const RENAME: &str = "rename_column: { from: c, to: d }";
/// A change without a way back.
const ONE_WAY: &str = "change_type: { column: c, to: integer, using: \"length(c)\", via: d }";

async fn run_to(database: &Database, text: &str, to: Option<Phase>) {
    let plan = crossfade::plan::parse("plan", text).unwrap();
    let finish = tool(&database.url).run(&plan, text, to).await;
    finish.unwrap_or_else(|error| panic!("{error:?}"));
}

async fn rows(database: &Database) -> String {
    database.scalar("SELECT coalesce(string_agg(concat_ws(',', id, c, d), ' ' ORDER BY id), '') FROM t").await
}

fn trigger(name: &str, events: &str, body: &str) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$;
         CREATE OR REPLACE TRIGGER {name} BEFORE {events} ON t FOR EACH ROW EXECUTE FUNCTION {name}()"
    )
}

/// What is noted of a row that a trigger leaves out says nothing of the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_trigger_leaves_out_leaves_nothing_behind() {
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute("CREATE TABLE t (id int PRIMARY KEY, c int, u int); INSERT INTO t SELECT n, n, 0 FROM generate_series(1, 3) n")
            .await;
        database
            .execute(&trigger(
                "choosy",
                "INSERT OR UPDATE",
                "IF NEW.c = 50 THEN RETURN NULL; END IF; IF NEW.u = 9 THEN NEW.c := 50; END IF; IF NEW.u = 8 THEN NEW.c := 60; END IF;",
            ))
            .await;
        let text = plan(RENAME);
        run_to(&database, &text, Some(Phase::Verify)).await;
        // Each in one transaction: what is noted goes with it.
        database.execute("UPDATE t SET c = 50 WHERE id = 1; UPDATE t SET u = 9 WHERE id = 2").await;
        assert_eq!(rows(&database).await, "1,1,1 2,50,50 3,3,3", "PostgreSQL {}", version.major);
        database.execute("INSERT INTO t (id, d) VALUES (4, 50); UPDATE t SET u = 9 WHERE id = 3").await;
        assert_eq!(rows(&database).await, "1,1,1 2,50,50 3,50,50");
        // One statement, of whose rows the first is left out; and the same row again.
        database.execute("UPDATE t SET d = CASE id WHEN 1 THEN 50 ELSE 7 END, u = 0 WHERE id IN (1, 2); UPDATE t SET u = 8 WHERE id = 1").await;
        assert_eq!(rows(&database).await, "1,60,60 2,7,7 3,50,50");
        database
            .execute("INSERT INTO t (id, c, u) VALUES (5, 50, 0), (6, 6, 8) ON CONFLICT DO NOTHING; UPDATE t SET u = 9 WHERE id = 6; UPDATE t SET u = 8 WHERE id = 6")
            .await;
        assert_eq!(rows(&database).await, "1,60,60 2,7,7 3,50,50 6,50,50");
        database.execute("DROP TRIGGER choosy ON t").await;
        run_to(&database, &text, None).await;
    }
}

/// Waits until a write would be noted: of each second only the first is.
async fn next_second(database: &Database) {
    wait_for("the next second", PATIENCE, async || {
        database
            .scalar::<bool>(
                "SELECT max(pg_sequence_last_value(format('crossfade.%I', relname)::regclass)) >> 24 < extract(epoch FROM clock_timestamp())::bigint
                 FROM pg_class WHERE relname ~ '^(old|new)_[0-9a-f]{8}$' AND relkind = 'S'",
            )
            .await
    })
    .await;
}

/// Whatever a trigger of the application writes is a write.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_trigger_writes_is_counted() {
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute("CREATE TABLE t (id int PRIMARY KEY, c text, u int); INSERT INTO t SELECT n, 'a', 0 FROM generate_series(1, 3) n")
            .await;
        database.execute(&trigger("own", "INSERT OR UPDATE", "IF NEW.u = 7 THEN NEW.c := 'by trigger'; END IF;")).await;
        run_to(&database, &plan(RENAME), Some(Phase::Expand)).await;
        database
            .execute(&trigger(
                "own",
                "INSERT OR UPDATE",
                "IF NEW.u = 7 THEN NEW.c := 'by trigger'; ELSIF NEW.u = 8 THEN NEW.d := 'through new'; END IF;",
            ))
            .await;
        let tool = tool(&database.url);
        for (statement, old, new) in [
            // A row that is filled on the way.
            ("UPDATE t SET u = 1 WHERE id = 3", false, false),
            ("UPDATE t SET u = 7 WHERE id = 1", true, false),
            ("UPDATE t SET u = 1 WHERE id = 1", false, false),
            ("UPDATE t SET u = 8 WHERE id = 2", false, true),
            ("UPDATE t SET d = 'x', u = 1 WHERE id = 1", false, true),
            ("UPDATE t SET d = 'y', u = 7 WHERE id = 1", true, true),
            ("UPDATE t SET c = 'z', u = 8 WHERE id = 1", true, true),
            ("INSERT INTO t (id, u) VALUES (10, 7)", true, false),
            ("INSERT INTO t (id, u) VALUES (11, 8)", false, true),
            ("INSERT INTO t (id, d, u) VALUES (12, 'x', 7)", true, true),
            ("INSERT INTO t (id, d, u) VALUES (13, 'x', 1)", false, true),
        ] {
            next_second(&database).await;
            let before = tool.status("around").await.unwrap();
            database.execute(statement).await;
            let after = tool.status("around").await.unwrap();
            let noticed = (
                after.old_column_write_seconds > before.old_column_write_seconds,
                after.new_column_write_seconds > before.new_column_write_seconds,
            );
            assert_eq!(noticed, (old, new), "{statement} on PostgreSQL {}", version.major);
        }
        assert_eq!(database.scalar::<i64>("SELECT count(*) FROM t WHERE c IS DISTINCT FROM d AND id <> 2").await, 0);
    }
}

/// A table whose trigger writes a value that has no way back, after the proof that there is none.
async fn one_way(database: &Database) {
    database
        .execute("CREATE TABLE t (id int PRIMARY KEY, c text, u int); INSERT INTO t SELECT n, 'abc', 0 FROM generate_series(1, 3) n")
        .await;
    database.execute(&trigger("own", "INSERT OR UPDATE", "IF NEW.u = 8 THEN NEW.d := 77; END IF;")).await;
}

/// Keeps the table from being locked until somebody waits for it, lets the trigger write, and ends.
async fn write_between_proof_and_lock(database: &Database) {
    const WAITS: &str = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 't'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted)";
    let hold = async || {
        let mut holder = PgConnection::connect(&database.url).await.unwrap();
        sqlx::raw_sql("BEGIN; LOCK TABLE t IN ROW EXCLUSIVE MODE").execute(&mut holder).await.unwrap();
        holder
    };
    let (mut holder, mut since) = (hold().await, Instant::now());
    let start = Instant::now();
    // Always held, and never by an old transaction: nobody would try for the lock.
    while !database.scalar::<bool>(WAITS).await {
        assert!(start.elapsed() < PATIENCE, "nobody waits for the table");
        if since.elapsed() > Duration::from_secs(1) {
            let next = hold().await;
            std::mem::replace(&mut holder, next).close().await.unwrap();
            since = Instant::now();
        }
    }
    sqlx::raw_sql("UPDATE t SET u = 8 WHERE id = 2; COMMIT").execute(&mut holder).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_does_not_lose_what_a_trigger_writes_at_the_last_moment() {
    for version in versions() {
        let database = Database::on(&version).await;
        one_way(&database).await;
        run_to(&database, &plan(ONE_WAY), Some(Phase::Verify)).await;
        let tool = tool(&database.url);
        // Only the step that loses something is left.
        tool.rollback("around", Some(Phase::Expand)).await.unwrap();
        let (undone, ()) = tokio::join!(tool.rollback("around", None), write_between_proof_and_lock(&database));
        let error = undone.unwrap_err();
        assert!(matches!(error, Error::WrittenMeanwhile), "PostgreSQL {}: {error:?}", version.major);
        assert_eq!(database.scalar::<i32>("SELECT d FROM t WHERE id = 2").await, 77);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_does_not_lose_what_a_trigger_writes_at_the_last_moment() {
    for version in versions() {
        let database = Database::on(&version).await;
        one_way(&database).await;
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), plan(ONE_WAY)).unwrap();
        let path = file.path().as_os_str().to_owned();
        let output = Cli::new(&database.url).args(["plan".into(), "--format".into(), "sql".into(), path]).run().await;
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        // Up to the end of the fill: only the step that loses something has anything to undo.
        let script = output.stdout;
        let cut = script.find("\n-- backfill.filled").unwrap();
        let (code, errors) = psql(&database, &[], &script[..cut]).await;
        assert_eq!(code, Some(0), "{errors}");
        let (undone, ()) = tokio::join!(
            psql(&database, &["-v", "crossfade_undo=yes"], &script),
            write_between_proof_and_lock(&database)
        );
        assert_eq!(undone.0, Some(3), "{}", undone.1);
        assert!(undone.1.contains("the new column was written meanwhile"), "{}", undone.1);
        assert_eq!(database.scalar::<i32>("SELECT d FROM t WHERE id = 2").await, 77);
    }
}

async fn psql(database: &Database, args: &[&str], script: &str) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new("psql");
    command.args(["-X", "-d", &database.url]).args(args).kill_on_drop(true);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let script = script.to_owned();
    let writing = tokio::spawn(async move { drop(stdin.write_all(script.as_bytes()).await) });
    let output = child.wait_with_output().await.unwrap();
    writing.await.unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Two values that look the same to a session that shows few digits are two values.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_the_last_digit_is_a_change() {
    for version in versions() {
        for (type_name, first, second) in [
            ("float8", "0.1", "0.10000000000000002"),
            ("float4", "0.1", "0.100000024"),
            ("float8[]", "{0.1,NULL}", "{0.10000000000000002,NULL}"),
            ("spot", "(0.1,0.1)", "(0.1,0.10000000000000002)"),
            ("point", "(0.1,0.1)", "(0.1,0.10000000000000002)"),
        ] {
            let database = Database::on(&version).await;
            database
                .execute(&format!(
                    "CREATE TYPE spot AS (x float8, y float8); CREATE TABLE t (id int PRIMARY KEY, c {type_name}, u int);
                     INSERT INTO t VALUES (1, NULL, 0), (2, NULL, 0), (3, NULL, 0), (4, NULL, 0)"
                ))
                .await;
            database
                .execute(&trigger(
                    "shift",
                    "INSERT OR UPDATE",
                    &format!("IF NEW.u = 9 THEN NEW.c := '{second}'; END IF;"),
                ))
                .await;
            run_to(&database, &plan(RENAME), Some(Phase::Verify)).await;
            database
                .execute(&trigger(
                    "shift",
                    "INSERT OR UPDATE",
                    &format!(
                        "IF NEW.u = 9 THEN NEW.c := '{second}'; ELSIF NEW.u = 8 THEN NEW.d := '{second}'; END IF;"
                    ),
                ))
                .await;
            let mut connection = PgConnection::connect(&database.url).await.unwrap();
            let mut writes = "SET extra_float_digits = 0".to_owned();
            for (at, (column, u)) in [("c", 9), ("c", 8), ("d", 9), ("d", 8)].into_iter().enumerate() {
                writes = format!(
                    "{writes}; UPDATE t SET {column} = '{first}', u = {u} WHERE id = {}; INSERT INTO t (id, {column}, u) VALUES ({}, '{first}', {u})",
                    at + 1,
                    at + 5
                );
            }
            sqlx::raw_sql(AssertSqlSafe(writes)).execute(&mut connection).await.unwrap();
            let values: Vec<String> = sqlx::query_scalar("SELECT concat(c::text, ' ', d::text) FROM t ORDER BY id")
                .fetch_all(&database.pool)
                .await
                .unwrap();
            assert_eq!(values, vec![format!("{second} {second}"); 8], "{type_name} on PostgreSQL {}", version.major);
        }
    }
}

/// What a conversion sees of a value does not depend on who writes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_becomes_text_is_the_same_text_in_every_session() {
    for version in versions() {
        for (type_name, using, value) in [
            ("float8", "c::text", "0.1::float8 + 0.2"),
            ("float4", "c::text", "0.1::float4 + 1"),
            ("bytea", "c::text", "'\\x0102'"),
        ] {
            for on_error in ["reject", "leave"] {
                let database = Database::on(&version).await;
                database
                    .execute(&format!("CREATE TABLE t (id int PRIMARY KEY, c {type_name}); INSERT INTO t VALUES (1, {value}), (2, NULL)"))
                    .await;
                let text = plan(&format!(
                    "change_type: {{ column: c, to: text, using: \"{using}\", via: d, on_error: {on_error} }}"
                ));
                run_to(&database, &text, Some(Phase::Expand)).await;
                let mut connection = PgConnection::connect(&database.url).await.unwrap();
                let writes = format!(
                    "SET extra_float_digits = 0; SET bytea_output = escape; UPDATE t SET c = {value} WHERE id = 2; INSERT INTO t (id, c) VALUES (3, {value})"
                );
                sqlx::raw_sql(AssertSqlSafe(writes)).execute(&mut connection).await.unwrap();
                run_to(&database, &text, Some(Phase::Verify)).await;
                let values: i64 = database.scalar("SELECT count(DISTINCT d) FROM t").await;
                assert_eq!(values, 1, "{type_name}, {on_error}, on PostgreSQL {}", version.major);
            }
        }
    }
}
