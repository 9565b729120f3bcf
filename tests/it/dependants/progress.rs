//! How far the backfill of a partitioned table is, partition by partition, in all that shows it.

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Cli, Database, PATIENCE, wait_for};

const TREE: &str = "CREATE TABLE trips (id int, day int, fare text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE trips_0 PARTITION OF trips FOR VALUES FROM (-10) TO (0);
    CREATE TABLE trips_1 PARTITION OF trips FOR VALUES FROM (0) TO (10);
    CREATE TABLE \"trips <2>\" PARTITION OF trips FOR VALUES FROM (10) TO (20);
    CREATE TABLE trips_3 PARTITION OF trips FOR VALUES FROM (20) TO (30) PARTITION BY HASH (id);
    CREATE TABLE trips_3_a PARTITION OF trips_3 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
    INSERT INTO trips SELECT g, g % 30, 'f' || g FROM generate_series(1, 300) g; ANALYZE trips;";

const PLAN: &str = "version: 1\nname: trips\ntable: public.trips\nchanges: [{ rename_column: { from: fare, to: price } }]\n\
                    backfill: { workers: 1 }\ncontract: { grace: 0s, quiet: 0s }\n";

/// Partition `trips_1` is the third by name, and one of its rows is locked: the backfill stands there.
#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_that_stands_in_a_partition_is_shown_partition_by_partition() {
    let database = Database::new().await;
    database.execute(TREE).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(file("trips.yaml"), PLAN).unwrap();
    let prints = async |args: &[&str]| {
        let output = Cli::new(&database.url).args(args.iter().copied()).run().await;
        assert_eq!(output.code, Some(0), "{args:?}: {output:#?}");
        output.stdout
    };
    let partitions = async || {
        let status: Value = serde_json::from_str(&prints(&["status", "trips", "--format", "json"]).await).unwrap();
        status["partitions"].clone()
    };
    prints(&["run", &file("trips.yaml"), "--to", "index"]).await;
    assert_eq!(partitions().await, Value::Null, "nothing is known of them before the backfill");
    assert!(!prints(&["status", "trips"]).await.contains("partitions"));

    let mut other = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT FROM trips_1 WHERE id = 1 FOR UPDATE").execute(&mut other).await.unwrap();
    let running = Cli::new(&database.url).args(["run", &file("trips.yaml"), "--to", "backfill"]).spawn();
    wait_for("it to stand", PATIENCE, async || partitions().await["now"] == json!(["public.trips_1"])).await;
    let (found, text) = (partitions().await, prints(&["status", "trips"]).await);
    let row = |table: &str, state: &str, percent: i64, rows: i64| json!({ "table": table, "state": state, "percent": percent, "rows_filled": rows });
    let listed = found["listed"].as_array().unwrap();
    assert_eq!(
        (&found["kind"], &found["total"], &found["filled"], &found["unlisted"]),
        (&json!("partition"), &json!(4), &json!(2), &json!(0)),
        "{found}"
    );
    assert_eq!(listed[0], row("public.trips <2>", "filled", 100, 100));
    assert_eq!(listed[1], row("public.trips_0", "filled", 100, 0));
    assert_eq!((&listed[2]["table"], &listed[2]["state"]), (&json!("public.trips_1"), &json!("begun")), "{found}");
    assert_eq!(listed[3], row("public.trips_3_a", "to_come", 0, 0));
    assert!(text.contains("  partitions 2 of 4 filled, now public.trips_1\n"), "{text}");
    assert!(prints(&["status"]).await.contains(", 2 of 4 partitions"));
    let metrics = prints(&["metrics"]).await;
    for (name, value) in [("backfill_partitions", 4), ("backfill_filled_partitions", 2)] {
        let is = |line: &str| line.starts_with(&format!("crossfade_{name}{{")) && line.ends_with(&format!(" {value}"));
        assert!(metrics.lines().any(is), "{name} in {metrics}");
    }
    prints(&["report", "trips", "-o", &file("trips.html")]).await;
    let page = std::fs::read_to_string(file("trips.html")).unwrap();
    assert!(page.contains("Filled: 2 of 4 partitions") && page.contains("<code>public.trips_1</code> (now)"), "{page}");
    assert!(page.contains("<code>public.trips &lt;2&gt;</code>"), "{page}");

    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    let ended = running.wait(PATIENCE).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let found = partitions().await;
    assert_eq!((&found["total"], &found["filled"], &found["now"]), (&json!(4), &json!(4), &json!([])), "{found}");
    assert!(!prints(&["status", "trips"]).await.contains("partitions"));

    // One that is detached is none any more, and neither is what is below it.
    database.execute("ALTER TABLE trips DETACH PARTITION trips_3").await;
    assert_eq!(partitions().await["total"], json!(3));
}

/// A page whose row somebody has locked is visited, and not done.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_tiny_table_no_row_is_gone_through_before_it_is_filled() {
    let database = Database::new().await;
    database
        .execute(
            "CREATE TABLE kinds (id int PRIMARY KEY, kind text); INSERT INTO kinds VALUES (1, 'a'), (2, 'b'), (3, 'c')",
        )
        .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kinds.yaml").to_str().unwrap().to_owned();
    let plan = "version: 1\nname: kinds\ntable: public.kinds\nchanges: [{ rename_column: { from: kind, to: sort } }]\n";
    std::fs::write(&file, plan).unwrap();
    let status = async || {
        let output = Cli::new(&database.url).args(["status", "kinds", "--format", "json"]).run().await;
        let status: Value = serde_json::from_str(&output.stdout).unwrap();
        (
            status["rows_done"].clone(),
            status["rows_total"].clone(),
            status["rows_percent"].clone(),
            status["eta_seconds"].clone(),
        )
    };
    let started = Cli::new(&database.url).args(["start", &file]).run().await;
    assert_eq!(started.code, Some(0), "{started:#?}");
    let mut other = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT FROM kinds WHERE id = 3 FOR UPDATE").execute(&mut other).await.unwrap();
    let running = Cli::new(&database.url).args(["run", &file, "--to", "backfill"]).spawn();
    let late = "SELECT count(*) FILTER (WHERE late AND done_at IS NULL) = 1 AND count(*) FILTER (WHERE NOT late AND done_at IS NOT NULL) = 1 \
                FROM crossfade.page_window";
    wait_for("only the late page to be left", PATIENCE, async || database.scalar::<bool>(late).await).await;
    assert_eq!(status().await, (json!(0), json!(3), json!(0), Value::Null));
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    let ended = running.wait(PATIENCE).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(status().await, (json!(3), json!(3), json!(100), Value::Null));
}
