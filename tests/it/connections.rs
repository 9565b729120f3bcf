//! Connections that a call leaves behind serve the next one: as if they were new, not for long, and only while the server keeps them.

use std::time::{Duration, Instant};

use crossfade::run::Phase;

use crate::harness::{Database, PATIENCE, tool};

const PLAN: &str = "version: 1
name: again
table: public.t
changes: [rename_column: { from: a, to: b }]
contract: { grace: 0s, quiet: 0s }
";

/// The backends of crossfade's sessions in this database.
const OURS: &str = "SELECT coalesce(array_agg(pid), '{}') FROM pg_stat_activity WHERE application_name LIKE 'crossfade %' AND datname = current_database()";

async fn table() -> Database {
    let database = Database::new().await;
    database
        .execute("CREATE TABLE t (id int, a text); INSERT INTO t SELECT g, 'x' FROM generate_series(1, 50) g")
        .await;
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_call_takes_over_what_a_call_leaves_and_then_they_end() {
    let database = table().await;
    let plan = crossfade::plan::parse("plan.yaml", PLAN).unwrap();
    let tool = tool(&database.url);
    let begun = Instant::now();
    // They are kept for so short a time that a busy machine may miss it.
    loop {
        assert!(begun.elapsed() < PATIENCE, "no call has used a connection of the one before");
        tool.run(&plan, PLAN, Some(Phase::Expand)).await.unwrap();
        let left: Vec<i32> = database.scalar(OURS).await;
        tool.run(&plan, PLAN, Some(Phase::Verify)).await.unwrap();
        let then: Vec<i32> = database.scalar(OURS).await;
        if left.iter().any(|pid| then.contains(pid)) {
            break;
        }
        tool.rollback("again", None).await.unwrap();
    }
    while !database.scalar::<Vec<i32>>(OURS).await.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "connections stay open although nothing needs them");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tool.run(&plan, PLAN, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_the_server_has_ended_are_opened_again() {
    let database = table().await;
    let plan = crossfade::plan::parse("plan.yaml", PLAN).unwrap();
    let tool = tool(&database.url);
    let mut ended = 0;
    for phase in [Phase::Expand, Phase::Index, Phase::Backfill, Phase::Verify, Phase::Switch] {
        tool.run(&plan, PLAN, Some(phase)).await.unwrap();
        let all = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'crossfade %' AND datname = current_database()";
        ended += database.scalar::<i64>(all).await;
    }
    tool.run(&plan, PLAN, None).await.unwrap();
    assert!(ended > 0, "no call has left a connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_nobody_needs_hold_nothing() {
    let database = table().await;
    let plan = crossfade::plan::parse("plan.yaml", PLAN).unwrap();
    let tool = tool(&database.url);
    tool.run(&plan, PLAN, Some(Phase::Switch)).await.unwrap();
    let held = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE a.application_name LIKE 'crossfade %' AND a.datname = current_database() AND (l.locktype = 'advisory' OR l.relation = 't'::regclass)";
    assert_eq!(database.scalar::<i64>(held).await, 0, "a connection that nobody needs holds a lock");
    let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'crossfade %' AND datname = current_database() AND state <> 'idle'";
    assert_eq!(database.scalar::<i64>(open).await, 0, "a connection that nobody needs is in a transaction");
}
