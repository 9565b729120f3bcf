//! One runner at a time, and nobody waits for us longer than they must.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossfade::event::Event;
use crossfade::names::LedgerSchema;
use crossfade::pg::Connector;
use crossfade::run::Phase;
use crossfade::runner::Tool;
use crossfade::testkit::fleet;
use nix::sys::signal::Signal;
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::harness::{Cli, Database, PATIENCE, tool, wait_for, whole};

async fn fleet_of(rows: u32) -> (Database, PgConnection) {
    let database = Database::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    fleet::load(&mut connection, rows).await.unwrap();
    (database, connection)
}

fn plan_file(replace: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/vehicle-status.yaml");
    let mut text = std::fs::read_to_string(source).unwrap();
    for (from, to) in replace {
        assert!(text.contains(from));
        text = text.replace(from, to);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plan.yaml");
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

const SLOW: (&str, &str) = ("batch_target: 25ms", "max_rows_per_second: 200\n  batch_target: 20ms");
const NO_QUIET: (&str, &str) = ("quiet: 2s", "quiet: 0s");

async fn in_backfill(database: &Database) {
    wait_for("rows to be filled", PATIENCE, async || {
        let sql = "SELECT to_regclass('crossfade.page_window') IS NOT NULL";
        database.scalar::<bool>(sql).await
            && database.scalar::<bool>("SELECT EXISTS (SELECT FROM crossfade.page_window WHERE rows > 0)").await
    })
    .await;
}

/// I1: the second says who holds it.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_runners_one_works_and_the_other_says_who() {
    let (database, _connection) = fleet_of(30_000).await;
    let (_directory, file) = plan_file(&[SLOW]);
    let run = Cli::new(&database.url).args(["run".into(), "--yes".into(), file.into_os_string()]);
    let first = run.spawn();
    in_backfill(&database).await;
    let second = run.run().await;
    assert_eq!(second.code, Some(5), "{second:#?}");
    let holder: String = database.scalar("SELECT holder FROM crossfade.lease").await;
    assert!(second.stderr.contains(&holder), "{second:#?} does not name {holder}");
    first.kill().await;
}

/// Two at the same moment, before there is even a ledger.
#[tokio::test(flavor = "multi_thread")]
async fn two_runners_started_at_once_do_no_harm() {
    let (database, _connection) = fleet_of(2_000).await;
    let (_directory, file) = plan_file(&[NO_QUIET]);
    let run = Cli::new(&database.url).args(["run".into(), "--yes".into(), file.into_os_string()]);
    let (a, b) = tokio::join!(run.run(), run.run());
    let codes = [a.code, b.code];
    assert!(codes.contains(&Some(0)), "{a:#?}\n{b:#?}");
    assert!(codes.iter().all(|code| [Some(0), Some(5)].contains(code)), "{a:#?}\n{b:#?}");
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM crossfade.run").await, 1);
    assert_eq!(database.scalar::<String>("SELECT state FROM crossfade.status").await, "done");
}

/// B3: a runner that was stopped until its lease expired commits nothing when it wakes.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_runner_commits_nothing_after_its_lease_expired() {
    let (database, _connection) = fleet_of(20_000).await;
    let (_directory, file) = plan_file(&[SLOW, NO_QUIET]);
    let run = Cli::new(&database.url).args(["run".into(), "--yes".into(), file.clone().into_os_string()]);
    let frozen = run.spawn();
    in_backfill(&database).await;
    frozen.signal(Signal::SIGSTOP);
    wait_for("the lease to expire", PATIENCE, async || {
        database.scalar::<bool>("SELECT expires < clock_timestamp() FROM crossfade.lease").await
    })
    .await;
    // Everything it could write: the log, how far the windows are, and the rows themselves.
    let log = "SELECT (SELECT string_agg(os_user || pid || entry::text, ';' ORDER BY seq) FROM crossfade.event)
                   || (SELECT string_agg(w::text, ';' ORDER BY w.pass, w.from_page) FROM crossfade.page_window w)
                   || (SELECT count(vehicle_status) FROM vehicles)";
    let before: String = database.scalar(log).await;
    frozen.signal(Signal::SIGCONT);
    let output = frozen.wait(PATIENCE).await;
    // Nor does its watchdog take it for one that stands still.
    assert_eq!(output.code, Some(5), "{output:#?}");
    assert!(output.stderr.contains("lease"), "{output:#?}");
    assert_eq!(database.scalar::<String>(log).await, before, "the frozen runner wrote to the log");
    // Another goes on where it was.
    database
        .execute("INSERT INTO crossfade.setting SELECT max(id), 'max_rows_per_second', '1000000' FROM crossfade.run")
        .await;
    let output = run.run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
}

/// The wait is polite: the blocker is named, and no statement of the application waits longer than one try.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_transaction_is_waited_for_and_named_and_nobody_waits_long() {
    let (database, _connection) = fleet_of(1_000).await;
    let url = format!(
        "{}{}application_name=nightly-report",
        database.url,
        if database.url.contains('?') { "&" } else { "?" }
    );
    let mut old = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN; UPDATE vehicles SET weight = weight WHERE id = 1").execute(&mut old).await.unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let events = Arc::clone(&events);
        Arc::new(move |event: Event| events.lock().unwrap().push(event))
    };
    let connector = Connector::new(database.url.parse().unwrap());
    let tool = Tool::new(connector, LedgerSchema::default(), "test".to_owned(), sink, CancellationToken::new());
    let (_directory, file) = plan_file(&[]);
    let text = std::fs::read_to_string(&file).unwrap();
    let plan = crossfade::plan::parse("plan", &text).unwrap();
    let running = tokio::spawn(async move { tool.run(&plan, &text, Some(Phase::Expand)).await });

    let mut application = PgConnection::connect(&database.url).await.unwrap();
    let started = Instant::now();
    let mut slowest = Duration::ZERO;
    let has_tried = || events.lock().unwrap().iter().any(|event| matches!(event, Event::LockWait { .. }));
    while started.elapsed() < Duration::from_secs(5) || !has_tried() {
        let one = Instant::now();
        sqlx::query("UPDATE vehicles SET weight = weight + 1 WHERE id = 2")
            .persistent(false)
            .execute(&mut application)
            .await
            .unwrap();
        slowest = slowest.max(one.elapsed());
    }
    assert!(!running.is_finished(), "it did not wait");
    sqlx::raw_sql("COMMIT").execute(&mut old).await.unwrap();
    running.await.unwrap().unwrap();
    // How busy the machine is counts too, so only the tests that run by themselves look at it.
    assert!(!whole() || slowest < Duration::from_millis(1900), "a statement of the application waited {slowest:?}");
    let events = std::mem::take(&mut *events.lock().unwrap());
    let blockers: Vec<String> = events
        .iter()
        .filter_map(|event| if let Event::LockWait { blockers, .. } = event { Some(blockers) } else { None })
        .flatten()
        .map(ToString::to_string)
        .collect();
    assert!(blockers.iter().any(|blocker| blocker.contains("nightly-report")), "{blockers:?}");
}

/// Another plan may not touch the columns of a run that is under way.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_has_one_run() {
    let (database, _connection) = fleet_of(100).await;
    let (_directory, file) = plan_file(&[]);
    let text = std::fs::read_to_string(&file).unwrap();
    let plan = crossfade::plan::parse("plan", &text).unwrap();
    tool(&database.url).start(&plan, &text).await.unwrap();
    let other = text.replace("name: vehicle-status", "name: other").replace("to: vehicle_status", "to: state");
    let plan = crossfade::plan::parse("plan", &other).unwrap();
    let error = tool(&database.url).start(&plan, &other).await.unwrap_err().to_string();
    assert!(error.contains("vehicle-status") && error.contains("status"), "{error}");
    let left: i64 = database
        .scalar("SELECT count(*) FROM pg_attribute WHERE attrelid = 'vehicles'::regclass AND attname = 'state'")
        .await;
    assert_eq!(left, 0);
}
