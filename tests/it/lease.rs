//! The lease by itself. A runner has more than one thing that keeps it from working without one; this is the last.

use std::time::Duration;

use crossfade::ledger::{LeaseError, Ledger, LedgerError, Run};
use crossfade::names::LedgerSchema;
use crossfade::pg;
use crossfade::run::Entry;
use crossfade::testkit::fleet;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Database, PATIENCE, tool, wait_for};

const LIMITS: pg::Limits =
    pg::Limits { lock: Duration::from_secs(5), statement: Duration::from_secs(5), durable: true };

async fn started() -> (Database, Ledger, Run, PgConnection) {
    let database = Database::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/plans/vehicle-status.yaml")).unwrap();
    let plan = crossfade::plan::parse("plan", &text).unwrap();
    tool(&database.url).start(&plan, &text).await.unwrap();
    let ledger = Ledger::new(LedgerSchema::default());
    let run = ledger.log().find(&mut connection, "vehicle-status").await.unwrap();
    (database, ledger, run, connection)
}

/// B3: neither after it expired, nor after somebody else has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_without_the_lease_does_not_get_past_the_fence() {
    let (database, ledger, run, mut connection) = started().await;
    let lease = ledger.leases().take(&mut connection, run.id, "first").await.unwrap();
    pg::begin(&mut connection, LIMITS).await.unwrap();
    ledger.leases().fence(&mut connection, lease).await.unwrap();
    pg::rollback(&mut connection).await;

    database.execute("UPDATE crossfade.lease SET expires = clock_timestamp() - interval '1 second'").await;
    pg::begin(&mut connection, LIMITS).await.unwrap();
    assert!(matches!(ledger.leases().fence(&mut connection, lease).await, Err(LeaseError::Lost { .. })));
    pg::rollback(&mut connection).await;
    assert!(
        matches!(ledger.leases().renew(&mut connection, lease).await, Err(LeaseError::Lost { .. })),
        "it was revived"
    );
    let entries: i64 = database.scalar("SELECT count(*) FROM crossfade.event").await;
    let refused = ledger.log().record(&mut connection, &run, Some(lease), &[Entry::Interrupted], &"first".into()).await;
    assert!(matches!(refused, Err(LedgerError::Lease(LeaseError::Lost { .. }))), "{refused:?}");
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM crossfade.event").await, entries);

    let mut other = PgConnection::connect(&database.url).await.unwrap();
    let taken = ledger.leases().take(&mut other, run.id, "second").await.unwrap();
    assert_eq!(taken.epoch, lease.epoch + 1);
    pg::begin(&mut connection, LIMITS).await.unwrap();
    let Err(LeaseError::Lost { holder }) = ledger.leases().fence(&mut connection, lease).await else {
        panic!("past the fence")
    };
    assert_eq!(holder, "second");
    pg::rollback(&mut connection).await;
    let Err(LeaseError::Held { holder, .. }) = ledger.leases().take(&mut connection, run.id, "third").await else {
        panic!("taken from a live holder")
    };
    assert_eq!(holder, "second");
    drop(other);
    // Its session is gone: nobody need wait for the rest of the lease.
    wait_for("the holder's session to end", PATIENCE, async || {
        ledger.leases().take(&mut connection, run.id, "third").await.is_ok()
    })
    .await;
}

/// Taking over waits for a transaction that is past the fence, and no later one gets past it; heartbeats do not wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_waits_for_an_open_transaction() {
    let (database, ledger, run, mut connection) = started().await;
    let lease = ledger.leases().take(&mut connection, run.id, "first").await.unwrap();
    let mut worker = PgConnection::connect(&database.url).await.unwrap();
    pg::begin(&mut worker, LIMITS).await.unwrap();
    ledger.leases().fence(&mut worker, lease).await.unwrap();
    ledger.leases().renew(&mut connection, lease).await.unwrap();
    database.execute("INSERT INTO vehicles (vin, depot_id) VALUES ('other', 1)").await;
    sqlx::raw_sql("UPDATE crossfade.lease SET expires = clock_timestamp() - interval '1 second'")
        .execute(&mut connection)
        .await
        .unwrap();
    let (second, run_id, url) = (ledger.clone(), run.id, database.url.clone());
    let takeover = tokio::spawn(async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        second.leases().take(&mut connection, run_id, "second").await.map(|lease| (lease, connection))
    });
    wait_for("the takeover to wait", PATIENCE, async || {
        let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%crossfade.lease%FOR UPDATE%' AND datname = current_database())";
        database.scalar::<bool>(waiting).await
    })
    .await;
    pg::commit(&mut worker).await.unwrap();
    let (taken, _connection) = takeover.await.unwrap().unwrap();
    assert_eq!(taken.epoch, lease.epoch + 1);
}

/// I1: two appenders at once do not get the same number, and the log cannot be changed.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_append_only_and_in_one_order() {
    let (database, ledger, run, _connection) = started().await;
    let append = || async {
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        for _ in 0..10 {
            ledger
                .log()
                .record(&mut connection, &run, None, &[Entry::Paused, Entry::Resumed], &"test".into())
                .await
                .unwrap();
        }
    };
    tokio::join!(append(), append(), append());
    let gaps = "SELECT count(*) - max(seq) FROM crossfade.event";
    assert_eq!(database.scalar::<i64>(gaps).await, 0);
    for change in
        ["UPDATE crossfade.event SET os_user = 'me'", "DELETE FROM crossfade.event", "TRUNCATE crossfade.event"]
    {
        let error = sqlx::raw_sql(change).execute(&database.pool).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{change}: {error}");
    }
}
