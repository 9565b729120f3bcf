//! When a run was last ticked is known to the database, and `pg_cron` tells of ticks that stay away.

use std::time::Duration;

use crossfade::testkit::fleet;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::harness::{Cli, Database, Output, missing, own_server_set, wait_for};

/// `pg_cron` looks once a minute.
const PATIENCE: Duration = Duration::from_mins(4);

/// Registers a run of which nothing is due for a year.
async fn registered(database: &Database) {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    let from = chrono::Utc::now().date_naive() + chrono::Days::new(365);
    let plan = format!(
        "version: 1\nname: ticked\ntable: public.vehicles\nchanges:\n  - rename_column: {{ from: status, to: state }}\n\
         schedule: {{ timezone: UTC, start: {from} }}\n"
    );
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), plan).unwrap();
    ends(database, 9, &["start", file.path().to_str().unwrap()]).await;
}

async fn ends(database: &Database, code: i32, args: &[&str]) -> Output {
    let output = Cli::new(&database.url).args(args.iter().copied()).run().await;
    assert_eq!(output.code, Some(code), "{args:?}: {output:#?}");
    output
}

async fn later(database: &Database) {
    database.execute("UPDATE crossfade.tick SET at = at - interval '2 hours'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tick_is_noted_and_the_log_is_not_touched() {
    let database = Database::new().await;
    registered(&database).await;
    let status = async || ends(&database, 0, &["status", "ticked"]).await.stdout;
    let said = status().await;
    assert!(said.contains("last tick  none yet"), "{said}");
    let log = "SELECT string_agg(hash, ',' ORDER BY seq) FROM crossfade.event";
    let before: String = database.scalar(log).await;
    let dry = ends(&database, 0, &["advance", "ticked", "--dry-run"]).await.stdout;
    assert!(dry.contains("is due"), "{dry}");
    assert_eq!(database.scalar::<Option<String>>("SELECT last_tick_host FROM crossfade.status").await, None);
    for args in [&["advance", "ticked"][..], &["advance", "--all"], &["advance", "ticked"]] {
        ends(&database, 9, args).await;
    }
    assert_eq!(database.scalar::<String>(log).await, before);
    let host: String = database.scalar("SELECT min(host) FROM crossfade.event").await;
    let noted = "SELECT last_tick_host FROM crossfade.status WHERE scheduled AND last_tick_at > created_at";
    assert_eq!(database.scalar::<String>(noted).await, host);
    later(&database).await;
    let said = status().await;
    assert!(said.contains(&format!("last tick  2 h ago on {host}")), "{said}");
    let json = ends(&database, 0, &["--format", "json", "status", "ticked"]).await.stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(json["last_tick"]["seconds_ago"].as_f64().is_some_and(|ago| ago > 7199.0), "{json}");
    let updates = "SELECT n_tup_upd >= 3 AND n_tup_hot_upd = n_tup_upd FROM pg_stat_all_tables WHERE relid = 'crossfade.tick'::regclass";
    wait_for("updates that touch no index", PATIENCE, async || database.scalar::<bool>(updates).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_cron_tells_of_ticks_that_stay_away() {
    let shared = Database::new().await;
    if !shared.scalar::<bool>("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_cron')").await {
        missing("pg_cron");
        return;
    }
    let settings = [("shared_preload_libraries", "pg_cron"), ("cron.use_background_workers", "on")];
    let server = tokio::task::block_in_place(|| own_server_set(&settings));
    let database = Database::on_server(&server).await;
    registered(&database).await;
    database
        .execute(
            "CREATE ROLE crossfade_reader; GRANT USAGE ON SCHEMA crossfade TO crossfade_reader;
             GRANT SELECT ON ALL TABLES IN SCHEMA crossfade TO crossfade_reader;
             CREATE ROLE crossfade_watchdog LOGIN; GRANT crossfade_reader TO crossfade_watchdog",
        )
        .await;
    let recipe = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/recipes/pg_cron.sql")).unwrap();
    // What the job says if it runs now.
    let job = recipe.split("$job$").nth(1).unwrap().to_owned();
    let said = async || {
        let mut watchdog = PgConnection::connect(&database.url).await.unwrap();
        sqlx::raw_sql("SET ROLE crossfade_watchdog").execute(&mut watchdog).await.unwrap();
        let result = sqlx::raw_sql(AssertSqlSafe(job.clone())).execute(&mut watchdog).await;
        result.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(said().await, "", "registered a moment ago");
    ends(&database, 9, &["advance", "--all"]).await;
    assert_eq!(said().await, "", "ticked a moment ago");
    later(&database).await;
    let told = said().await;
    assert!(told.contains("ticks of crossfade are overdue: ticked (last tick "), "{told}");
    ends(&database, 0, &["pause", "ticked"]).await;
    assert_eq!(said().await, "", "somebody paused it");
    ends(&database, 0, &["resume", "ticked"]).await;
    database
        .execute("INSERT INTO crossfade.lease (run_id, leads, holder, backend_pid, taken_at, expires) SELECT id, true, 'h', 0, now(), now() + interval '1 hour' FROM crossfade.run")
        .await;
    assert_eq!(said().await, "", "somebody is at work");
    database.execute("DELETE FROM crossfade.lease").await;

    let mut cron = PgConnection::connect(&server.url("postgres")).await.unwrap();
    sqlx::raw_sql("CREATE EXTENSION pg_cron").execute(&mut cron).await.unwrap();
    let recipe = recipe.replace("'*/15 * * * *'", "'* * * * *'").replace("'appdb'", &format!("'{}'", database.name));
    sqlx::raw_sql(AssertSqlSafe(recipe)).execute(&mut cron).await.unwrap();
    let ended =
        "SELECT status, return_message FROM cron.job_run_details WHERE end_time IS NOT NULL ORDER BY runid LIMIT 1";
    let cron = tokio::sync::Mutex::new(cron);
    let run = async || {
        let mut cron = cron.lock().await;
        sqlx::query_as::<_, (String, Option<String>)>(ended).fetch_optional(&mut *cron).await.unwrap()
    };
    wait_for("pg_cron to run its job", PATIENCE, async || run().await.is_some()).await;
    let (status, message) = run().await.unwrap();
    let message = message.unwrap_or_default();
    assert!(status == "failed" && message.contains("overdue: ticked (last tick "), "{status}: {message}");
}
