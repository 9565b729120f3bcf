//! A server that is far away: nothing of the table is locked while a message travels, so what applications wait for has the
//! same bound at any distance.

use std::time::{Duration, Instant};

use crossfade::testkit::fleet;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::harness::{Cli, Database, Proxy, server, whole};

const PLAN: &str = "version: 1
name: far
table: public.vehicles
changes:
  - rename_column: { from: status, to: vehicle_status }
  - add_column: { name: region, type: text, default: \"'eu' || random()\", not_null: true }
  - add_constraint: { name: vin_there, check: length(vin) > 0 }
indexes: { copy: none }
verify: { max_age: 1d }
contract: { grace: 0s, quiet: 0s }
";

/// A run of three hundred statements, over half a second each where the machine is busy.
const PATIENCE: Duration = Duration::from_mins(10);

/// What a statement of the application may take at any distance: the longest attempt to lock the table is 1.5 s. How busy the
/// machine is counts too, so only the tests that run by themselves look at it.
const BOUND: Duration = Duration::from_secs(4);

/// Two statements of an application, which touch what crossfade locks: single rows, and the table.
const APPLICATION: &str = "UPDATE vehicles SET weight = weight + 1 WHERE id = 7; SELECT * FROM vehicles WHERE id = 8";

/// Sessions of crossfade that keep the table, or rows of it, locked, and have nothing to do but wait for a message: which, since
/// when, after which statement. Locks and sessions are not read at the same moment, and one may have locked before the other:
/// only who is found twice, idle since the same moment, was idle when it had the lock.
const IDLE_WITH_A_LOCK: &str = "SELECT a.pid::text || ' since ' || a.state_change || ' after ' || a.query FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
    WHERE l.relation = 'vehicles'::regclass AND l.mode <> 'AccessShareLock' AND l.granted
      AND a.application_name LIKE 'crossfade %' AND a.state = 'idle in transaction'";

/// Watches while `cli` runs, and returns the longest that the application waited.
async fn beside(database: &Database, cli: &Cli) -> Duration {
    let over = CancellationToken::new();
    let watching = tokio::spawn({
        let (url, over) = (database.url.clone(), over.clone());
        async move {
            let mut watch = PgConnection::connect(&url).await.unwrap();
            while !over.is_cancelled() {
                let mut look = async || -> Vec<String> {
                    sqlx::query_scalar(IDLE_WITH_A_LOCK).fetch_all(&mut watch).await.unwrap()
                };
                let idle = look().await;
                let still = if idle.is_empty() { Vec::new() } else { look().await };
                let locked = idle.into_iter().find(|session| still.contains(session));
                assert_eq!(locked, None, "locked while the next message was awaited");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    let applying = tokio::spawn({
        let (url, over) = (database.url.clone(), over.clone());
        async move {
            let mut application = PgConnection::connect(&url).await.unwrap();
            let mut slowest = Duration::ZERO;
            while !over.is_cancelled() {
                let began = Instant::now();
                sqlx::raw_sql(APPLICATION).execute(&mut application).await.unwrap();
                slowest = slowest.max(began.elapsed());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            slowest
        }
    });
    let output = cli.spawn().wait(PATIENCE).await;
    over.cancel();
    watching.await.unwrap();
    assert_eq!(output.code, Some(0), "{output:#?}");
    applying.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_locked_while_a_message_travels() {
    // Far away a run takes minutes: hundreds of questions, asked one after the other.
    for round_trip in if whole() { vec![0, 50, 200] } else { vec![0, 30] } {
        let database = Database::new().await;
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        fleet::create(&mut connection).await.unwrap();
        fleet::load(&mut connection, 300).await.unwrap();
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), PLAN).unwrap();
        let proxy = Proxy::before(server()).await;
        proxy.delay(Duration::from_millis(round_trip));
        let cli = |args: &[&str]| Cli::new(&proxy.url(&database.name)).args(args.iter().copied());
        let path = file.path().to_str().unwrap();
        // Rows that differ, which only a session without triggers can make.
        let differ =
            "SET session_replication_role = replica; UPDATE vehicles SET vehicle_status = 'lost' WHERE id % 3 = 0";
        let mut slowest = Duration::ZERO;
        slowest = slowest.max(beside(&database, &cli(&["run", path, "--to", "verify"])).await);
        sqlx::raw_sql(AssertSqlSafe(differ)).execute(&mut connection).await.unwrap();
        slowest = slowest.max(beside(&database, &cli(&["verify", "far", "--repair", "old"])).await);
        slowest = slowest.max(beside(&database, &cli(&["run", path, "--to", "switch"])).await);
        slowest = slowest.max(beside(&database, &cli(&["rollback", "far", "--yes"])).await);
        assert!(!whole() || slowest < BOUND, "at {round_trip} ms a statement of the application took {slowest:?}");
    }
}
