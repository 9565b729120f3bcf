//! Transactions whose snapshot is older than the backfill: in the new column they would see rows that are not filled yet.

use std::sync::{Arc, Mutex};

use crossfade::event::Event;
use crossfade::names::LedgerSchema;
use crossfade::pg::Connector;
use crossfade::run::Phase;
use crossfade::runner::Tool;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio_util::sync::CancellationToken;

use crate::harness::{Database, PATIENCE, versions, wait_for};

const PLAN: &str = "version: 1\nname: older\ntable: t\nchanges:\n  - change_type: { column: c, to: integer, using: c::integer, reverse: c_v2::text, via: c_v2 }\ncontract: { grace: 0s, quiet: 0s }\n";

async fn said(connection: &mut PgConnection, statement: &str) -> Option<String> {
    let row = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).fetch_one(connection).await;
    row.unwrap_or_else(|error| panic!("{statement}: {error}")).get(0)
}

async fn session(database: &Database, name: &str) -> PgConnection {
    let join = if database.url.contains('?') { "&" } else { "?" };
    PgConnection::connect(&format!("{}{join}application_name={name}", database.url)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_not_exchanged_under_a_snapshot_from_before_the_backfill() {
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute(
                "CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t SELECT n, n::text FROM generate_series(1, 100) AS n;
                 CREATE TABLE other (id int)",
            )
            .await;
        // It has changed something before the backfill, and so every snapshot looks as old. It reads nothing itself.
        let mut under_way = session(&database, "import").await;
        let began = "BEGIN; INSERT INTO other VALUES (1) RETURNING 'began'";
        assert_eq!(said(&mut under_way, began).await.as_deref(), Some("began"));
        let mut reader = session(&database, "monthly-report").await;
        said(&mut reader, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 'now'").await;

        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = {
            let events = Arc::clone(&events);
            Arc::new(move |event: Event| events.lock().unwrap().push(event))
        };
        let connector = Connector::new(database.url.parse().unwrap());
        let stop = CancellationToken::new();
        let tool = Tool::new(connector, LedgerSchema::default(), "test".to_owned(), sink, stop).with_consent();
        let running = tokio::spawn(async move {
            let plan = crossfade::plan::parse("plan", PLAN).unwrap();
            tool.run(&plan, PLAN, Some(Phase::Switch)).await
        });
        let waits = || {
            let waits = |event: &Event| match event {
                Event::LockWait { blockers, .. } => Some(blockers.iter().map(ToString::to_string).collect()),
                _ => None,
            };
            events.lock().unwrap().iter().rev().find_map(waits).unwrap_or_else(Vec::<String>::new)
        };
        wait_for("the report to be waited for", PATIENCE, async || {
            assert!(!running.is_finished(), "it did not wait");
            !waits().is_empty()
        })
        .await;
        // Many that come later and look as old: none of them is waited for.
        let mut later = session(&database, "later").await;
        wait_for("nobody but the report to be waited for", PATIENCE, async || {
            said(&mut later, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_sleep(0.2)::text").await;
            said(&mut later, "COMMIT; SELECT 'next'").await;
            matches!(waits().as_slice(), [one] if one.contains("(monthly-report), idle in transaction, whose snapshot is older than"))
        })
        .await;
        assert_eq!(said(&mut reader, "SELECT c::text FROM t WHERE id = 7").await.as_deref(), Some("7"));
        said(&mut reader, "COMMIT; SELECT 'done'").await;
        wait_for("the names to be exchanged", PATIENCE, async || {
            said(&mut later, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_sleep(0.05)::text").await;
            said(&mut later, "COMMIT; SELECT 'next'").await;
            running.is_finished()
        })
        .await;
        running.await.unwrap().unwrap();
        assert_eq!(said(&mut later, "SELECT (c + 1)::text FROM t WHERE id = 7").await.as_deref(), Some("8"));
        said(&mut under_way, "COMMIT; SELECT 'done'").await;
    }
}
