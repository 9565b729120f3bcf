//! What `plan` predicts, and what the log says afterwards.

use std::time::Duration;

use crossfade::event::Event;
use crossfade::plan::{BuildIndexes, Plan, parse};
use crossfade::run::{Estimates, Filled, Orders, Phase};
use crossfade::runner::Tool;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::harness::{Cli, Database, PATIENCE, own_server, tool, versions, wait_for};

/// Full pages of rows of about 110 bytes; indexes in the order of rows, in no order, and on the column that changes.
async fn table(database: &Database, rows: u32, fillfactor: u32) {
    database
        .execute(&format!(
            "CREATE TABLE t (id bigint PRIMARY KEY, code text NOT NULL, status text NOT NULL, filler text)
               WITH (fillfactor = {fillfactor}, autovacuum_enabled = off);
             INSERT INTO t SELECT n, md5(n::text), 'status ' || n % 7, repeat('x', 30) FROM generate_series(1, {rows}) AS n;
             CREATE INDEX ON t (code); CREATE INDEX t_status ON t (status)"
        ))
        .await;
    database.execute("VACUUM ANALYZE t").await;
}

fn rename(order: &str, more: &str) -> String {
    format!(
        "version: 1\nname: rename\ntable: t\nchanges:\n  - rename_column: {{ from: status, to: state }}\n\
         indexes: {{ build: {order} }}\n{more}"
    )
}

fn plan(text: &str) -> Plan {
    parse("plan.yaml", text).unwrap()
}

async fn predicted(database: &Database, text: &str) -> (Estimates, Orders) {
    let preview = tool(&database.url).preview(&plan(text)).await.unwrap();
    assert_eq!(preview.refusals, vec![]);
    let orders = preview.estimates.orders.clone().unwrap();
    (preview.estimates, orders)
}

async fn run_to_backfill(tool: &Tool, text: &str) -> (Orders, Filled) {
    tool.run(&plan(text), text, Some(Phase::Backfill)).await.unwrap();
    let status = tool.status("rename").await.unwrap();
    (status.predicted.unwrap().orders.unwrap(), status.filled.unwrap())
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a test")]
fn float(bytes: i64) -> f64 {
    bytes as f64
}

fn near(what: &str, predicted: f64, measured: f64) {
    const FACTOR: f64 = 1.5;
    assert!(
        predicted <= measured * FACTOR && predicted >= measured / FACTOR,
        "{what}: predicted {predicted}, measured {measured}"
    );
}

/// The log of the server is everybody's, so the server is the test's own.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_predicted_comes() {
    let server = own_server();
    for (order, fillfactor, hot) in
        [("after_backfill", 100, 0.86), ("before_backfill", 100, 0.0), ("after_backfill", 45, 1.0)]
    {
        let database = Database::on_server(&server).await;
        table(&database, 120_000, fillfactor).await;
        // Else the pages are in the log already, whole.
        database.execute("CHECKPOINT").await;
        let (predicted, filled) = run_to_backfill(&tool(&database.url), &rename(order, "")).await;
        let own = predicted.own();
        let what = format!("{order}, fillfactor {fillfactor}");
        assert_eq!(filled.rows, 120_000, "{what}");
        near(&format!("{what}: WAL"), float(own.wal_bytes), float(filled.wal_bytes));
        let heap = float(filled.heap_after) / float(filled.heap_before);
        near(&format!("{what}: heap"), 1.0 + own.heap_growth_share, heap);
        let indexes = float(filled.indexes_after) / float(filled.indexes_before);
        let index_growth = float(own.index_growth) / float(filled.indexes_before);
        near(&format!("{what}: indexes"), 1.0 + index_growth, indexes);
        let hot_share = filled.hot_share().unwrap();
        assert!((own.hot_share - hot).abs() < 0.1, "{what}: {own:?}");
        assert!((hot_share - own.hot_share).abs() < 0.25, "{what}: {filled:?}, predicted {own:?}");
        assert!(filled.seconds > 0.0 && own.seconds.low > 0.0 && own.seconds.high > own.seconds.low, "{what}");
        assert!(predicted.machine.measured, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_orders_are_predicted_on_every_version() {
    for version in versions() {
        let database = Database::on(&version).await;
        table(&database, 20_000, 100).await;
        let (estimates, orders) = predicted(&database, &rename("before_backfill", "")).await;
        assert_eq!((estimates.rows, orders.order), (20_000, BuildIndexes::BeforeBackfill), "{}", version.major);
        assert!(orders.order_matters && orders.machine.measured, "{}: {orders:?}", version.major);
        let (before, after) = (&orders.before_backfill, &orders.after_backfill);
        assert!(after.wal_bytes * 3 < before.wal_bytes * 2, "{}: {orders:?}", version.major);
        assert!(before.hot_share <= 0.0 && after.hot_share > 0.7, "{}: {orders:?}", version.major);
        assert_eq!(estimates.wal_bytes, before.all_wal_bytes());
        // The server of the tests logs for logical decoding.
        assert!(orders.assumptions.iter().any(|line| line.contains("logical")), "{:?}", orders.assumptions);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_index_on_the_column_the_order_makes_no_difference() {
    let database = Database::new().await;
    table(&database, 5_000, 100).await;
    database.execute("DROP INDEX t_status").await;
    let (_, orders) = predicted(&database, &rename("before_backfill", "")).await;
    assert!(!orders.order_matters, "{orders:?}");
    assert_eq!(orders.before_backfill, orders.after_backfill);
    // A unique index is built after the backfill in both orders; another one of the plan's is not.
    let unique = rename("before_backfill", "").replace(
        "indexes: { build: before_backfill }",
        "indexes: { add: [{ name: t_state, columns: [state, id], unique: true }] }",
    );
    assert!(!predicted(&database, &unique).await.1.order_matters);
    assert!(predicted(&database, &unique.replace(", unique: true", "")).await.1.order_matters);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_never_analysed_is_counted_by_reading_it() {
    let database = Database::new().await;
    database
        .execute(
            "CREATE TABLE t (id bigint PRIMARY KEY, status text, filler text) WITH (autovacuum_enabled = off);
             INSERT INTO t SELECT n, 'status ' || n % 7, repeat('x', 300) FROM generate_series(1, 20000) AS n",
        )
        .await;
    let (estimates, orders) = predicted(&database, &rename("before_backfill", "")).await;
    assert!((18_000..=22_000).contains(&estimates.rows), "{estimates:?}");
    let said = |orders: &Orders, word: &str| orders.assumptions.iter().any(|line| line.contains(word));
    assert!(said(&orders, "ANALYZE"), "{:?}", orders.assumptions);
    // How long applications make it wait is nothing that a table tells.
    assert!(!said(&orders, "goal_latency"), "{:?}", orders.assumptions);
    let (_, orders) = predicted(&database, &rename("before_backfill", "backfill: { goal_latency: 20ms }")).await;
    assert!(said(&orders, "goal_latency"), "{:?}", orders.assumptions);
}

/// What is computed, and what goes to the TOAST table, counts as what it will be.
#[tokio::test(flavor = "multi_thread")]
async fn new_values_are_computed_to_be_measured() {
    let database = Database::new().await;
    database
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, status text NOT NULL, odd text);
             ALTER TABLE t ALTER COLUMN status SET STORAGE EXTERNAL;
             INSERT INTO t SELECT n, repeat('x', 5000), CASE WHEN n > 1 THEN n::text END FROM generate_series(1, 2000) AS n",
        )
        .await;
    database.execute("VACUUM ANALYZE t").await;
    let (_, orders) = predicted(&database, &rename("before_backfill", "")).await;
    let toast = orders.own().toast_growth;
    assert!((9_000_000..13_000_000).contains(&toast), "{toast}");
    assert!(orders.own().wal_bytes > toast, "{orders:?}");
    let retype = "version: 1\nname: retype\ntable: t\nchanges:\n  - change_type: { column: odd, to: bigint, using: 'odd::bigint', via: odd_v2 }\n";
    let (_, orders) = predicted(&database, retype).await;
    assert!(orders.machine.measured && orders.own().toast_growth == 0, "{orders:?}");
    // One that does not convert: the rest is still predicted.
    database.execute("UPDATE t SET odd = 'x' WHERE id = 7").await;
    let lenient = retype.replace("via: odd_v2", "via: odd_v2, on_error: leave");
    let preview = tool(&database.url).preview(&plan(&lenient)).await.unwrap();
    let orders = preview.estimates.orders.unwrap();
    assert!(orders.machine.value_us > 0.0 && orders.own().wal_bytes > 0, "{orders:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_changes_nothing() {
    let database = Database::new().await;
    table(&database, 2_000, 100).await;
    let schema = database.schema().await;
    let rows = "SELECT md5(string_agg(t::text, ',' ORDER BY id)) || pg_relation_size('t') FROM t";
    let before: String = database.scalar(rows).await;
    predicted(&database, &rename("before_backfill", "")).await;
    assert_eq!(database.scalar::<String>(rows).await, before);
    assert_eq!(database.schema().await, schema);
    assert!(database.scalar::<bool>("SELECT to_regnamespace('crossfade') IS NULL").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn prediction_and_outcome_are_told_kept_and_not_repeated() {
    let database = Database::new().await;
    table(&database, 20_000, 100).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plan.yaml");
    std::fs::write(&path, rename("after_backfill", "")).unwrap();
    let path = path.to_str().unwrap();
    let cli = async |args: &[&str]| Cli::new(&database.url).args(args).run().await;

    let output = cli(&["plan", path]).await;
    for part in ["cost: 20,000 rows to fill", "before_backfill  after_backfill (this plan)", "as here, saves"] {
        assert!(output.stdout.contains(part), "no {part}: {}", output.stdout);
    }
    let output = cli(&["run", path, "--to", "backfill"]).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    for part in ["20,000 rows in ", " (predicted ", "WAL of the whole server ", " of updates HOT (predicted 8"] {
        assert!(output.stderr.contains(part), "no {part}: {}", output.stderr);
    }
    let status: Value = serde_json::from_str(&cli(&["--format", "json", "status", "rename"]).await.stdout).unwrap();
    assert_eq!(status["filled"]["rows"], 20_000, "{status}");
    assert_eq!(status["predicted"]["rows"], 20_000, "{status}");
    assert!(status["filled"]["wal_bytes"].as_i64() > Some(1_000_000), "{status}");
    assert!(cli(&["status", "rename"]).await.stdout.contains("backfill   20,000 rows in "));
    assert!(cli(&["history", "rename"]).await.stdout.contains("20,000 rows filled in "));

    // Filled already: not measured again.
    assert_eq!(cli(&["rollback", "rename", "--to", "expand"]).await.code, Some(0));
    assert_eq!(cli(&["run", path, "--to", "backfill"]).await.code, Some(0));
    let entries = "SELECT count(*) FROM crossfade.event WHERE entry ->> 'kind' = 'filled'";
    assert_eq!(database.scalar::<i64>(entries).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_that_a_person_paused_is_told_apart() {
    let database = Database::new().await;
    table(&database, 20_000, 100).await;
    let text = rename("after_backfill", "backfill: { max_rows_per_second: 10000 }\n");
    let connector = crossfade::pg::Connector::new(database.url.parse().unwrap());
    let (send, receive) = std::sync::mpsc::channel();
    let sink = std::sync::Arc::new(move |event| drop(send.send(event)));
    let schema = crossfade::names::LedgerSchema::default();
    let runner = Tool::new(connector, schema, "test".to_owned(), sink, CancellationToken::new());
    let (_, orders) = predicted(&database, &text).await;
    assert!(orders.backfill_paced.low >= 2.0, "{orders:?}");
    let running = tokio::spawn({
        let text = text.clone();
        async move { runner.run(&plan(&text), &text, Some(Phase::Backfill)).await }
    });
    let begun = "SELECT coalesce((SELECT sum(rows) > 0 FROM crossfade.page_window), false)";
    wait_for("rows to be filled", PATIENCE, async || {
        database.scalar::<bool>("SELECT to_regclass('crossfade.page_window') IS NOT NULL").await
            && database.scalar::<bool>(begun).await
    })
    .await;
    let other = tool(&database.url);
    other.pause("rename").await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    other.resume("rename").await.unwrap();
    running.await.unwrap().unwrap();
    let filled = receive.try_iter().find_map(|event| match event {
        Event::Filled { filled, predicted } => Some((filled, predicted.is_some())),
        _ => None,
    });
    let (filled, predicted) = filled.unwrap();
    assert!(predicted && filled.paused_seconds >= 0.6 && filled.paused_seconds < filled.seconds, "{filled:?}");
    assert_eq!(other.status("rename").await.unwrap().filled, Some(filled));
}
