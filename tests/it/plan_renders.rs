//! A plan from standard input, and the dry run in a few lines and as a comment on a pull request.

use crate::harness::{Cli, Database, Output, Terminal};

const PLAN: &str = "version: 1\nname: p\ntable: public.t\nchanges: [{ rename_column: { from: a, to: b } }]\n";

async fn stage() -> Database {
    let database = Database::new().await;
    database
        .execute("CREATE TABLE t (id int PRIMARY KEY, a text DEFAULT 'x'); INSERT INTO t SELECT n, 'y' FROM generate_series(1, 50) n; CREATE INDEX i ON t (a)")
        .await;
    database
}

async fn says(url: &str, code: i32, args: &[&str], input: &str) -> Output {
    let output = Cli::new(url).args(args).input(input).run().await;
    assert_eq!(output.code, Some(code), "{args:?}: {}{}", output.stdout, output.stderr);
    output
}

#[tokio::test]
async fn a_plan_is_read_from_standard_input() {
    let database = stage().await;
    let url = database.url.as_str();
    assert_eq!(says("", 0, &["check", "-"], PLAN).await.stdout, "ok standard input: rename column a to b (public.t)\n");
    let wrong = PLAN.replace("from: a", "form: a");
    for command in ["check", "plan", "run", "start"] {
        let error = says(url, 3, &[command, "-"], &wrong).await.stderr;
        assert!(error.starts_with("standard input:4:") && error.contains("did you mean `from`?"), "{error}");
    }
    let error = says("", 3, &["check", "-", "--format", "json"], "").await.stdout;
    assert!(error.contains("\"file\": \"standard input\""), "{error}");
    assert!(says(url, 0, &["plan", "-"], PLAN).await.stdout.starts_with("Plan p on public.t, 50 rows\n"));
    // A run keeps the text, so that nobody needs the file again.
    says(url, 0, &["run", "-", "--to", "verify"], PLAN).await;
    let text: String = database.scalar("SELECT plan_text FROM crossfade.run").await;
    assert_eq!(text, PLAN);
    let summary = says(url, 0, &["plan", "-", "--summary"], PLAN).await.stdout;
    assert!(summary.contains("  run: waiting, in verify since ") || summary.contains("in switch since"), "{summary}");
    // A file of that name has a path.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("-"), PLAN.replace("name: p", "name: q")).unwrap();
    let output = Cli::new("").args(["check", "./-"]).folder(folder.path()).input(PLAN).run().await;
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "ok ./-: rename column a to b (public.t)\n"));
}

#[tokio::test]
async fn a_terminal_that_says_nothing_can_be_left() {
    // What is typed is shown before the tool runs, and a signal from then would be nobody's.
    let mut terminal = Terminal::shell("", &format!("echo begins; exec {}", Terminal::command(&["check", "-"])));
    terminal.shows("begins\r\n").await;
    terminal.types("version: 1\n").await;
    terminal.shows("version: 1\r\n").await;
    terminal.types("\u{3}").await;
    let (code, shown) = terminal.ends().await;
    assert_eq!(code, Some(130), "{shown}");
}

#[tokio::test]
async fn a_summary_has_a_line_for_each_thing() {
    let database = stage().await;
    let url = database.url.as_str();
    let summary = says(url, 0, &["plan", "-", "--summary"], PLAN).await.stdout;
    let begins = [
        "Plan p on public.t",
        "  rename column a to b",
        "  warning[catalog::positions]: ",
        "  phases: expand, index, backfill, verify, switch, contract",
        "  strongest lock ACCESS EXCLUSIVE: reads and writes wait, for milliseconds",
        "  estimate: 50 rows to fill in less than 1 s, ",
        "  Point of no return: contract.drop (",
        "  A run stops before it unless it is told --yes.",
        "  Until then, crossfade rollback undoes everything",
        "Nothing was changed. The steps: crossfade plan -",
    ];
    // Roles of other tests are those of the whole server.
    let lines: Vec<_> = summary.lines().filter(|line| !line.contains("[catalog::lock_timeout]")).collect();
    assert_eq!(lines.len(), begins.len(), "{summary}");
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{begin}: {summary}");
    }
    let refused = says(url, 4, &["plan", "-", "--summary"], &PLAN.replace("from: a", "from: aa")).await.stdout;
    assert!(refused.contains("  refused[catalog::column_missing]: public.t has no column \"aa\"\n"), "{refused}");
    assert!(!refused.contains("phases:"), "{refused}");
    says(url, 2, &["plan", "-", "--summary", "--format", "json"], PLAN).await;
    says(url, 2, &["plan", "--all", ".", "--format", "markdown"], "").await;
}

/// Returns what stands outside fences, line by line, and how many fences there are.
fn outside(markdown: &str) -> (Vec<&str>, usize) {
    let (mut lines, mut fence, mut fences) = (Vec::new(), None, 0);
    for line in markdown.lines() {
        let ticks = line.len() - line.trim_start_matches('`').len();
        match fence {
            Some(open) if ticks >= open && line.len() == ticks => fence = None,
            Some(_) => {}
            None if ticks >= 3 => {
                fence = Some(ticks);
                fences += 1;
            }
            None => lines.push(line),
        }
    }
    assert_eq!(fence, None, "{markdown}");
    (lines, fences)
}

#[tokio::test]
async fn a_comment_on_a_pull_request_holds_what_the_plan_does() {
    let database = stage().await;
    let markdown = says(&database.url, 0, &["plan", "-", "--format", "markdown"], PLAN).await.stdout;
    let (lines, fences) = outside(&markdown);
    for line in [
        "## Plan p on public.t",
        "- rename column a to b",
        "Nothing rules this plan out. Nothing was changed.",
        "### Warnings",
        "### Cost",
        "### Steps",
        "| phase | step | lock | time |",
        "|  | keep the retired column for the grace period | no lock | only waits |",
        "<details>",
        "</details>",
    ] {
        assert!(lines.contains(&line), "{line}: {markdown}");
    }
    assert!(fences > 8 && markdown.contains("ALTER TABLE \"public\".\"t\" ADD COLUMN \"b\" text\n"), "{markdown}");
    let refused =
        says(&database.url, 4, &["plan", "-", "--format", "markdown"], &PLAN.replace("from: a", "from: aa")).await;
    assert!(refused.stdout.contains("**This plan cannot be run as it is.**"), "{}", refused.stdout);
    assert!(
        refused.stdout.contains("- `catalog::column\\_missing`")
            || refused.stdout.contains("- `catalog::column_missing`: public.t has no column \"aa\"."),
        "{}",
        refused.stdout
    );
}

/// Lines of SQL end where white space stands outside of quotes, and what no terminal shows is written with escapes.
#[tokio::test]
async fn sql_on_a_terminal_can_be_copied_and_run() {
    let database = Database::new().await;
    database.execute("CREATE TABLE \"a  table\" (id int PRIMARY KEY, \"a  long name of a column\" text)").await;
    let check = "\"a  long name of a column\" <> 'it''s  a text with  white space, longer than a line of a terminal, by far\n and two lines \\'";
    let plan = serde_json::json!({
        "version": 1, "name": "p", "table": "public.a  table",
        "changes": [{ "add_constraint": { "name": "c", "check": check } }],
    });
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), plan.to_string()).unwrap();
    let (_, shown) = Terminal::run(&database.url, &["plan", file.path().to_str().unwrap()]).ends().await;
    // Only what stands around the SQL is dimmed.
    let is_sql = |line: &&str| line.starts_with("      ") && !line.contains('\u{1b}');
    let sql: Vec<_> = shown.lines().filter(is_sql).map(|line| line.trim_end_matches('\r')).collect();
    let wide: Vec<_> = sql.iter().filter(|line| line.chars().count() >= 80).collect();
    assert!(wide.len() == 1 && wide[0].trim_start().starts_with("E'it''s  a text"), "{shown}");
    database.execute(&sql.join("\n")).await;
    database.execute(&format!("ALTER TABLE \"a  table\" ADD CONSTRAINT d CHECK ({check})")).await;
    let same = "SELECT count(*) = 2 AND count(DISTINCT pg_get_constraintdef(oid)) = 1 FROM pg_constraint WHERE conname IN ('c', 'd') AND convalidated";
    assert!(database.scalar::<bool>(same).await, "{shown}");
}

/// Neither names nor SQL end what they stand in.
#[tokio::test]
async fn no_name_breaks_out_of_a_comment() {
    let database = Database::new().await;
    let name = "</details>|@all [x](y) ![z](w)\n## `````` <b>";
    let other = "<script>#1 *b* $x$ https://e.org";
    database
        .execute(&format!(
            "CREATE TABLE \"| t\n<i>\" (id int PRIMARY KEY, \"{name}\" text DEFAULT '```\n</details>'); INSERT INTO \"| t\n<i>\" VALUES (1);
             CREATE INDEX \"{other}\" ON \"| t\n<i>\" (\"{name}\")"
        ))
        .await;
    let plan = serde_json::json!({
        "version": 1, "name": "p", "table": "public.| t\n<i>",
        "changes": [{ "rename_column": { "from": name, "to": other } }],
    });
    let markdown = says(&database.url, 0, &["plan", "-", "--format", "markdown"], &plan.to_string()).await.stdout;
    let (lines, _) = outside(&markdown);
    let ours = ["<details>", "<summary>SQL</summary>", "</details>"];
    for line in lines {
        if ours.contains(&line) {
            continue;
        }
        let line = line.replace("@<!-- -->", "");
        let mut escaped = false;
        let unescaped: String = line
            .chars()
            .filter(|c| {
                let shown = !escaped;
                escaped = *c == '\\' && !escaped;
                shown && *c != '\\'
            })
            .collect();
        assert!(!unescaped.contains(['<', '>', '[', ']', '$', '~']) && !unescaped.contains("s://"), "{line}");
        assert!(!unescaped.contains('@') && (unescaped.starts_with('#') || !unescaped.contains('#')), "{line}");
        let cells = unescaped.matches('|').count();
        assert!(cells == 0 || cells == 5, "{line}");
    }
    assert_eq!(markdown.lines().filter(|line| *line == "</details>").count(), 1, "{markdown}");
}
