//! What somebody reads who has never seen the tool: each sentence is true, and is said once.

use crossfade::testkit::fleet;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Cli, Database, Output, Terminal};

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
        std::fs::write(file.path(), format!("version: 1\nname: p\ntable: public.vehicles\n{plan}")).unwrap();
        Self { database, file }
    }

    async fn says(&self, code: i32, args: &[&str]) -> Output {
        let output = Cli::new(&self.database.url).args(args).run().await;
        assert_eq!(output.code, Some(code), "{args:?}: {}{}", output.stdout, output.stderr);
        output
    }

    fn plan(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    /// Runs the tool at a terminal, types something else than the name, and returns what is said then.
    async fn declined(&self, args: &[&str]) -> String {
        let mut terminal = Terminal::run(&self.database.url, args);
        terminal.shows("type the name of the plan (p): ").await;
        terminal.types("no\n").await;
        let (code, shown) = terminal.ends().await;
        assert_eq!(code, Some(5), "{shown}");
        let (_, answer) = shown.rsplit_once("(p): ").unwrap();
        // Wherever the lines end.
        answer.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Who has just read what would be dropped does not read it again.
#[tokio::test]
async fn a_wrong_answer_is_answered_in_one_line() {
    let stage =
        Stage::new("changes: [{ rename_column: { from: status, to: state } }]\ncontract: { grace: 0s, quiet: 0s }\n")
            .await;
    let run = stage.declined(&["run", "--no-color", stage.plan()]).await;
    let rollback = stage.declined(&["rollback", "--no-color", "p"]).await;
    for shown in [&run, &rollback] {
        assert!(shown.contains("that is not the name, so nothing was dropped"), "{shown}");
    }
    assert!(!run.contains("drop the old column"), "{run}");
    assert!(run.contains("crossfade rollback p"), "{run}");
    assert!(!rollback.contains("DROP COLUMN"), "{rollback}");
    assert!(rollback.contains("crossfade rollback p --yes"), "{rollback}");
    // Nobody is asked here, so all of it is said.
    let piped = stage.says(5, &["rollback", "p"]).await.stderr;
    assert!(piped.contains("DROP COLUMN") && !piped.contains("that is not the name"), "{piped}");
}

/// A run that fills nothing is not at 0 %, and its rollback exchanges no names.
#[tokio::test]
async fn a_run_without_a_backfill_has_no_percentage() {
    let stage = Stage::new("changes: [{ add_index: { name: i, columns: [depot_id] } }]\n").await;
    stage.says(0, &["run", stage.plan()]).await;
    for args in [&["status"][..], &["status", "p"]] {
        let shown = stage.says(0, args).await.stdout;
        assert!(!shown.contains('%'), "{shown}");
    }
    let asked = stage.says(5, &["rollback", "p"]).await.stderr;
    assert!(asked.contains("it drops what the run has made, by: DROP INDEX"), "{asked}");
}

/// One problem is one refusal, and rows that were not counted are not called 0 rows.
#[tokio::test]
async fn a_refusal_is_said_once_and_no_rows_are_made_up() {
    let stage = Stage::new(
        "changes:\n  - rename_column: { from: status, to: fuel }\n  - add_column: { name: weight, type: int }\n",
    )
    .await;
    let shown = stage.says(4, &["plan", stage.plan()]).await.stdout;
    assert_eq!(shown.matches("refused[").count(), 2, "{shown}");
    assert!(shown.contains("Plan p on public.vehicles\n") && !shown.contains("0 rows"), "{shown}");
    assert!(!shown.contains("crossfade_"), "{shown}");
}

/// Advice that was taken already is no advice.
#[tokio::test]
async fn rows_that_do_not_convert_are_listed_as_people_write_keys() {
    let change = |more: &str| {
        format!(
            "changes: [{{ change_type: {{ column: odometer, to: integer, reverse: \"v::text\", via: v{more} }} }}]\n"
        )
    };
    let stage = Stage::new(&change("")).await;
    let mut connection = PgConnection::connect(&stage.database.url).await.unwrap();
    sqlx::raw_sql("UPDATE vehicles SET odometer = CASE WHEN id <= 7 THEN 'x' ELSE '1' END")
        .execute(&mut connection)
        .await
        .unwrap();
    let said =
        "in 7 rows the value of column odometer does not convert: id = 1; id = 2; id = 3; id = 4; id = 5; and 2 more";
    let shown = stage.says(4, &["plan", stage.plan()]).await.stdout;
    assert!(shown.contains(said) && shown.contains("or set `on_error: leave`"), "{shown}");
    std::fs::write(
        stage.file.path(),
        format!("version: 1\nname: p\ntable: public.vehicles\n{}", change(", on_error: leave")),
    )
    .unwrap();
    let shown = stage.says(0, &["plan", stage.plan()]).await.stdout;
    assert!(shown.contains(said) && !shown.contains("or set `on_error: leave`"), "{shown}");
}
