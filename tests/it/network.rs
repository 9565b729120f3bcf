//! A network that swallows everything or forgets connections: nothing waits for ever.

use std::time::{Duration, Instant};

use crossfade::testkit::fleet;
use nix::sys::signal::Signal;
use sqlx::{Connection as _, PgConnection};
use tempfile::NamedTempFile;

use crate::harness::{CRAWL, Cli, Database, PATIENCE, Proxy, Running, server, tool, wait_for};

/// What a process may take that gives up by itself: the minute that it waits for its server, and what it does before and after.
const GIVES_UP: Duration = Duration::from_mins(4);

async fn fleet_of(rows: u32) -> Database {
    let database = Database::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    fleet::load(&mut connection, rows).await.unwrap();
    database
}

fn plan_file(replace: &[(&str, &str)]) -> NamedTempFile {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/vehicle-status.yaml");
    let mut text = std::fs::read_to_string(path).unwrap().replace("quiet: 2s", "quiet: 0s");
    for (from, to) in replace {
        assert!(text.contains(from));
        text = text.replace(from, to);
    }
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn crawling() -> NamedTempFile {
    plan_file(&[("batch_target: 25ms", &format!("max_rows_per_second: {CRAWL}\n  batch_target: 20ms"))])
}

fn crossfade(url: &str, args: &[&str], file: &NamedTempFile) -> Cli {
    Cli::new(url).args(args.iter().copied()).args([file.path()])
}

async fn in_backfill(database: &Database) {
    wait_for("rows to be filled", PATIENCE, async || {
        database.scalar::<bool>("SELECT to_regclass('crossfade.page_window') IS NOT NULL").await
            && database.scalar::<bool>("SELECT EXISTS (SELECT FROM crossfade.page_window WHERE rows > 0)").await
    })
    .await;
}

/// A run that fills rows, one that has joined it, and a check of all rows in which a row's value is slow to compare.
async fn at_work(database: &Database, proxy: &Proxy, file: &NamedTempFile) -> Vec<Running> {
    let url = proxy.url(&database.name);
    let run = crossfade(&url, &["run", "--yes"], file).spawn();
    in_backfill(database).await;
    let joined = crossfade(&url, &["run", "--join"], file).spawn();
    wait_for("the other process to join", PATIENCE, async || {
        database.scalar::<bool>("SELECT EXISTS (SELECT FROM crossfade.lease WHERE NOT leads)").await
    })
    .await;
    // The check stands behind a lock until the network is gone.
    let mut blocker = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE vehicles IN ACCESS EXCLUSIVE MODE").execute(&mut blocker).await.unwrap();
    let verify = Cli::new(&url).args(["verify", "vehicle-status"]).spawn();
    wait_for("the check to begin", PATIENCE, async || {
        database
            .scalar::<bool>(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'crossfade verify' \
                 AND wait_event_type = 'Lock' AND datname = current_database())",
            )
            .await
    })
    .await;
    proxy.swallow();
    drop(blocker);
    vec![run, joined, verify]
}

/// Point 33: everything is swallowed, and nobody is told.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_black_hole_every_process_gives_up_and_says_why() {
    let database = fleet_of(20_000).await;
    let proxy = Proxy::before(server()).await;
    let file = crawling();
    for process in at_work(&database, &proxy, &file).await {
        let output = process.wait(GIVES_UP).await;
        assert_eq!(output.code, Some(4), "{output:#?}");
        assert!(output.stderr.contains("unreachable"), "{output:#?}");
    }
    // The others, which begin in it.
    let url = proxy.url(&database.name);
    let output = Cli::new(&url).args(["status"]).run().await;
    assert_eq!(output.code, Some(4), "{output:#?}");
    // Nobody holds anything for long on the server either.
    wait_for("its sessions to be out of their transactions", PATIENCE, async || {
        database
            .scalar::<bool>(
                "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'crossfade %' \
                 AND xact_start IS NOT NULL AND datname = current_database())",
            )
            .await
    })
    .await;
    // And with a network the run continues.
    proxy.cut();
    tool(&database.url).tune("vehicle-status", &[("max_rows_per_second".to_owned(), "off".to_owned())]).await.unwrap();
    let output = crossfade(&url, &["run", "--yes"], &file).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_black_hole_a_process_that_is_told_to_stop_does_so() {
    let database = fleet_of(20_000).await;
    let proxy = Proxy::before(server()).await;
    let file = crawling();
    let processes = at_work(&database, &proxy, &file).await;
    for process in &processes {
        process.signal(Signal::SIGTERM);
    }
    for process in processes {
        // A container is given 30 s.
        let output = process.wait(Duration::from_secs(30)).await;
        assert_eq!(output.code, Some(130), "{output:#?}");
    }
    // One that begins in it.
    let run = crossfade(&proxy.url(&database.name), &["run", "--yes"], &file).spawn();
    tokio::time::sleep(Duration::from_secs(1)).await;
    run.signal(Signal::SIGTERM);
    assert_eq!(run.wait(Duration::from_secs(30)).await.code, Some(130));
}

/// A firewall forgets the connections that there are: new ones work. The backfill goes on over those.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_were_forgotten_are_opened_again() {
    let database = fleet_of(20_000).await;
    let proxy = Proxy::before(server()).await;
    let file = crawling();
    let run = crossfade(&proxy.url(&database.name), &["run", "--yes"], &file).spawn();
    in_backfill(&database).await;
    proxy.forget();
    tool(&database.url).tune("vehicle-status", &[("max_rows_per_second".to_owned(), "off".to_owned())]).await.unwrap();
    let output = run.wait(GIVES_UP).await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM vehicles WHERE vehicle_status IS NULL").await, 0);
}

/// The same in the middle of an index build, which has no limit on the server.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_build_whose_connection_was_forgotten_is_not_waited_for_without_end() {
    let database = fleet_of(2_000).await;
    let proxy = Proxy::before(server()).await;
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let text = "version: 1\nname: by-weight\ntable: public.vehicles\nchanges:\n  - add_index: { name: by_weight, columns: [weight] }\n";
    std::fs::write(file.path(), text).unwrap();
    let mut old = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("BEGIN; UPDATE vehicles SET weight = weight WHERE id = 1").execute(&mut old).await.unwrap();
    let run = crossfade(&proxy.url(&database.name), &["run", "--yes"], &file).spawn();
    wait_for("the build to wait for the old transaction", PATIENCE, async || {
        database
            .scalar::<bool>(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'crossfade build' \
                 AND wait_event_type = 'Lock' AND datname = current_database())",
            )
            .await
    })
    .await;
    proxy.forget();
    let forgotten = Instant::now();
    drop(old);
    let output = run.wait(GIVES_UP).await;
    assert_eq!(output.code, Some(0), "{output:#?} after {:?}", forgotten.elapsed());
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_weight'::regclass";
    assert!(database.scalar::<bool>(valid).await);
}

/// Processes on several hosts are started together: one that is to join does not need to come second.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_to_join_waits_for_the_run_to_begin() {
    let database = fleet_of(5_000).await;
    let file = plan_file(&[]);
    let joined = crossfade(&database.url, &["run", "--join"], &file).spawn();
    wait_for("it to wait", PATIENCE, async || joined.stderr().contains("has not been started yet")).await;
    let output = crossfade(&database.url, &["run", "--yes"], &file).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    let output = joined.wait(PATIENCE).await;
    assert_eq!(output.code, Some(0), "{output:#?}");
}

/// Who is told to go back when going back has failed?
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_fails_does_not_advise_a_rollback_instead() {
    let database = fleet_of(200).await;
    let file = plan_file(&[]);
    let output = crossfade(&database.url, &["run", "--yes", "--to", "verify"], &file).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    // Somebody forbids changes of tables for a while.
    database
        .execute(
            "CREATE FUNCTION not_today() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
             CREATE EVENT TRIGGER frozen ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION not_today()",
        )
        .await;
    let rollback = Cli::new(&database.url).args(["rollback", "vehicle-status", "--yes"]);
    let output = rollback.run().await;
    assert_eq!(output.code, Some(4), "{output:#?}");
    assert!(output.stderr.contains("could not be taken back"), "{output:#?}");
    assert!(!output.stderr.contains("or roll back"), "{output:#?}");
    database.execute("DROP EVENT TRIGGER frozen").await;
    assert_eq!(rollback.run().await.code, Some(0));
}

/// Point 7b: what cannot be avoided is said before.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_warns_of_applications_whose_statements_may_fail_beside_a_backfill() {
    let database = fleet_of(200).await;
    let (name, role) = (&database.name, format!("impatient_{}", database.name));
    database
        .execute(&format!(
            "CREATE ROLE {role}; ALTER ROLE {role} SET lock_timeout = '10ms';
             ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'"
        ))
        .await;
    let output = crossfade(&database.url, &["plan"], &plan_file(&[])).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    let said = output.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("sessions of this database begin transactions at REPEATABLE READ"), "{said}");
    assert!(said.contains(&format!("sessions of role {role} wait for a lock for 10ms only")), "{said}");
}
