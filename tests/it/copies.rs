//! A database that is dumped in mid-run and restored into another cluster: crossfade knows the copy, says what to do with it, and
//! does nothing there; the original goes on.

use std::process::Command;

use crossfade::plan::parse;
use crossfade::run::{Phase, Standing};
use crossfade::testkit::server::Server;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::harness::{Cli, Database, own_server, tool};

const PLAN: &str = "version: 1\nname: p\ntable: public.t\nchanges: [{ rename_column: { from: a, to: b } }]\n\
    contract: { grace: 0s, quiet: 0s }\n";

fn dump(url: &str) -> String {
    let output = Command::new("pg_dump").args(["--dbname", url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // Newer ones have a line that differs each time.
    text.lines().filter(|line| !line.contains("restrict")).collect::<Vec<_>>().join("\n")
}

/// Restores a dump of `original` into `server`, under the same name, and the same oid where that can be had.
async fn restored(original: &Database, server: &Server) -> String {
    let mut connection = PgConnection::connect(&server.url("postgres")).await.unwrap();
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::integer")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let oid: i64 = original.scalar("SELECT oid::bigint FROM pg_database WHERE datname = current_database()").await;
    let same_oid = if version >= 150_000 { format!(" OID = {oid}") } else { String::new() };
    let create = format!("CREATE DATABASE {} TEMPLATE template0{same_oid}", original.name);
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
    let url = server.url(&original.name);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), dump(&original.url)).unwrap();
    let restore = Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &url, "-f"])
        .arg(file.path())
        .output()
        .unwrap();
    assert!(restore.status.success(), "{}", String::from_utf8_lossy(&restore.stderr));
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let identity = "SELECT oid::bigint, system_identifier FROM pg_database, pg_control_system() WHERE datname = current_database()";
    let here: (i64, i64) = sqlx::query_as(identity).fetch_one(&mut connection).await.unwrap();
    assert!(version < 150_000 || here.0 == oid);
    assert_ne!(here.1, original.scalar::<i64>("SELECT system_identifier FROM pg_control_system()").await);
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_in_mid_run_is_left_alone() {
    let (here, there) = tokio::task::block_in_place(|| (own_server(), own_server()));
    let original = Database::on_server(&here).await;
    original
        .execute("CREATE TABLE t (id int PRIMARY KEY, a text DEFAULT 'x'); INSERT INTO t SELECT n, 'a' || n FROM generate_series(1, 300) AS n")
        .await;
    let (plan, tool) = (parse("plan", PLAN).unwrap(), tool(&original.url));
    tool.run(&plan, PLAN, Some(Phase::Index)).await.unwrap();
    let copy = restored(&original, &there).await;
    // The application writes the copy as it wrote the original, and both columns are equal.
    let mut connection = PgConnection::connect(&copy).await.unwrap();
    sqlx::raw_sql("INSERT INTO t (id, a) VALUES (1000, 'old'); INSERT INTO t (id, b) VALUES (1001, 'new')")
        .execute(&mut connection)
        .await
        .unwrap();
    let pairs: Vec<(String, String)> =
        sqlx::query_as("SELECT a, b FROM t WHERE id >= 1000 ORDER BY id").fetch_all(&mut connection).await.unwrap();
    assert_eq!(pairs, [("old".to_owned(), "old".to_owned()), ("new".to_owned(), "new".to_owned())]);
    let before = dump(&copy);
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), PLAN).unwrap();
    let path = file.path().to_str().unwrap();
    for args in [
        vec!["plan", path],
        vec!["run", path],
        vec!["start", path],
        vec!["run", path, "--join"],
        vec!["advance", "p"],
        vec!["advance", "--all"],
        vec!["rollback", "p", "--yes"],
        vec!["verify", "p"],
        vec!["verify", "p", "--repair", "old"],
        vec!["pause", "p"],
        vec!["resume", "p"],
        vec!["tune", "p", "quiet=1s"],
        vec!["status", "p"],
        vec!["status"],
    ] {
        let output = Cli::new(&copy).args(args.clone()).run().await;
        assert_eq!(output.code, Some(7), "{args:?}: {output:#?}");
        let said = output.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            said.contains("run p was started in another database, of which this one is a copy"),
            "{args:?}: {said}"
        );
        assert!(said.contains("`crossfade cleanup` removes the ledger"), "{args:?}: {said}");
        assert!(dump(&copy) == before, "{args:?} has changed the copy");
    }
    for args in [["history", "p"], ["show", "p"]] {
        let output = Cli::new(&copy).args(args).run().await;
        assert_eq!(output.code, Some(0), "{args:?}: {output:#?}");
    }
    // The original never noticed.
    assert_eq!(tool.run(&plan, PLAN, None).await.unwrap().state, Standing::Done);
    // What is said of the copy works, and the columns stay.
    let output = Cli::new(&copy).args(["cleanup", "--yes"]).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.stderr.contains("Not ended in the database of which this one is a copy: p."), "{output:#?}");
    let insert = "INSERT INTO t (id, a, b) VALUES (1002, 'one', 'other')";
    sqlx::raw_sql(insert).execute(&mut connection).await.unwrap();
    let triggers: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(triggers, 0);
    let output = Cli::new(&copy).args(["status"]).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
}
