//! The server's clock is set back: it is noticed, said, and nothing waits for as long as the jump.

use crossfade::ledger::{LeaseError, Ledger};
use crossfade::names::LedgerSchema;
use crossfade::testkit::fleet;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Cli, Clock, Database, PATIENCE, tool};

#[tokio::test(flavor = "multi_thread")]
async fn quiet_and_grace_do_not_wait_for_as_long_as_a_clock_was_set_back() {
    let Some(clock) = tokio::task::block_in_place(Clock::start) else { return };
    let database = Database::on_server(&clock.server).await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    fleet::load(&mut connection, 300).await.unwrap();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/plans/vehicle-status.yaml")).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("grace:")).collect();
    let text = lines.join("\n");
    let text = text.replace("quiet: 2s", "quiet: 2s\n  grace: 4s");
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let run = |to: &[&str]| Cli::new(&database.url).args(["run", "--yes"]).args(to.iter().copied()).args([file.path()]);
    let output = run(&["--to", "switch"]).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    clock.set("-1h");
    let behind = "SELECT clock_timestamp() < (SELECT max(at) FROM crossfade.event)";
    assert!(database.scalar::<bool>(behind).await, "faketime has no effect");
    let output = run(&[]).spawn().wait(PATIENCE).await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.stderr.contains("clock was set back by"), "{output:#?}");
    let history = Cli::new(&database.url).args(["history", "vehicle-status"]).run().await;
    assert!(history.stdout.contains("clock was set back"), "{history:#?}");
}

/// A lease was given before the clock was set back, to a process that hangs: it does not last for as long as the jump.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_from_the_future_is_not_longer_than_any_other() {
    let database = Database::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/plans/vehicle-status.yaml")).unwrap();
    let plan = crossfade::plan::parse("plan", &text).unwrap();
    tool(&database.url).start(&plan, &text).await.unwrap();
    let ledger = Ledger::new(LedgerSchema::default());
    let run = ledger.log().find(&mut connection, "vehicle-status").await.unwrap();
    ledger.leases().take(&mut connection, run.id, "one that hangs").await.unwrap();
    database.execute("UPDATE crossfade.lease SET expires = expires + interval '1 day'").await;
    let mut other = PgConnection::connect(&database.url).await.unwrap();
    let Err(LeaseError::Held { seconds, .. }) = ledger.leases().take(&mut other, run.id, "another").await else {
        panic!("taken from a live holder")
    };
    assert!(seconds <= 15.0, "{seconds}");
}
