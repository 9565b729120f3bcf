//! The check and the repair.

use std::sync::{Arc, Mutex};

use crossfade::engine::{Error, Work, compare};
use crossfade::event::EventSink;
use crossfade::run::{Phase, Side};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::Stage;
use crate::harness::{Database, PATIENCE, wait_for};

/// Where the server counts nothing, the check does.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_check_counts_rows_without_the_servers_help() {
    let stage = Stage::rename(20_000).await;
    stage.backfill().await.unwrap();
    let name = &stage.database.name;
    stage.database.execute(&format!("ALTER DATABASE {name} SET track_counts = off")).await;
    let counts = stage.check().await.unwrap().counts;
    assert_eq!((counts.rows, counts.equal), (20_000, 20_000));
    stage.database.execute("SET session_replication_role = replica; UPDATE vehicles SET vehicle_status = 'x' WHERE id IN (1, 20000); RESET session_replication_role").await;
    let counts = stage.check().await.unwrap().counts;
    assert_eq!((counts.rows, counts.different), (20_000, 2));
}

const TO_INTEGER: &str = "
version: 1
name: retype
table: readings
changes:
  - change_type:
      column: value
      to: integer
      using: value::integer
      reverse: value_v2::text
      via: value_v2
      on_error: leave
";

async fn readings(rows: u32) -> Stage {
    let database = Database::new().await;
    database
        .execute(&format!(
            "CREATE TABLE readings (site text, \"Nr\" int, value text, PRIMARY KEY (site, \"Nr\"));
             INSERT INTO readings SELECT 'a', n, n::text FROM generate_series(1, {rows}) AS n"
        ))
        .await;
    Stage::of(database, TO_INTEGER).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_check_classes_what_is_wrong_and_repair_mends_it() {
    let stage = readings(100_000).await;
    stage.database.execute("UPDATE readings SET value = 'seven' WHERE \"Nr\" = 7").await;
    stage.backfill().await.unwrap();
    let outcome = stage.check().await.unwrap();
    assert_eq!((outcome.counts.rows, outcome.counts.unconverted, outcome.counts.equal), (100_000, 1, 99_999));
    // Here, and not among the twenty below: which those are depends on where the row was moved to.
    let seven = serde_json::json!({ "site": "a", "Nr": "7" });
    let keys: Vec<_> = outcome.keys.iter().map(|key| (&key.key, key.class.as_str())).collect();
    assert_eq!(keys, [(&seven, "unconverted")]);
    stage
        .database
        .execute(
            "SET session_replication_role = replica;
             UPDATE readings SET value_v2 = NULL WHERE \"Nr\" BETWEEN 50001 AND 50100;
             UPDATE readings SET value_v2 = -1 WHERE \"Nr\" IN (60000, 70000);
             UPDATE readings SET value = '0080000' WHERE \"Nr\" = 80000;
             UPDATE readings SET value = NULL WHERE \"Nr\" = 90000;
             SET session_replication_role = origin",
        )
        .await;
    let outcome = stage.check().await.unwrap();
    let counts = outcome.counts;
    // '0080000' and 80000 agree in the forward direction.
    assert_eq!((counts.empty, counts.different, counts.unconverted), (100, 3, 1), "{counts:?}");
    assert_eq!(counts.rows, counts.equal + 104);
    assert_eq!(outcome.keys.len(), 20);

    // The new side wins where it has a value: two rows get the new value; one that is NULL wins over nothing.
    assert_eq!(compare::repair(&stage.work, &stage.verify_spec(), Side::Old).await.unwrap(), 103);
    let counts = stage.check().await.unwrap().counts;
    assert_eq!((counts.empty, counts.different, counts.unconverted), (0, 0, 1));
    assert_eq!(
        stage.database.scalar::<Option<i32>>("SELECT value_v2 FROM readings WHERE \"Nr\" = 60000").await,
        Some(60_000)
    );
    assert_eq!(stage.database.scalar::<Option<i32>>("SELECT value_v2 FROM readings WHERE \"Nr\" = 90000").await, None);

    stage.database.execute("SET session_replication_role = replica; UPDATE readings SET value_v2 = -1 WHERE \"Nr\" = 60000; SET session_replication_role = origin").await;
    assert_eq!(compare::repair(&stage.work, &stage.verify_spec(), Side::New).await.unwrap(), 1);
    assert_eq!(stage.database.scalar::<String>("SELECT value FROM readings WHERE \"Nr\" = 60000").await, "-1");
    assert_eq!(compare::repair(&stage.work, &stage.verify_spec(), Side::New).await.unwrap(), 0);
    stage.database.execute("UPDATE readings SET value = '7' WHERE value = 'seven'").await;
    assert!(stage.check().await.unwrap().is_clean());
}

/// A repair that meets a locked row tries again, and a page that takes longer than the application's detector waits is
/// repaired all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_repair_waits_for_a_row_and_for_a_slow_page() {
    let stage = readings(500).await;
    stage.backfill().await.unwrap();
    stage
        .database
        .execute(
            "SET session_replication_role = replica; UPDATE readings SET value_v2 = -1 WHERE \"Nr\" IN (7, 8, 9); RESET session_replication_role;
             CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1.2); RETURN NEW; END $$;
             CREATE TRIGGER slow BEFORE UPDATE ON readings FOR EACH ROW WHEN (OLD.\"Nr\" = 9) EXECUTE FUNCTION slow()",
        )
        .await;
    let mut holder = PgConnection::connect(&stage.database.url).await.unwrap();
    holder.execute("BEGIN; SELECT FROM readings WHERE \"Nr\" = 8 FOR UPDATE").await.unwrap();
    let (work, spec) = (stage.work.clone(), stage.verify_spec());
    let repair = tokio::spawn(async move { compare::repair(&work, &spec, Side::Old).await });
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'crossfade repair' AND wait_event_type = 'Lock' AND datname = current_database())";
    wait_for("the repair to wait", PATIENCE, async || stage.database.scalar::<bool>(waits).await).await;
    holder.execute("COMMIT").await.unwrap();
    assert_eq!(tokio::time::timeout(PATIENCE, repair).await.unwrap().unwrap().unwrap(), 3);
    assert!(stage.check().await.unwrap().is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_check_of_a_table_that_is_rewritten_counts_for_nothing() {
    let stage = readings(5_000).await;
    stage.backfill().await.unwrap();
    // The first word of progress is kept waiting until there is another file.
    let (said, hear) = std::sync::mpsc::channel();
    let (rewritten, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let sink: EventSink = Arc::new(move |_| {
        let _ = said.send(());
        let _ = tokio::task::block_in_place(|| wait.lock().unwrap().recv());
    });
    let (work, spec) = (stage.work.clone(), stage.verify_spec());
    let check = tokio::spawn(async move {
        let Work { connector, ledger, run, stop, .. } = &work;
        compare::check(connector, ledger, &run.program, &spec, &sink, stop, Phase::Verify, 2).await
    });
    tokio::task::block_in_place(|| hear.recv().unwrap());
    stage.database.execute("VACUUM FULL readings").await;
    drop(rewritten);
    let error = check.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Rewritten { .. }), "{error}");
    assert!(stage.check().await.unwrap().is_clean());
}
