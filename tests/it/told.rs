//! What is said of a run is so: who is in the way, who paused it, what was tried, and what its plan is doing.

use crossfade::testkit::fleet;
use nix::sys::signal::Signal;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Cli, Database, Output, PATIENCE, wait_for};

const RENAME: &str = "version: 1\nname: rename\ntable: public.vehicles\nchanges:\n  - rename_column: { from: status, to: state }\ncontract: { grace: 7d, quiet: 0s }\n";

struct Stage {
    database: Database,
    file: tempfile::NamedTempFile,
}

impl Stage {
    async fn new(plan: &str) -> Self {
        let database = Database::new().await;
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        fleet::create(&mut connection).await.unwrap();
        fleet::load(&mut connection, 200).await.unwrap();
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), plan).unwrap();
        Self { database, file }
    }

    fn plan(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    fn cli(&self, args: &[&str]) -> Cli {
        Cli::new(&self.database.url).args(args)
    }

    async fn ends(&self, code: i32, args: &[&str]) -> Output {
        let output = self.cli(args).run().await;
        assert_eq!(output.code, Some(code), "{args:?}: {}{}", output.stdout, output.stderr);
        output
    }
}

#[tokio::test]
async fn status_and_history_name_who_holds_the_lock_that_a_run_waits_for() {
    let stage = Stage::new(RENAME).await;
    let mut holder = PgConnection::connect(&stage.database.url).await.unwrap();
    sqlx::raw_sql("SET application_name = 'monthly-report'; BEGIN; LOCK TABLE vehicles IN ACCESS SHARE MODE")
        .execute(&mut holder)
        .await
        .unwrap();
    let running = stage.cli(&["run", stage.plan(), "--to", "expand"]).spawn();
    wait_for("status to name the holder", PATIENCE, async || {
        let status = stage.cli(&["status", "rename"]).run().await.stdout;
        status.contains("waits for  a lock for expand.columns, held by pid") && status.contains("monthly-report")
    })
    .await;
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    let output = running.wait(PATIENCE).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let history = stage.ends(0, &["history", "rename"]).await.stdout;
    let line = history.lines().find(|line| line.contains("expand.columns waits for a lock of pid")).unwrap();
    assert!(line.contains("monthly-report"), "{line}");
    // Who did it, as which role of the database.
    assert!(line.contains(" as postgres, pid "), "{line}");
    let status = stage.ends(0, &["status", "rename"]).await.stdout;
    assert!(!status.contains("a lock"), "{status}");
}

#[tokio::test]
async fn history_knows_of_attempts_that_came_to_a_closed_gate() {
    let stage = Stage::new(RENAME).await;
    for _ in 0..3 {
        stage.ends(5, &["run", stage.plan()]).await;
    }
    let history = stage.ends(0, &["history", "rename"]).await.stdout;
    assert_eq!(history.matches("waiting as planned until").count(), 1, "once is enough: {history}");
}

#[tokio::test]
async fn a_pause_has_a_name_and_a_run_that_is_over_is_no_damaged_ledger() {
    let stage = Stage::new(RENAME).await;
    stage.ends(0, &["start", stage.plan()]).await;
    let output = stage.ends(0, &["resume", "rename"]).await;
    assert!(output.stdout.contains("rename: was not paused; no process is at work on it"), "{}", output.stdout);
    stage.ends(0, &["pause", "rename"]).await;
    let again = stage.ends(0, &["pause", "rename"]).await;
    assert!(again.stdout.contains("was already paused"), "{}", again.stdout);
    let status = stage.ends(0, &["status", "rename"]).await.stdout;
    assert!(status.contains("(paused by ") && status.contains(" as postgres, pid "), "{status}");
    let output = stage.ends(5, &["run", stage.plan()]).await;
    assert!(
        output.stderr.contains("run rename is paused by ") && !output.stderr.contains("somebody"),
        "{}",
        output.stderr
    );
    let output = stage.ends(0, &["resume", "rename"]).await;
    assert!(output.stdout.contains("rename: resumed; no process is at work on it"), "{}", output.stdout);
    stage.ends(0, &["rollback", "rename", "--yes"]).await;
    for args in [&["pause", "rename"][..], &["resume", "rename"], &["tune", "rename", "workers=2"]] {
        let output = stage.ends(2, args).await;
        assert!(
            output.stderr.contains("run rename is rolled back: there is nothing left"),
            "{args:?}: {}",
            output.stderr
        );
    }
}

#[tokio::test]
async fn plan_knows_the_run_of_its_plan() {
    let stage = Stage::new(RENAME).await;
    stage.ends(0, &["run", stage.plan(), "--to", "verify"]).await;
    let said = stage.ends(0, &["plan", stage.plan()]).await.stdout;
    assert!(said.contains("This plan has been in switch since 2") && said.contains("\n  contract.drop\n"), "{said}");
    assert!(!said.contains("DROP") && !said.contains("help:"), "{said}");
    let said = stage.ends(0, &["plan", stage.plan(), "--format", "json"]).await.stdout;
    let value: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&value["run"]["phase"], &value["run"]["state"]), (&"switch".into(), &"waiting".into()), "{said}");
    let said = stage.ends(4, &["plan", stage.plan(), "--format", "sql"]).await.stdout;
    assert!(said.contains("has a run already") && !said.contains("ALTER TABLE"), "{said}");
    std::fs::write(stage.file.path(), RENAME.replace("7d", "8d")).unwrap();
    let output = stage.ends(3, &["plan", stage.plan()]).await;
    assert!(output.stderr.contains("run::plan_edited"), "{}", output.stderr);
    std::fs::write(stage.file.path(), RENAME).unwrap();
    stage.ends(0, &["tune", "rename", "grace=0s"]).await;
    stage.ends(0, &["run", stage.plan(), "--yes"]).await;
    let said = stage.ends(0, &["plan", stage.plan()]).await.stdout;
    assert!(said.contains("This plan was done on 2"), "{said}");
}

#[tokio::test]
async fn values_that_do_not_convert_are_shown_with_advice_that_works() {
    let text = "version: 1\nname: number\ntable: vehicles\nchanges:\n  - change_type: { column: odometer, to: integer, using: \"odometer::integer\", reverse: \"odometer_v2::text\", via: odometer_v2, on_error: leave }\n";
    let stage = Stage::new(text).await;
    stage
        .database
        .execute("UPDATE vehicles SET odometer = id::text; UPDATE vehicles SET odometer = 'high' WHERE id = 7")
        .await;
    let output = stage.ends(6, &["run", stage.plan(), "--to", "verify"]).await;
    assert!(output.stderr.contains("id = 7: odometer 'high'"), "{}", output.stderr);
    assert!(
        output.stderr.contains("UPDATE the old column") && !output.stderr.contains("--repair old"),
        "{}",
        output.stderr
    );
    let output = stage.ends(6, &["verify", "number"]).await;
    assert!(
        output.stdout.contains("id = 7: odometer 'high'") && !output.stdout.contains("--repair old"),
        "{}",
        output.stdout
    );
    stage.database.execute("UPDATE vehicles SET odometer = '7' WHERE id = 7").await;
    stage.ends(0, &["run", stage.plan(), "--to", "verify"]).await;
}

#[tokio::test]
async fn sigterm_is_not_told_to_press_a_key() {
    let stage = Stage::new(&format!("{RENAME}backfill: {{ max_rows_per_second: 20 }}\n")).await;
    let running = stage.cli(&["run", stage.plan(), "-v"]).spawn();
    wait_for("the backfill", PATIENCE, async || running.stderr().contains("backfill.rows:")).await;
    running.signal(Signal::SIGTERM);
    let output = running.wait(PATIENCE).await;
    assert_eq!(output.code, Some(130), "{}", output.stderr);
    assert!(output.stderr.contains("finishing the current batch, as SIGTERM asks"), "{}", output.stderr);
    assert!(!output.stderr.contains("Ctrl-C"), "{}", output.stderr);
}

#[tokio::test]
async fn a_second_ctrl_c_is_in_the_history() {
    let stage = Stage::new(RENAME).await;
    let mut holder = PgConnection::connect(&stage.database.url).await.unwrap();
    stage.ends(0, &["start", stage.plan()]).await;
    sqlx::raw_sql("BEGIN; UPDATE vehicles SET fuel = fuel WHERE id = 1").execute(&mut holder).await.unwrap();
    let running = stage.cli(&["run", stage.plan(), "--to", "index", "-v"]).spawn();
    // CREATE INDEX CONCURRENTLY waits for that transaction.
    wait_for("the build to begin", PATIENCE, async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock' AND datname = current_database()";
        stage.database.scalar::<i64>(sql).await > 0
    })
    .await;
    running.signal(Signal::SIGINT);
    wait_for("the first Ctrl-C to be noticed", PATIENCE, async || running.stderr().contains("press Ctrl-C again"))
        .await;
    running.signal(Signal::SIGINT);
    let output = running.wait(PATIENCE).await;
    assert_eq!(output.code, Some(130), "{}", output.stderr);
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    let history = stage.ends(0, &["history", "rename"]).await.stdout;
    assert!(history.contains("stopped at once by a second Ctrl-C  by "), "{history}");
    wait_for("status to say that nobody is at work", PATIENCE, async || {
        let said = stage.cli(&["status", "rename"]).run().await.stdout;
        said.starts_with("rename   index, waiting") && said.contains("next: crossfade advance rename")
    })
    .await;
    stage.ends(0, &["run", stage.plan(), "--to", "index"]).await;
}

#[tokio::test]
async fn advance_says_that_all_runs_are_over() {
    let stage = Stage::new(RENAME).await;
    stage.ends(0, &["start", stage.plan()]).await;
    stage.ends(0, &["rollback", "rename", "--yes"]).await;
    let said = stage.ends(9, &["advance", "--all"]).await.stdout;
    assert!(said.starts_with("nothing to do: 1 run in this database, all over"), "{said}");
}

/// What `status` says to type next is what helps, whatever the run waits for.
#[tokio::test]
async fn what_to_type_next_is_what_helps() {
    let stage = Stage::new(&RENAME.replace("quiet: 0s", "quiet: 1h")).await;
    let status = async || stage.ends(0, &["status", "rename"]).await.stdout;
    stage.ends(0, &["run", stage.plan(), "--to", "verify"]).await;
    stage.ends(5, &["advance", "rename"]).await;
    let said = status().await;
    assert!(
        said.contains("waits for  1 h without a write to the old column; ") && said.contains(" to go if"),
        "{said}"
    );
    assert!(said.contains("next: crossfade advance rename  once no release writes the old column"), "{said}");
    stage.ends(0, &["pause", "rename"]).await;
    let said = status().await;
    assert!(said.starts_with("rename   switch, paused") && said.contains("next: crossfade resume rename"), "{said}");
    stage.ends(0, &["resume", "rename"]).await;
    stage.ends(0, &["tune", "rename", "quiet=0s"]).await;
    stage.ends(5, &["run", stage.plan(), "--yes"]).await;
    let said = status().await;
    let next = said.lines().find(|line| line.contains("next: ")).unwrap();
    assert!(
        said.contains("waits for  the grace period of the retired column (7 d, until 2") && said.contains(" UTC)"),
        "{said}"
    );
    assert!(next.contains("crossfade advance rename --yes  after 2") && next.contains(" UTC"), "{said}");
    // Once it is over, the run waits for consent and for nothing else.
    stage.ends(0, &["tune", "rename", "grace=0s"]).await;
    let said = status().await;
    assert!(said.contains("waits for  your consent to drop the mirror cf_"), "{said}");
    assert!(said.contains("next: crossfade advance rename --yes  does it; there is no way back"), "{said}");
    stage.ends(0, &["advance", "rename", "--yes"]).await;
    assert!(status().await.starts_with("rename   contract, done"));
}

#[tokio::test]
async fn help_keeps_its_example_of_a_url() {
    let output = Cli::new("mysql://u:secret@h/db").args(["status"]).run().await;
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("postgres://user@host:port/database?sslmode=verify-full"), "{}", output.stderr);
    assert!(!output.stderr.contains("secret"), "{}", output.stderr);
}

/// An index that is called like a step is an index like any other.
#[tokio::test]
async fn an_index_may_be_called_like_a_step() {
    let stage = Stage::new(&RENAME.replace("7d", "0s")).await;
    for name in ["rows", "compare", "relax_old", "not_null_add", "columns"] {
        stage.database.execute(&format!("CREATE UNIQUE INDEX {name} ON vehicles (status, id)")).await;
    }
    stage.ends(0, &["run", stage.plan(), "--yes"]).await;
    let built: i64 = stage
        .database
        .scalar("SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'vehicles'::regclass AND i.indisvalid AND i.indisunique AND c.relname IN ('rows', 'compare', 'relax_old', 'not_null_add', 'columns') AND pg_get_indexdef(c.oid) LIKE '%(state, id)'")
        .await;
    assert_eq!(built, 5);
}
