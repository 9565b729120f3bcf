//! Whole runs from the command line: what scripts rely on.

use crossfade::testkit::fleet;
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Cli, Database, Output, PATIENCE, wait_for};

const PLAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plans/vehicle-status.yaml");
const NAME: &str = "vehicle-status";

async fn fleet_of(rows: u32) -> Database {
    let database = Database::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    fleet::load(&mut connection, rows).await.unwrap();
    database
}

async fn crossfade(database: &Database, args: &[&str]) -> Output {
    Cli::new(&database.url).args(args).run().await
}

/// Runs a command that must end with `code`, and returns its result.
async fn result(database: &Database, code: i32, args: &[&str]) -> Value {
    let output = Cli::new(&database.url).args(["--format", "json"]).args(args).run().await;
    assert_eq!(output.code, Some(code), "{args:?}: {}\n{}", output.stdout, output.stderr);
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {}", output.stdout))
}

fn has(value: &Value, fields: &[&str]) {
    for field in fields {
        assert!(value.get(field).is_some(), "no {field} in {value}");
    }
}

#[tokio::test]
async fn every_result_has_the_fields_that_scripts_read() {
    let database = fleet_of(2_000).await;
    let plan = result(&database, 0, &["plan", PLAN]).await;
    has(&plan, &["steps", "estimates", "warnings", "refusals"]);
    has(&plan["estimates"], &["rows", "wal_bytes", "seconds"]);
    for step in plan["steps"].as_array().unwrap() {
        has(step, &["id", "phase", "sql", "lock", "transactional", "undo"]);
    }

    let finish = result(&database, 0, &["start", PLAN]).await;
    assert_eq!(finish["did"], serde_json::json!(["expand"]));
    let finish = result(&database, 0, &["advance", NAME]).await;
    assert_eq!(finish["did"], serde_json::json!(["index"]));
    let would = result(&database, 0, &["advance", "--all", "--dry-run"]).await;
    assert!(would["would"].as_str().unwrap().contains("backfill"), "{would}");
    let finish = result(&database, 0, &["run", PLAN, "--to", "verify"]).await;
    assert_eq!((&finish["phase"], &finish["state"]), (&"switch".into(), &"waiting".into()));

    let status = result(&database, 0, &["status", NAME]).await;
    has(
        &status,
        &[
            "name",
            "phase",
            "state",
            "rows_total",
            "rows_done",
            "rows_per_second",
            "eta_seconds",
            "mismatches",
            "old_column_write_seconds",
            "new_column_write_seconds",
            "waiting_for",
        ],
    );
    assert_eq!(status["mismatches"], 0);
    let all = result(&database, 0, &["status"]).await;
    assert_eq!(all[0]["name"], NAME);
    let outcome = result(&database, 0, &["verify", NAME]).await;
    has(&outcome, &["rows", "equal", "empty", "different", "unconverted", "seconds", "keys"]);
    assert_eq!((&outcome["rows"], &outcome["equal"]), (&2000.into(), &2000.into()));

    let paused = result(&database, 0, &["pause", NAME]).await;
    assert_eq!(paused["state"], "paused");
    assert_eq!(crossfade(&database, &["advance", NAME]).await.code, Some(10), "a person must resume it");
    result(&database, 0, &["resume", NAME]).await;
    let tuned = result(&database, 0, &["tune", NAME, "max_rows_per_second=1000"]).await;
    assert_eq!(tuned["settings"]["max_rows_per_second"], "1000");

    let finish = result(&database, 0, &["rollback", NAME, "--to", "expand", "--yes"]).await;
    assert_eq!(finish["phase"], "index");
    let finish = result(&database, 0, &["run", PLAN, "--yes"]).await;
    assert_eq!((&finish["state"], &finish["waiting_for"]), (&"done".into(), &Value::Null));
    assert_eq!(crossfade(&database, &["advance", NAME]).await.code, Some(9), "nothing is due");
    let log = result(&database, 0, &["history", NAME]).await;
    let first = &log["runs"][0]["entries"][0];
    assert_eq!(first["entry"]["kind"], "registered");
    has(first, &["seq", "at", "actor", "phase", "state", "previous", "hash"]);
    has(&first["actor"], &["role", "user", "host", "pid", "version"]);
    let watched = crossfade(&database, &["status", NAME, "--watch"]).await;
    assert_eq!(watched.code, Some(0), "{}", watched.stderr);
    assert!(watched.stdout.starts_with("vehicle-status   contract, done"), "{}", watched.stdout);
}

#[tokio::test]
async fn the_plan_of_a_run_can_be_shown_and_run_again() {
    let database = fleet_of(100).await;
    result(&database, 0, &["start", PLAN]).await;
    let output = crossfade(&database, &["show", NAME, "--program"]).await;
    // All of it: functions too.
    assert!(!output.stdout.contains("more lines") && output.stdout.contains("\n#       END"), "{}", output.stdout);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.starts_with("version: 1\nname: vehicle-status\n"), "{}", output.stdout);
    assert!(output.stdout.contains("\n# backfill: fill the existing rows\n"), "{}", output.stdout);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("again.yaml");
    std::fs::write(&file, &output.stdout).unwrap();
    // The same plan: the run it began goes on.
    let finish = result(&database, 0, &["run", file.to_str().unwrap(), "--to", "index"]).await;
    assert_eq!(finish["did"], serde_json::json!(["index"]));

    let shown = result(&database, 0, &["show", NAME]).await;
    assert_eq!(shown["plan"]["changes"][0]["rename_column"]["to"], "vehicle_status");
    assert!(shown.get("steps").is_none());
    let shown = result(&database, 0, &["show", NAME, "--program"]).await;
    has(&shown["steps"][0], &["id", "phase"]);
    assert_eq!(crossfade(&database, &["show", "nobody"]).await.code, Some(2));
}

#[tokio::test]
async fn what_stands_in_the_way_is_listed_with_exit_code_4() {
    let database = fleet_of(100).await;
    database
        .execute("CREATE RULE in_service AS ON UPDATE TO vehicles WHERE NEW.status = 'in_service' DO ALSO NOTHING")
        .await;
    let plan = result(&database, 4, &["plan", PLAN]).await;
    assert!(plan["refusals"][0]["message"].as_str().unwrap().contains("in_service"), "{plan}");
    let output = crossfade(&database, &["run", PLAN, "--yes"]).await;
    assert_eq!(output.code, Some(4));
    assert!(output.stderr.contains("error[run::refused]") && output.stderr.contains("in_service"), "{}", output.stderr);
    assert_eq!(crossfade(&database, &["status", "vehicle-status"]).await.code, Some(2), "no run was registered");
}

#[tokio::test]
async fn rows_that_differ_are_exit_code_6_until_they_are_repaired() {
    let database = fleet_of(500).await;
    result(&database, 0, &["run", PLAN, "--to", "verify"]).await;
    // Behind the trigger's back, as only a superuser can.
    let sql = "SET session_replication_role = replica; UPDATE vehicles SET vehicle_status = 'idle' WHERE id IN (SELECT id FROM vehicles WHERE status <> 'idle' ORDER BY id LIMIT 2); RESET session_replication_role";
    database.execute(sql).await;
    let outcome = result(&database, 6, &["verify", NAME]).await;
    assert_eq!((&outcome["different"], outcome["keys"].as_array().unwrap().len()), (&2.into(), 2));
    let output = crossfade(&database, &["verify", NAME]).await;
    assert!(output.stdout.contains("2 rows of 500 not equal") && output.stdout.contains("id = "), "{}", output.stdout);
    let outcome = result(&database, 0, &["verify", NAME, "--repair", "old"]).await;
    assert_eq!(outcome["different"], 0);
}

#[tokio::test]
async fn ctrl_c_finishes_the_batch_and_the_same_command_goes_on() {
    let database = fleet_of(5_000).await;
    let dir = tempfile::tempdir().unwrap();
    let slow = dir.path().join("slow.yaml");
    let text = std::fs::read_to_string(PLAN).unwrap();
    let text = text.replace("  batch_target: 25ms", "  max_rows_per_second: 500\n  batch_target: 25ms");
    std::fs::write(&slow, text).unwrap();
    let plan = slow.to_str().unwrap();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let running = Cli::new(&database.url).args(["run", plan, "-v"]).spawn();
        wait_for("the backfill", PATIENCE, async || running.stderr().contains("backfill.rows:")).await;
        running.signal(signal);
        let output = running.wait(PATIENCE).await;
        assert_eq!(output.code, Some(130), "{}", output.stderr);
        assert!(output.stderr.contains("finishing the current batch"), "{}", output.stderr);
        assert!(output.stderr.contains("help: run the same command again to continue"), "{}", output.stderr);
    }
    result(&database, 0, &["tune", NAME, "max_rows_per_second=100000"]).await;
    let finish = result(&database, 0, &["run", plan, "--yes"]).await;
    assert_eq!(finish["state"], "done");
    let output = Cli::new(&database.url).args(["history", NAME]).run().await;
    assert_eq!(output.stdout.matches("stopped by a signal").count(), 2, "{}", output.stdout);
}

/// What is logged says of which run, step and batch it is.
#[tokio::test]
async fn the_log_has_spans() {
    let database = fleet_of(500).await;
    let output = Cli::new(&database.url).args(["run", PLAN, "--yes", "-vvv"]).run().await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let batch = output.stderr.lines().find(|line| line.contains("filled rows=")).unwrap();
    let spans = "run{plan=vehicle-status run_id=1}:step{key=backfill.rows phase=backfill}:batch{from=0 to=";
    assert!(batch.contains(spans), "{batch}");
}

#[tokio::test]
async fn a_plan_that_was_edited_is_exit_code_3_and_a_second_runner_5() {
    let database = fleet_of(5_000).await;
    let dir = tempfile::tempdir().unwrap();
    let (slow, edited) = (dir.path().join("slow.yaml"), dir.path().join("edited.yaml"));
    let text = std::fs::read_to_string(PLAN).unwrap();
    let text = text.replace("  batch_target: 25ms", "  max_rows_per_second: 500\n  batch_target: 25ms");
    std::fs::write(&slow, &text).unwrap();
    std::fs::write(&edited, text.replace("max_age: 24h", "max_age: 12h")).unwrap();
    let first = Cli::new(&database.url).args(["run", slow.to_str().unwrap(), "-v"]).spawn();
    wait_for("the backfill", PATIENCE, async || first.stderr().contains("backfill.rows:")).await;

    let second = crossfade(&database, &["run", slow.to_str().unwrap()]).await;
    assert_eq!(second.code, Some(5), "{}\n{}\nfirst: {}", second.stdout, second.stderr, first.stderr());
    assert!(second.stderr.contains("is working on run vehicle-status"), "{}", second.stderr);
    assert!(second.stderr.contains("crossfade run PLAN --join"), "{}", second.stderr);
    let output = crossfade(&database, &["run", edited.to_str().unwrap()]).await;
    assert_eq!(output.code, Some(3), "{}", output.stderr);
    assert!(output.stderr.contains("error[run::plan_edited]"), "{}", output.stderr);
    let status = result(&database, 0, &["status", NAME]).await;
    assert_eq!((&status["state"], &status["phase"]), (&"running".into(), &"backfill".into()));
    first.kill().await;
}
