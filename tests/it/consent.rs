//! Nothing that cannot be undone happens unless somebody has agreed to it, and what waits says for what.

use crossfade::testkit::fleet;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Cli, Database, Output, Terminal};

const RENAME: &str =
    "version: 1\nname: rename\ntable: public.vehicles\nchanges:\n  - rename_column: { from: status, to: state }\n";

/// The end of the question.
const ASKED: &str = "type the name of the plan (rename): ";

/// A fleet, and a plan for it in a file.
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

    async fn says(&self, args: &[&str]) -> Output {
        Cli::new(&self.database.url).args(args).run().await
    }

    async fn ends(&self, code: i32, args: &[&str]) -> Output {
        let output = self.says(args).await;
        assert_eq!(output.code, Some(code), "{args:?}: {}{}", output.stdout, output.stderr);
        output
    }

    async fn error(&self, code: i32, args: &[&str]) -> Value {
        let args: Vec<_> = ["--format", "json"].iter().chain(args).copied().collect();
        let output = self.ends(code, &args).await;
        let line = output.stderr.lines().rfind(|line| line.contains("\"error\"")).unwrap_or_default().to_owned();
        serde_json::from_str::<Value>(&line).unwrap_or_else(|error| panic!("{error}: {}", output.stderr))["error"]
            .clone()
    }

    async fn columns(&self) -> Vec<String> {
        let sql = "SELECT attname::text FROM pg_attribute WHERE attrelid = 'vehicles'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1";
        sqlx::query_scalar(sql).fetch_all(&self.database.pool).await.unwrap()
    }

    async fn retired(&self) -> bool {
        self.columns().await.iter().any(|column| column.starts_with("cf_"))
    }

    /// Runs the tool at a terminal, and types `line` when it is asked.
    async fn at_a_terminal(&self, args: &[&str], line: &str) -> (Option<i32>, String) {
        let mut terminal = Terminal::run(&self.database.url, args);
        terminal.shows(ASKED).await;
        terminal.types(&format!("{line}\n")).await;
        terminal.ends().await
    }
}

fn plan(contract: &str) -> String {
    format!("{RENAME}contract: {contract}\n")
}

#[tokio::test]
async fn a_run_stops_before_the_drop_until_somebody_says_yes() {
    let stage = Stage::new(&plan("{ grace: 0s, quiet: 0s }")).await;
    for _ in 0..2 {
        let error = stage.error(5, &["run", stage.plan()]).await;
        assert_eq!((&error["code"], &error["gate"]["step"]), (&"gate::consent".into(), &"contract.drop".into()));
    }
    assert!(stage.retired().await);
    let output = stage.ends(10, &["advance", "rename"]).await;
    assert!(output.stderr.contains("nothing was dropped yet. Next: drop the mirror cf_"), "{}", output.stderr);
    assert!(output.stderr.contains("crossfade run PLAN --yes, or crossfade advance rename --yes"), "{}", output.stderr);
    let output = stage.ends(10, &["advance", "--all"]).await;
    assert!(output.stderr.contains("gate::consent"), "{}", output.stderr);
    let status = stage.ends(0, &["status", "rename"]).await.stdout;
    assert!(status.contains("waits for  your consent to drop the mirror cf_"), "{status}");
    assert!(stage.retired().await);
    stage.ends(0, &["advance", "rename", "--yes"]).await;
    assert!(!stage.retired().await);
    let status = stage.ends(0, &["status", "rename"]).await.stdout;
    assert!(status.starts_with("rename   contract, done"), "{status}");
}

#[tokio::test]
async fn at_a_terminal_the_plans_name_is_the_yes() {
    let stage = Stage::new(&plan("{ grace: 0s, quiet: 0s }")).await;
    let (code, said) = stage.at_a_terminal(&["run", stage.plan()], "yes").await;
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("type the name of the plan (rename)"), "{said}");
    assert!(stage.retired().await);
    let (code, said) = stage.at_a_terminal(&["run", stage.plan()], "rename").await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!stage.retired().await);
}

/// What was typed before the question was there is no answer to it.
#[tokio::test]
async fn only_what_is_typed_after_the_question_is_the_answer() {
    let stage = Stage::new(&plan("{ grace: 0s, quiet: 0s }")).await;
    stage.ends(5, &["run", stage.plan()]).await;
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    let command = format!("until [ -e '{}' ]; do sleep 0.05; done; exec ", go.to_str().unwrap());
    for args in [&["run", stage.plan()][..], &["rollback", "rename"]] {
        let mut terminal = Terminal::shell(&stage.database.url, &(command.clone() + &Terminal::command(args)));
        terminal.types("rename\n").await;
        // The terminal's own echo: the line is there, and the tool is not yet.
        terminal.shows("rename").await;
        std::fs::write(&go, "").unwrap();
        terminal.shows(ASKED).await;
        terminal.types("no\n").await;
        let (code, said) = terminal.ends().await;
        assert_eq!(code, Some(5), "{args:?}: {said}");
        assert!(stage.retired().await, "{args:?}");
        std::fs::remove_file(&go).unwrap();
    }
}

#[tokio::test]
async fn history_says_who_agreed_to_what() {
    let stage = Stage::new(&plan("{ grace: 0s, quiet: 0s }")).await;
    stage.ends(5, &["run", stage.plan()]).await;
    stage.ends(0, &["rollback", "rename", "--yes"]).await;
    stage.ends(0, &["run", stage.plan(), "--yes"]).await;
    let history = stage.ends(0, &["history", "rename"]).await.stdout;
    let (first, second) = history.split_once("run 2 of 2").unwrap();
    assert!(first.starts_with("run 1 of 2"), "{history}");
    assert!(first.contains("consent was given to: ") && first.contains("DROP COLUMN IF EXISTS \"state\""), "{history}");
    assert!(first.contains("rollback finished") && !first.contains("contract is done"), "{history}");
    assert!(second.contains("consent was given to: drop the mirror cf_"), "{history}");
    assert!(second.contains("contract is done") && !second.contains("rolling"), "{history}");
    let json = stage.ends(0, &["history", "rename", "--format", "json"]).await.stdout;
    let all: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&all["runs"][0]["number"], &all["runs"][1]["number"]), (&1.into(), &2.into()));
    let first = all["runs"][0]["entries"].as_array().unwrap();
    let agreed = first.iter().find(|line| line["entry"]["kind"] == "consented").unwrap();
    assert_eq!(agreed["actor"]["role"], "postgres");
}

#[tokio::test]
async fn a_change_in_place_has_no_way_back_and_needs_a_yes_too() {
    let text =
        "version: 1\nname: longer\ntable: vehicles\nchanges:\n  - change_type: { column: fuel, to: varchar(40) }\n";
    let stage = Stage::new(text).await;
    let kind = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'vehicles'::regclass AND attname = 'fuel'";
    let before: String = stage.database.scalar(kind).await;
    for (code, command) in [(10, &["start"][..]), (5, &["run"])] {
        assert_eq!(stage.error(code, &[command, &[stage.plan()]].concat()).await["code"], "gate::consent");
    }
    assert_eq!(stage.database.scalar::<String>(kind).await, before);
    stage.ends(0, &["run", stage.plan(), "--yes"]).await;
    assert_eq!(stage.database.scalar::<String>(kind).await, "character varying(40)");
}

#[tokio::test]
async fn the_old_column_is_kept_for_seven_days_unless_the_plan_or_somebody_says_otherwise() {
    let stage = Stage::new(RENAME).await;
    stage.ends(0, &["run", stage.plan(), "--to", "verify"]).await;
    stage.ends(0, &["tune", "rename", "quiet=0s"]).await;
    let error = stage.error(5, &["run", stage.plan(), "--yes"]).await;
    assert_eq!(error["code"], "gate::grace", "{error}");
    let left = error["gate"]["seconds"].as_f64().unwrap();
    assert!((6.9 * 86_400.0..=7.0 * 86_400.0).contains(&left), "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("waiting as planned until "), "{error}");
    // With the plan's name for it as well.
    stage.ends(0, &["tune", "rename", "contract.grace=30d"]).await;
    let error = stage.error(9, &["advance", "rename", "--yes"]).await;
    assert!(error["gate"]["seconds"].as_f64().unwrap() > 29.0 * 86_400.0, "{error}");
    let status = stage.ends(0, &["status", "rename"]).await.stdout;
    assert!(status.contains("the grace period of the retired column (30 d"), "{status}");
    assert!(stage.retired().await);
    stage.ends(0, &["tune", "rename", "grace=0s"]).await;
    stage.ends(0, &["run", stage.plan(), "--yes"]).await;
    assert!(!stage.retired().await);
}

#[tokio::test]
async fn a_grace_of_nothing_can_be_made_longer() {
    let stage = Stage::new(&plan("{ grace: 0s, quiet: 0s }")).await;
    stage.ends(0, &["run", stage.plan(), "--to", "switch"]).await;
    stage.ends(0, &["tune", "rename", "grace=1d"]).await;
    assert_eq!(stage.error(5, &["run", stage.plan(), "--yes"]).await["code"], "gate::grace");
    assert!(stage.retired().await);
}

/// A tick never waits: who is called again in a minute need not hold up all other runs.
#[tokio::test]
async fn a_tick_does_not_wait_for_the_quiet_of_a_run() {
    let stage = Stage::new(&plan("{ grace: 0s, quiet: 1h }")).await;
    stage.ends(0, &["run", stage.plan(), "--to", "verify"]).await;
    // 2 minutes at the most, and not an hour.
    let output = stage.ends(5, &["advance", "--all", "--yes"]).await;
    assert!(output.stderr.contains("gate::quiet") && output.stderr.contains("to go"), "{}", output.stderr);
    stage.ends(0, &["tune", "rename", "quiet=0s"]).await;
    stage.ends(0, &["advance", "--all", "--yes"]).await;
}

#[tokio::test]
async fn a_rollback_says_what_it_drops_and_asks() {
    let stage = Stage::new(RENAME).await;
    stage.ends(0, &["run", stage.plan(), "--to", "verify"]).await;
    let before = stage.columns().await;
    let error = stage.error(5, &["rollback", "rename"]).await;
    assert_eq!(error["code"], "gate::consent");
    let drops = error["gate"]["drops"].to_string();
    assert!(drops.contains("DROP COLUMN") && drops.contains("state") && drops.contains("DROP INDEX"), "{error}");
    let (code, said) = stage.at_a_terminal(&["rollback", "rename"], "no").await;
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("DROP COLUMN IF EXISTS \"state\""), "{said}");
    assert_eq!(stage.columns().await, before);
    // Going back over what drops nothing needs no consent.
    stage.ends(0, &["tune", "rename", "quiet=0s"]).await;
    stage.ends(5, &["run", stage.plan()]).await;
    stage.ends(0, &["rollback", "rename", "--to", "switch"]).await;
    let output = stage.ends(0, &["rollback", "rename", "--yes"]).await;
    assert!(output.stderr.contains("DROP COLUMN IF EXISTS \"state\""), "{}", output.stderr);
    assert!(!stage.columns().await.contains(&"state".to_owned()));
}

/// A value without a way back would be NULL to applications once the names are swapped back.
#[tokio::test]
async fn a_rollback_shows_no_null_in_place_of_a_value() {
    let change = "change_type: { column: weight, to: bigint, via: weight_v2, KEEP }";
    for keep in ["keep_name: true", "keep_name: false"] {
        let change = change.replace("KEEP", keep);
        let text = format!(
            "version: 1\nname: big\ntable: vehicles\nchanges:\n  - {change}\ncontract: {{ grace: 0s, quiet: 0s }}\n"
        );
        let stage = Stage::new(&text).await;
        let (new, to) = if keep.ends_with("true") { ("weight", "verify") } else { ("weight_v2", "switch") };
        stage.ends(5, &["run", stage.plan()]).await;
        stage.database.execute(&format!("UPDATE vehicles SET {new} = 3000000000 WHERE id = 7")).await;
        let error = stage.error(4, &["rollback", "big", "--to", to, "--yes"]).await;
        assert_eq!((&error["code"], &error["rows"]), (&"run::would_lose".into(), &1.into()), "{keep}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("IS NULL"), "{error}");
        let value: i64 = stage.database.scalar(&format!("SELECT {new} FROM vehicles WHERE id = 7")).await;
        assert_eq!(value, 3_000_000_000, "{keep}");
        assert_eq!(stage.ends(0, &["status", "big"]).await.stdout.lines().next().unwrap(), "big   contract, waiting");
        // The row gets a value that both have.
        stage.database.execute(&format!("UPDATE vehicles SET {new} = 30 WHERE id = 7")).await;
        let empty: String = stage
            .database
            .scalar("SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = 'vehicles'::regclass AND attname LIKE 'cf\\_%\\_old\\_weight'")
            .await;
        stage.database.execute(&format!("UPDATE vehicles SET {empty} = 30 WHERE id = 7")).await;
        stage.ends(0, &["rollback", "big", "--to", to, "--yes"]).await;
        assert_eq!(stage.database.scalar::<i64>("SELECT weight::bigint FROM vehicles WHERE id = 7").await, 30);
    }
}
