//! Poolers of every mode and size: crossfade works through one that gives it the sessions that it needs, and says at once
//! what is missing where it does not.

use crossfade::testkit::fleet;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Cli, Database, Output, PATIENCE, PgBouncer, server};

async fn run_through(mode: &str, size: u32) -> Option<(Database, Output)> {
    let database = Database::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    fleet::load(&mut connection, 300).await.unwrap();
    let pooler = PgBouncer::of(server(), mode, size).await?;
    let plan = concat!(env!("CARGO_MANIFEST_DIR"), "/plans/vehicle-status.yaml");
    let run = Cli::new(&pooler.url(&database.name)).args(["run", "--yes", plan]).spawn();
    // Whoever stands in a pooler's queue without a word is found out by the test, not by its time limit.
    let output = run.wait(PATIENCE).await;
    Some((database, output))
}

async fn is_untouched(database: &Database) -> bool {
    database
        .scalar::<bool>(
            "SELECT NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'vehicles'::regclass AND attname = 'vehicle_status')",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_enough_sessions_is_as_good_as_none() {
    let Some((database, output)) = run_through("session", 20).await else { return };
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(!is_untouched(&database).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_too_few_sessions_is_refused_with_the_number_that_it_takes() {
    let Some((database, output)) = run_through("session", 3).await else { return };
    assert_eq!(output.code, Some(4), "{output:#?}");
    assert!(output.stderr.contains("needs 7 connections at the same time"), "{output:#?}");
    assert!(output.stderr.contains("only 3 got an answer"), "{output:#?}");
    assert!(is_untouched(&database).await);
    assert!(
        !database.scalar::<bool>("SELECT to_regnamespace('crossfade') IS NOT NULL").await,
        "it left a ledger behind"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_one_session_is_refused() {
    let Some((database, output)) = run_through("session", 1).await else { return };
    assert_eq!(output.code, Some(4), "{output:#?}");
    assert!(output.stderr.contains("only 1 got an answer"), "{output:#?}");
    assert!(is_untouched(&database).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pool_of_transactions_or_statements_is_refused_as_what_it_is() {
    for (mode, size) in [("transaction", 1), ("transaction", 2), ("transaction", 20), ("statement", 5)] {
        let Some((database, output)) = run_through(mode, size).await else { return };
        assert_eq!(output.code, Some(2), "{mode} {size}: {output:#?}");
        assert!(output.stderr.contains("transaction pooler"), "{mode} {size}: {output:#?}");
        assert!(is_untouched(&database).await);
    }
}
