//! Deadlocks of batches with clients: the application's statement is never the one that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crossfade::testkit::server::Server;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio_util::sync::CancellationToken;

use super::Stage;
use crate::harness::{Database, PATIENCE, versions, wait_for, whole};

/// Transactions that lock many rows in random order, one row at a time, among them such as a batch locks. No two of them
/// ever want the same row, so whatever deadlock there is has a batch in it. Counts those, in which each waits for the
/// other, and says how long a statement of the application took at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_a_deadlock_the_application_is_never_the_victim() {
    const ROUNDS: u32 = 20;
    let mut options = versions().remove(0).options();
    // The application's own detector, four times as quick as usual: it has more chances to find a batch in its way.
    options.settings.push(("deadlock_timeout".to_owned(), "250ms".to_owned()));
    let server = tokio::task::block_in_place(|| Server::start(options)).unwrap();
    let seen = Arc::new(AtomicI64::new(0));
    for round in 0.. {
        assert!(round < ROUNDS, "a batch and a client hardly ever waited for each other");
        contend(&server, &seen).await;
        if often(&seen) {
            break;
        }
    }
}

/// Whether a batch and a client were seen to wait for each other again and again.
fn often(seen: &AtomicI64) -> bool {
    seen.load(Ordering::SeqCst) > 10
}

/// One backfill among clients, which counts in `seen` how often a batch and a client were seen to wait for each other.
async fn contend(server: &Server, seen: &Arc<AtomicI64>) {
    const CLIENTS: i32 = 8;
    let database = Database::on_server(server).await;
    // Long batches meet a client more often.
    let more =
        "backfill: { workers: 2, batch_target: 100ms, max_rows_per_second: 2000 }\nthrottle: { lock_wait: off }\n";
    let stage = Stage::rename_on(database, 30_000, more).await;
    let stop = CancellationToken::new();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (url, stop) = (stage.database.url.clone(), stop.clone());
            tokio::spawn(async move {
                let mut connection = PgConnection::connect(&url).await.unwrap();
                let (mut transactions, mut longest) = (0_i32, Duration::ZERO);
                while !stop.is_cancelled() {
                    connection.execute("BEGIN").await.unwrap();
                    // Two hundred rows that follow each other on a few pages.
                    let first = rand::random_range(0..29_000 / CLIENTS);
                    for _ in 0..40 {
                        let id = (first + rand::random_range(0..200)) * CLIENTS + client + 1;
                        let update = format!("UPDATE vehicles SET filler = 'a{transactions}' WHERE id = {id}");
                        let start = Instant::now();
                        connection.execute(sqlx::raw_sql(AssertSqlSafe(update))).await.unwrap();
                        longest = longest.max(start.elapsed());
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    connection.execute("COMMIT").await.unwrap();
                    transactions += 1;
                }
                (transactions, longest)
            })
        })
        .collect();
    let watcher = tokio::spawn({
        let (url, stop, seen) = (stage.database.url.clone(), stop.clone(), Arc::clone(seen));
        async move {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            let cycles = "SELECT count(*) FROM pg_stat_activity AS ours CROSS JOIN pg_stat_activity AS theirs
                 WHERE ours.application_name = 'crossfade backfill' AND ours.wait_event_type = 'Lock'
                   AND theirs.application_name <> 'crossfade backfill' AND theirs.wait_event_type = 'Lock'
                   AND theirs.pid = ANY (pg_blocking_pids(ours.pid)) AND ours.pid = ANY (pg_blocking_pids(theirs.pid))";
            while !stop.is_cancelled() {
                let found: i64 = sqlx::query_scalar(cycles).fetch_one(&mut connection).await.unwrap();
                seen.fetch_add(found, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    let running = stage.spawn_backfill();
    wait_for("batches and clients to meet", PATIENCE, async || often(seen) || running.is_finished()).await;
    stage.set("max_rows_per_second", "off").await;
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    stop.cancel();
    let mut longest = Duration::ZERO;
    for client in clients {
        let (transactions, one) = client.await.unwrap();
        assert!(transactions > 3, "{transactions} transactions");
        longest = longest.max(one);
    }
    watcher.await.unwrap();
    // A batch and its lock timeout. How busy the machine is counts too.
    assert!(!whole() || longest < Duration::from_secs(2), "a statement of the application took {longest:?}");
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(stage.database.scalar::<i64>(deadlocks).await, 0);
    assert_eq!(stage.unfilled().await, 0);
}

/// No single wait of the batch is longer than `deadlock_timeout`, but all of them together are: when the application's
/// detector looks, the batch has come to its row.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_waits_in_a_row_make_no_victim_either() {
    let stage = Stage::rename_with(60, "backfill: { batch_target: 500ms }\nthrottle: { lock_wait: off }\n").await;
    stage.set("sub_passes", "1").await;
    let mut open = Vec::new();
    for id in [20, 30, 40] {
        let mut connection = PgConnection::connect(&stage.database.url).await.unwrap();
        let update = format!("BEGIN; UPDATE vehicles SET filler = 'held' WHERE id = {id}");
        connection.execute(sqlx::raw_sql(AssertSqlSafe(update))).await.unwrap();
        open.push(connection);
    }
    let running = stage.spawn_backfill();
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'crossfade backfill' AND wait_event_type = 'Lock' AND datname = current_database())";
    wait_for("the batch to wait", PATIENCE, async || stage.database.scalar::<bool>(waits).await).await;
    let mut last = open.pop().unwrap();
    let application = tokio::spawn(async move {
        last.execute("UPDATE vehicles SET filler = 'wanted' WHERE id = 1").await?;
        last.execute("COMMIT").await
    });
    for mut holder in open {
        // The time is the point: each wait alone is short enough.
        tokio::time::sleep(Duration::from_millis(400)).await;
        holder.execute("COMMIT").await.unwrap();
    }
    application.await.unwrap().unwrap();
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(stage.unfilled().await, 0);
}
