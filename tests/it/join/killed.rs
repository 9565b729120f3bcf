//! Processes that are killed, or stopped and taken for dead: the others finish what they had begun, and they commit nothing any more.

use std::time::Duration;

use crossfade::engine::{Error, Work, fill};
use crossfade::event;
use crossfade::ledger::{LeaseError, Ledger, LedgerError};
use crossfade::names::LedgerSchema;
use crossfade::pg::Connector;
use crossfade::pulse::Pulse;
use crossfade::run::Action;
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

use super::{NAME, ROWS, Stage, ends_well};
use crate::harness::{PATIENCE, Running, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_the_others_go_on() {
    let stage = Stage::new().await;
    let (leader, joined) = (stage.lead(), stage.join());
    stage.in_mid_window(true).await;
    let dead = stage.in_mid_window(false).await;
    joined.kill().await;
    stage.goes_on().await;
    let joined = stage.join();
    stage.in_mid_window(false).await;
    let dead_leader = stage.in_mid_window(true).await;
    leader.kill().await;
    stage.goes_on().await;
    // The session of a killed process may outlive it for a moment.
    let mut leader = stage.lead();
    wait_for("the new leader", PATIENCE, async || {
        if leader.has_ended() {
            leader = stage.lead();
        }
        let leads = format!("SELECT EXISTS (SELECT FROM crossfade.lease WHERE leads AND epoch > {dead_leader})");
        stage.database.scalar::<bool>(&leads).await
    })
    .await;
    stage.at_full_speed().await;
    ends_well(leader).await;
    ends_well(joined).await;
    stage.assert_filled().await;
    assert_eq!(stage.filled().await, ROWS, "a row was filled twice");
    let open = format!(
        "SELECT count(*) FROM crossfade.page_window WHERE done_at IS NULL AND epoch IN ({dead}, {dead_leader})"
    );
    assert_eq!(stage.database.scalar::<i64>(&open).await, 0);
    assert_eq!((stage.count("joined").await, stage.count("removed").await), (2, 1));
}

/// Without anybody who leads, those who have joined fill what there is, the dead leader's windows among it.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leaders_windows_are_finished_by_those_who_joined() {
    let stage = Stage::new().await;
    let (leader, joined) = (stage.lead(), stage.join());
    stage.in_mid_window(false).await;
    let dead = stage.in_mid_window(true).await;
    leader.kill().await;
    stage.at_full_speed().await;
    let joined = ends_well(joined).await;
    assert!(joined.stdout.contains("the backfill is done"), "{joined:#?}");
    stage.assert_filled().await;
    assert_eq!(stage.filled().await, ROWS);
    let lease = format!("SELECT count(*) FROM crossfade.lease WHERE epoch = {dead}");
    assert_eq!(stage.database.scalar::<i64>(&lease).await, 0, "the dead leader can still commit");
    // Nothing but rows was done.
    let status: Value = serde_json::from_str(&stage.ok(&["--format", "json", "status", NAME]).await.stdout).unwrap();
    assert_eq!((&status["phase"], &status["state"]), (&"backfill".into(), &"waiting".into()));
    ends_well(stage.lead()).await;
    stage.ok(&["run", stage.plan(), "--yes"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_comes_back_from_the_dead_commits_nothing() {
    let stage = Stage::new().await;
    let (leader, zombie) = (stage.lead(), stage.join());
    let epoch = stage.in_mid_window(false).await;
    zombie.signal(Signal::SIGSTOP);
    stage.database.execute("UPDATE crossfade.lease SET expires = clock_timestamp() WHERE NOT leads").await;
    stage.at_full_speed().await;
    ends_well(leader).await;
    stage.assert_filled().await;
    let stamp = "SELECT md5(string_agg(xmin::text || ctid::text, ',' ORDER BY id)) FROM vehicles";
    let windows = "SELECT md5(string_agg(w::text, ',' ORDER BY w::text)) FROM crossfade.page_window AS w";
    let before = (stage.database.scalar::<String>(stamp).await, stage.database.scalar::<String>(windows).await);
    zombie.signal(Signal::SIGCONT);
    let output = ends_well(zombie).await;
    assert!(output.stdout.contains("the backfill is done"), "{output:#?}");
    let after = (stage.database.scalar::<String>(stamp).await, stage.database.scalar::<String>(windows).await);
    assert_eq!(before, after, "something was written");
    assert_eq!(stage.filled().await, ROWS, "a row was filled twice");
    assert!(stage.rows_of(epoch).await < ROWS);
}

/// The same without anything but the fence to keep it from going on: it is wide awake and knows of nothing.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_lease_that_has_expired_no_batch_commits() {
    let stage = Stage::new().await;
    let leader = stage.lead();
    stage.in_mid_window(true).await;
    let ledger = Ledger::new(LedgerSchema::default());
    let mut connection = PgConnection::connect(&stage.database.url).await.unwrap();
    let run = ledger.log().find(&mut connection, NAME).await.unwrap();
    let lease = ledger.leases().join(&mut connection, &run, &"guest".into()).await.unwrap().unwrap();
    let work = Work {
        connector: Connector::new(stage.database.url.parse().unwrap()),
        ledger,
        run,
        lease,
        sink: event::silent(),
        stop: CancellationToken::new(),
        actor: "guest".into(),
        pulse: Pulse::default(),
    };
    let zombie = tokio::spawn(async move {
        let mut steps = work.run.program.steps.iter();
        let spec = steps.find_map(|step| if let Action::Fill(spec) = &step.action { Some(spec) } else { None });
        fill::run(&work, spec.unwrap()).await
    });
    stage.in_mid_window(false).await;
    // Waits for the open batches, as a takeover does.
    let expire = "SELECT FROM crossfade.lease WHERE NOT leads FOR UPDATE;
                  UPDATE crossfade.lease SET expires = clock_timestamp() WHERE NOT leads";
    stage.database.execute(expire).await;
    let rows = stage.rows_of(lease.epoch).await;
    let error = tokio::time::timeout(PATIENCE, zombie).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, Error::Ledger(LedgerError::Lease(LeaseError::Lost { .. }))), "{error}");
    assert_eq!(stage.rows_of(lease.epoch).await, rows);
    stage.at_full_speed().await;
    ends_well(leader).await;
    stage.assert_filled().await;
    assert_eq!(stage.filled().await, ROWS, "a row was filled twice");
}

/// One that was stopped while the others go on joins again.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_taken_for_dead_joins_again() {
    let stage = Stage::new().await;
    let (leader, joined) = (stage.lead(), stage.join());
    let epoch = stage.in_mid_window(false).await;
    stage.database.execute("UPDATE crossfade.lease SET expires = clock_timestamp() WHERE NOT leads").await;
    wait_for("a lease of its own again", PATIENCE, async || {
        let again = format!("SELECT EXISTS (SELECT FROM crossfade.lease WHERE NOT leads AND epoch > {epoch})");
        stage.database.scalar::<bool>(&again).await
    })
    .await;
    stage.at_full_speed().await;
    ends_well(leader).await;
    ends_well(joined).await;
    stage.assert_filled().await;
    assert_eq!(stage.filled().await, ROWS, "a row was filled twice");
    assert_eq!(stage.count("joined").await, 2);
}

/// Anybody may be killed, or stopped and taken for dead, at any moment, while an application writes.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_again_and_again_they_miss_no_row() {
    let stage = Stage::new().await;
    let mut processes = vec![stage.lead(), stage.join(), stage.join()];
    let mut stopped: Vec<Running> = vec![];
    let mut kills = 0;
    while kills < 12 {
        let more = stage.filled().await + rand::random_range(1..400);
        wait_for("more rows", PATIENCE, async || {
            for (at, process) in processes.iter_mut().enumerate() {
                // One who led has left a session behind that is not gone yet.
                if process.has_ended() {
                    *process = if at == 0 { stage.lead() } else { stage.join() };
                }
            }
            stage.filled().await >= more
        })
        .await;
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..8_000))).await;
        let victim = rand::random_range(0..processes.len());
        let next = if victim == 0 { stage.lead() } else { stage.join() };
        let process = std::mem::replace(&mut processes[victim], next);
        if rand::random_range(0..3) == 0 {
            process.signal(Signal::SIGSTOP);
            stopped.push(process);
            stage.database.execute("UPDATE crossfade.lease SET expires = clock_timestamp() WHERE run_id = 1").await;
        } else {
            process.kill().await;
        }
        for process in stopped.extract_if(.., |_| rand::random_range(0..2) == 0) {
            process.signal(Signal::SIGCONT);
            processes.push(process);
        }
        kills += 1;
        stage.database.execute("UPDATE vehicles SET weight = weight + 1 WHERE id % 97 = 0").await;
    }
    assert!(stage.filled().await < ROWS, "too fast to be killed {kills} times");
    stage.at_full_speed().await;
    for process in &stopped {
        process.signal(Signal::SIGCONT);
    }
    for process in processes.into_iter().chain(stopped) {
        process.wait(PATIENCE).await;
    }
    let mut codes = vec![];
    wait_for("the run to get there", PATIENCE, async || {
        codes.push(stage.lead().wait(PATIENCE).await.code);
        codes.last() == Some(&Some(0))
    })
    .await;
    stage.assert_filled().await;
}
