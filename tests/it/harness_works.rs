//! The harness itself: what tests rely on must be able to fail.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Cli, Database, Output, PATIENCE, PgBouncer, Proxy, own_server, server, versions, wait_for};

const TWO_TABLES: &str = "
    CREATE TABLE one (a int NOT NULL DEFAULT 7, b text COLLATE \"C\", c timestamptz);
    CREATE INDEX one_b ON one (upper(b)) WHERE a > 0;
    COMMENT ON COLUMN one.b IS 'the letter';
    GRANT SELECT (b) ON one TO PUBLIC;
    GRANT SELECT (a) ON one TO PUBLIC;";

#[tokio::test]
async fn the_order_of_columns_is_all_that_a_schema_forgives() {
    for version in versions() {
        let (left, right) = (Database::on(&version).await, Database::on(&version).await);
        left.execute(TWO_TABLES).await;
        right
            .execute(&TWO_TABLES.replace(
                "a int NOT NULL DEFAULT 7, b text COLLATE \"C\", c timestamptz",
                "c timestamptz, b text COLLATE \"C\", a int NOT NULL DEFAULT 7",
            ))
            .await;
        assert_eq!(left.schema().await, right.schema().await, "PostgreSQL {}", version.major);
        for difference in [
            "ALTER TABLE one ALTER a DROP NOT NULL",
            "ALTER TABLE one ALTER a SET DEFAULT 8",
            "COMMENT ON COLUMN one.b IS 'another letter'",
            "REVOKE SELECT (a) ON one FROM PUBLIC",
            "ALTER INDEX one_b RENAME TO one_b2",
            "ALTER TABLE one ALTER b SET STATISTICS 500",
            "ALTER TABLE one ADD d int",
        ] {
            let before = right.schema().await;
            right.execute(difference).await;
            assert_ne!(before, right.schema().await, "PostgreSQL {}: {difference}", version.major);
        }
    }
}

#[tokio::test]
async fn the_database_is_on_the_version_asked_for() {
    for version in versions() {
        let database = Database::on(&version).await;
        let major: i32 = database.scalar("SELECT current_setting('server_version_num')::int / 10000").await;
        assert_eq!(u32::try_from(major).unwrap(), version.major);
    }
}

#[tokio::test]
async fn a_killed_server_comes_back_with_what_was_committed() {
    let mut server = own_server();
    let database = Database::on_server(&server).await;
    database.execute("CREATE TABLE t AS SELECT 1 AS x").await;
    let first = server.pid();
    server.kill().unwrap();
    assert!(PgConnection::connect(&database.url).await.is_err());
    server.restart().unwrap();
    assert_ne!(server.pid(), first);
    wait_for("the pool to connect again", PATIENCE, async || {
        sqlx::raw_sql("SELECT x FROM t").execute(&database.pool).await.is_ok()
    })
    .await;
    let dir = server.data_dir();
    server.stop().unwrap();
    assert!(!dir.exists());
}

/// This test runs itself again as a process that starts a server, and kills that process.
#[tokio::test]
async fn a_server_does_not_outlive_a_killed_parent() {
    const INNER: &str = "CROSSFADE_TEST_INNER";
    if std::env::var_os(INNER).is_some() {
        let server = own_server();
        let mut file = std::fs::File::create(std::env::var_os(INNER).unwrap()).unwrap();
        writeln!(file, "{}\n{}", server.pid().unwrap(), server.data_dir().display()).unwrap();
        std::future::pending::<()>().await;
    }
    let dir = tempfile::tempdir().unwrap();
    let said = dir.path().join("said");
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "harness_works::a_server_does_not_outlive_a_killed_parent"])
        .env(INNER, &said)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let lines = || std::fs::read_to_string(&said).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    wait_for("the server of the inner process", PATIENCE, async || lines().len() == 2).await;
    let (pid, data_dir): (i32, _) = (lines()[0].parse().unwrap(), lines()[1].clone());
    kill(Pid::from_raw(pid), None).unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for("the orphaned server to go", PATIENCE, async || !Path::new(&data_dir).exists()).await;
}

#[tokio::test]
async fn the_tool_is_a_process_that_can_be_frozen_and_killed() {
    let database = Database::new().await;
    let Output { code, stderr, .. } =
        Cli::new(&database.url).args(["no-such-command"]).env("NO_COLOR", "1").run().await;
    assert_ne!(code, None, "{stderr}");
    let mut running = Cli::new("").args(["--help"]).spawn();
    running.signal(Signal::SIGSTOP);
    running.signal(Signal::SIGCONT);
    wait_for("the end of --help", PATIENCE, async || running.has_ended()).await;
    let _ = (running.stdout(), running.stderr());
    let _ = running.kill().await;
}

async fn one(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar("SELECT 1").persistent(false).fetch_one(connection).await
}

#[tokio::test]
async fn a_cut_wire_ends_connections_and_a_dead_one_refuses_them() {
    let database = Database::new().await;
    let proxy = Proxy::before(server()).await;
    let mut connection = PgConnection::connect(&proxy.url(&database.name)).await.unwrap();
    assert_eq!(one(&mut connection).await.unwrap(), 1);
    proxy.cut();
    assert!(one(&mut connection).await.is_err());
    let mut connection = PgConnection::connect(&proxy.url(&database.name)).await.unwrap();
    assert_eq!(one(&mut connection).await.unwrap(), 1);
    proxy.take_down();
    assert!(one(&mut connection).await.is_err());
    assert!(PgConnection::connect(&proxy.url(&database.name)).await.is_err());
}

#[tokio::test]
async fn pgbouncer_gives_each_transaction_another_session() {
    let database = Database::new().await;
    let Some(bouncer) = PgBouncer::before(server()).await else { return };
    let url = bouncer.url(&database.name);
    let mut first = PgConnection::connect(&url).await.unwrap();
    let mut second = PgConnection::connect(&url).await.unwrap();
    // The first one's transaction holds a server connection, so the second one's setting went to another.
    sqlx::raw_sql("BEGIN; SET application_name = 'first'").execute(&mut first).await.unwrap();
    sqlx::raw_sql("SET application_name = 'second'").execute(&mut second).await.unwrap();
    sqlx::raw_sql("COMMIT").execute(&mut first).await.unwrap();
    let sessions: i64 = database
        .scalar(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name IN ('first', 'second')",
            database.name
        ))
        .await;
    assert_eq!(sessions, 2);
}

#[tokio::test]
async fn a_replica_follows_and_can_be_paused() {
    let primary = own_server();
    let database = Database::on_server(&primary).await;
    let replica = primary.replica().unwrap();
    let mut follower = PgConnection::connect(&replica.url(&database.name)).await.unwrap();
    assert!(sqlx::raw_sql("CREATE TABLE t (x int)").execute(&mut follower).await.is_err());
    sqlx::raw_sql("SELECT pg_wal_replay_pause()").execute(&mut follower).await.unwrap();
    database.execute("CREATE TABLE t AS SELECT 1 AS x").await;
    let mut sees = async || {
        let regclass: Option<String> = sqlx::query_scalar("SELECT to_regclass('t')::text")
            .persistent(false)
            .fetch_one(&mut follower)
            .await
            .unwrap();
        regclass.is_some()
    };
    assert!(!sees().await);
    let mut other = PgConnection::connect(&replica.url(&database.name)).await.unwrap();
    sqlx::raw_sql("SELECT pg_wal_replay_resume()").execute(&mut other).await.unwrap();
    wait_for("the replica to follow", PATIENCE, sees).await;
    let lag: i64 = database.scalar("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'").await;
    assert_eq!(lag, 1);
}
