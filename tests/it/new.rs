//! `crossfade new`: whatever the column, the plan that is printed is well formed, says what it should, and can be run.

use std::time::Duration;

use crossfade::plan::{self, Change, Plan};
use crossfade::runner::{Draft, Tool, Wanted};

use crate::harness::{Cli, Database, Output, Terminal, tool};

const FLEET: &str = "
CREATE TYPE fuel AS ENUM ('diesel', 'It''s');
CREATE TYPE engine AS ENUM ('diesel', 'It''s', 'none');
CREATE TABLE t (
  id bigint PRIMARY KEY, word text, number text DEFAULT '0', small text NOT NULL DEFAULT '7', bad_default text DEFAULT 'n/a',
  fuel_text text DEFAULT 'diesel', fuel fuel DEFAULT 'It''s', plate varchar(20), key text, document text, moment text, day text,
  local timestamp DEFAULT now(), zoned timestamptz, epoch bigint, flag boolean NOT NULL DEFAULT false, amount numeric, count integer DEFAULT 5,
  bits text
);
INSERT INTO t SELECT n, 'w', n, n, n, 'diesel', 'diesel', 'P' || n, md5(n::text)::uuid, '{\"a\": 1}', '2027-01-0' || n || ' 22:30:00.5',
  '2027-01-0' || n, '2027-01-01 10:00', '2027-01-01 10:00Z', 1700000000 + n, n = 2, n, n, 'a,b' FROM generate_series(1, 3) AS n;
CREATE INDEX i ON t (number, word);
";

async fn wanted(tool: &Tool, table: &str, wanted: Wanted) -> Draft {
    let outline = tool.outline(None, table).await.unwrap();
    let draft = tool.draft(&outline, &[wanted], &[]).await.unwrap();
    let read = plan::parse("new.yaml", &draft.text).unwrap_or_else(|error| panic!("{}\n{error}", draft.text));
    assert_eq!(read, draft.plan, "{}", draft.text);
    draft
}

fn to_type(column: &str, to: &str) -> Wanted {
    Wanted::to_type(column, to)
}

/// The plan with every line that is commented out, but for sentences.
fn with_everything(text: &str) -> Plan {
    let (head, tail) = text.split_once("# contract:").unwrap_or_else(|| panic!("{text}"));
    let keys = |line: &&str| !line.contains("`crossfade advance`");
    let tail: Vec<_> = tail.lines().filter(keys).map(|line| line.strip_prefix("# ").unwrap_or(line)).collect();
    let all = format!("{head}contract:{}", tail.join("\n"));
    plan::parse("all.yaml", &all).unwrap_or_else(|error| panic!("{all}\n{error}"))
}

/// The plan with a contract that waits for nothing.
fn at_once(text: &str) -> String {
    let now = text.replace("# contract:\n#   quiet: 1h\n#   grace: 7d", "contract: { quiet: 0s, grace: 0s }");
    assert_ne!(now, text);
    now
}

/// Column, type, `using`, `reverse` and `default` of the plan.
const CHANGES: &[(&str, &str, &str, &str, &str)] = &[
    ("number", "integer", "number::integer", "number_v2::text", "0"),
    ("small", "smallint", "small::smallint", "small_v2::text", "7"),
    // A default that does not convert would make an INSERT fail.
    ("bad_default", "numeric(12, 2)", "bad_default::numeric", "bad_default_v2::text", "NULL"),
    ("fuel_text", "fuel", "fuel_text::public.fuel", "fuel_text_v2::text", "'diesel'::public.fuel"),
    ("fuel", "engine", "fuel::text::public.engine", "fuel_v2::text::public.fuel", "'It''s'::public.engine"),
    ("fuel", "text", "fuel::text", "fuel_v2::public.fuel", ""),
    ("plate", "varchar(10)", "", "plate_v2", ""),
    ("key", "uuid", "key::uuid", "key_v2::text", ""),
    ("document", "jsonb", "document::jsonb", "document_v2::text", ""),
    ("local", "timestamptz", "local AT TIME ZONE 'UTC'", "local_v2 AT TIME ZONE 'UTC'", ""),
    ("local", "date", "local::date", "local_v2::timestamp without time zone", ""),
    ("zoned", "date", "(zoned AT TIME ZONE 'UTC')::date", "zoned_v2::timestamp AT TIME ZONE 'UTC'", ""),
    ("epoch", "timestamptz", "to_timestamp(epoch)", "extract(epoch FROM epoch_v2 AT TIME ZONE 'UTC')::bigint", ""),
    ("epoch", "integer", "epoch::integer", "epoch_v2::bigint", ""),
    ("flag", "integer", "flag::integer", "flag_v2::boolean", "0"),
    ("count", "boolean", "count <> 0", "count_v2::integer", "true"),
    ("count", "bigint", "count::bigint", "count_v2::integer", ""),
    ("amount", "numeric(12, 2)", "", "amount_v2", ""),
    ("amount", "text", "amount::text", "amount_v2::numeric", ""),
    ("bits", "text[]", "string_to_array(bits, ',')", "", ""),
    // These PostgreSQL makes in place.
    ("plate", "varchar(40)", "", "", ""),
    ("plate", "text", "", "", ""),
];

#[tokio::test]
async fn a_type_change_gets_expressions_that_fit() {
    let database = Database::new().await;
    database.execute(FLEET).await;
    let tool = tool(&database.url);
    for (column, to, using, reverse, default) in CHANGES {
        let draft = wanted(&tool, "t", to_type(column, to)).await;
        assert_eq!(draft.preview.refusals, [], "{}", draft.text);
        let Change::ChangeType(change) = &draft.plan.changes[0] else { panic!("{}", draft.text) };
        let said = [&change.using, &change.reverse, &change.default].map(|text| text.as_deref().unwrap_or_default());
        assert_eq!(said, [*using, *reverse, *default], "{}", draft.text);
        assert_eq!(draft.preview.in_place, reverse.is_empty() && using.is_empty(), "{}", draft.text);
        if !draft.preview.in_place {
            assert_eq!(with_everything(&draft.text).contract.quiet, Duration::from_hours(1));
        }
    }
}

/// What cannot be cast is spelled out, and comes back as it was.
#[tokio::test]
async fn dates_in_texts_are_read_and_written_whatever_the_session() {
    let database = Database::new().await;
    database.execute(FLEET).await;
    let tool = tool(&database.url);
    for (column, to) in
        [("moment", "timestamptz"), ("moment", "timestamp"), ("day", "date"), ("local", "text"), ("zoned", "text")]
    {
        let draft = wanted(&tool, "t", to_type(column, to)).await;
        assert_eq!(draft.preview.refusals, [], "{}", draft.text);
        let lossy = draft.preview.warnings.iter().find(|finding| finding.code == "catalog::lossy");
        assert_eq!(lossy, None, "{}", draft.text);
    }
    let text = at_once(&wanted(&tool, "t", to_type("moment", "timestamptz")).await.text);
    let plan = plan::parse("new.yaml", &text).unwrap();
    tool.run(&plan, &text, Some(crossfade::phase::Phase::Verify)).await.unwrap();
    database
        .execute("SET timezone = 'Asia/Kathmandu'; UPDATE t SET moment_v2 = '2027-02-03 04:05:06.75Z' WHERE id = 1")
        .await;
    assert_eq!(database.scalar::<String>("SELECT moment FROM t WHERE id = 1").await, "2027-02-03 04:05:06.75");
    database.execute("UPDATE t SET moment = '2027-03-04T05:06:07Z' WHERE id = 2").await;
    tool.run(&plan, &text, None).await.unwrap();
    let moments: String =
        database.scalar("SELECT string_agg((moment AT TIME ZONE 'UTC')::text, ', ' ORDER BY id) FROM t").await;
    assert_eq!(moments, "2027-02-03 04:05:06.75, 2027-03-04 05:06:07, 2027-01-03 22:30:00.5");
}

#[tokio::test]
async fn a_printed_plan_is_run_to_its_end() {
    let database = Database::new().await;
    database.execute(FLEET).await;
    let tool = tool(&database.url);
    let rename = Wanted::Rename { column: "word".to_owned(), to: "New Word".to_owned() };
    for wish in [rename, to_type("number", "integer"), to_type("fuel_text", "fuel")] {
        let draft = wanted(&tool, "t", wish).await;
        let text =
            draft.text.replace("# contract:\n#   quiet: 1h\n#   grace: 7d", "contract: { quiet: 0s, grace: 0s }");
        let plan = plan::parse("new.yaml", &text).unwrap();
        assert_eq!(plan.contract.grace, Duration::ZERO, "{text}");
        tool.run(&plan, &text, None).await.unwrap();
    }
    database.execute("INSERT INTO t (id) VALUES (9)").await;
    let row: String = database
        .scalar("SELECT concat_ws(' ', \"New Word\" IS NULL, number, pg_typeof(number), fuel_text, pg_typeof(fuel_text)) FROM t WHERE id = 9")
        .await;
    assert_eq!(row, "t 0 integer diesel fuel");
    // The next plan on the same column is another one.
    let again = wanted(&tool, "t", to_type("number", "integer")).await;
    assert_eq!(again.plan.name.as_str(), "t-number-to-integer-2");
}

/// Names that mean something to YAML, to SQL or to a terminal.
const HOSTILE: &[&str] = &[
    "select",
    "null",
    "true",
    "1e3",
    "A.b",
    "it's",
    "a\"b",
    "b\"",
    "\"",
    "#x",
    "- x",
    "{a: b}",
    "x: y #",
    "!tag",
    "&a",
    "two\nlines",
    "\u{85}x",
    "\u{2028}x",
    "\u{1b}[2J",
    " x ",
    "%x",
    "näme",
    "列",
    "*/ --",
    "$cf$",
    "\\",
    "1234567890123456789012345678901234567890123456789012345678ééx",
];

#[tokio::test]
async fn hostile_names_survive() {
    let database = Database::new().await;
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns: Vec<_> = HOSTILE.iter().map(|name| format!("{} text", quoted(name))).collect();
    let schema = "Sche.ma \"#\"";
    database
        .execute(&format!(
            "CREATE SCHEMA {0}; CREATE TABLE {0}.{1} (id int PRIMARY KEY, {2}); CREATE INDEX {3} ON {0}.{1} ({3})",
            quoted(schema),
            quoted("Ta: ble\n"),
            columns.join(", "),
            quoted("two\nlines")
        ))
        .await;
    let tool = tool(&database.url);
    let outline = tool.outline(Some(schema), "Ta: ble\n").await.unwrap();
    for name in HOSTILE {
        let new = format!("{}!", &name[..name.char_indices().nth(30).map_or(name.len(), |(at, _)| at)]);
        for wish in [Wanted::Rename { column: (*name).to_owned(), to: new.clone() }, to_type(name, "integer")] {
            let draft = tool.draft(&outline, &[wish], &[]).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            let read = plan::parse("new.yaml", &draft.text).unwrap_or_else(|error| panic!("{}\n{error}", draft.text));
            assert_eq!(read, draft.plan, "{}", draft.text);
            let old = draft.plan.pairs().map(|(_, pair)| pair.old.to_string()).next();
            assert_eq!(old.as_deref(), Some(*name));
            assert_eq!(draft.preview.refusals, [], "{}", draft.text);
            with_everything(&draft.text);
            assert!(!draft.text.contains('\u{1b}'), "{}", draft.text);
        }
    }
}

/// A stage for the command itself.
async fn stage() -> Database {
    let database = Database::new().await;
    database.execute(FLEET).await;
    database
}

async fn says(url: &str, code: i32, args: &[&str]) -> Output {
    let output = Cli::new(url).args(args).run().await;
    assert_eq!(output.code, Some(code), "{args:?}: {}{}", output.stdout, output.stderr);
    output
}

#[tokio::test]
async fn the_plan_is_on_standard_output_and_what_was_found_is_not() {
    let database = stage().await;
    let url = database.url.as_str();
    let output = says(url, 0, &["new", "rename", "t", "word", "term"]).await;
    plan::parse("out.yaml", &output.stdout).unwrap();
    for line in ["table public.t, the first of that name in the search_path", "phases: expand, ", "estimate: 3 rows"] {
        assert!(output.stderr.contains(line) && !output.stdout.contains(line), "{line}: {}", output.stderr);
    }
    assert_eq!(says(url, 0, &["new", "rename", "public.t", "word", "term", "-q"]).await.stderr, "");
    // Words of a type need no quotes.
    let output =
        says(url, 0, &["new", "type", "t.epoch", "timestamp", "with", "time", "zone", "--format", "json"]).await;
    let value: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(value["plan"]["changes"][0]["change_type"]["to"], "timestamp with time zone");
    plan::parse("json.yaml", value["text"].as_str().unwrap()).unwrap();
    // What rules the plan out is said, and the plan is printed all the same, with what may be done.
    database.execute("UPDATE t SET number = 'n/a' WHERE id = 1").await;
    let output = says(url, 4, &["new", "type", "t.number", "integer"]).await;
    assert!(output.stderr.contains("refused[catalog::does_not_convert]: in 1 row"), "{}", output.stderr);
    let using = "# using: CASE WHEN btrim(number) ~ '^[+-]?[0-9]{1,9}$' THEN btrim(number)::integer END";
    assert!(output.stdout.contains(using) && output.stdout.contains("# on_error: leave"), "{}", output.stdout);
    let mended = output.stdout.replace("      using: ", "      # ").replace(using, &using[2..]);
    assert_eq!(wanted_of(&database, &mended).await, 0, "{mended}");
}

/// How many refusals a plan has.
async fn wanted_of(database: &Database, text: &str) -> usize {
    let plan = plan::parse("mended.yaml", text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    tool(&database.url).preview(&plan).await.unwrap().refusals.len()
}

#[tokio::test]
async fn a_file_is_written_and_never_replaced_unasked() {
    let database = stage().await;
    let url = database.url.as_str();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a plan.yaml");
    let file = file.to_str().unwrap();
    let output = says(url, 0, &["new", "rename", "t", "word", "term", "-o", file]).await;
    assert_eq!(output.stdout, "");
    assert!(output.stderr.contains(&format!("The plan is in '{file}'. ")), "{}", output.stderr);
    let first = std::fs::read_to_string(file).unwrap();
    says("", 0, &["check", file]).await;
    let output = says(url, 2, &["new", "rename", "t", "word", "other", "-o", file]).await;
    assert!(output.stderr.contains("is there already") && output.stderr.contains("--force"), "{}", output.stderr);
    assert_eq!(std::fs::read_to_string(file).unwrap(), first);
    let output = says(url, 0, &["new", "rename", "t", "word", "other", "-o", file, "--force"]).await;
    assert!(output.stderr.contains("was there, and was replaced"), "{}", output.stderr);
    assert!(std::fs::read_to_string(file).unwrap().contains("to: other"));
    says(url, 2, &["new", "rename", "t", "word", "other", "-o", "/there/is/no/such/folder.yaml"]).await;
}

#[tokio::test]
async fn what_is_not_there_is_said_with_what_may_have_been_meant() {
    let database = stage().await;
    database.execute("CREATE SCHEMA app; CREATE TABLE app.t (word text); CREATE TYPE app.mood AS ENUM ('a'); CREATE VIEW v AS SELECT 1").await;
    let url = database.url.as_str();
    for (args, message, help) in [
        (
            &["new", "rename", "public.tt", "a", "b"][..],
            "there is no table \"tt\" in schema \"public\"",
            "did you mean public.t?",
        ),
        (
            &["new", "rename", "T", "a", "b"],
            "there is no table \"T\" in the search_path (public)",
            "did you mean public.t?",
        ),
        (&["new", "rename", "t", "wrod", "b"], "public.t has no column \"wrod\"", "did you mean word?"),
        (&["new", "type", "t.wrod", "int"], "public.t has no column \"wrod\"", "did you mean word?"),
        (&["new", "type", "t.word", "mod"], "there is no type \"mod\"", "did you mean app.mood?"),
        (&["new", "type", "word", "int"], "`word` is no TABLE.COLUMN", "write SCHEMA.TABLE.COLUMN"),
        (&["new", "rename", "t", "word", "word"], "`word` is renamed to itself", ""),
        (&["new", "rename", "t", "word", ""], "a name cannot be empty", ""),
        (&["new", "rename", "t", "word"], "a table, a column and its new name are needed", "crossfade new rename"),
        (&["new", "type"], "a column and its new type are needed", "crossfade new type"),
        (&["new"], "which change?", "crossfade new rename"),
    ] {
        let output = says(url, 2, args).await;
        assert!(output.stderr.contains(message) && output.stderr.contains(help), "{args:?}: {}", output.stderr);
        assert_eq!(output.stdout, "", "{args:?}");
    }
    // A name without a schema is looked for where PostgreSQL does.
    let there = format!("{url}?options=-csearch_path%3Dapp");
    let output = says(&there, 0, &["new", "rename", "t", "word", "term"]).await;
    assert!(
        output.stdout.contains("table: app.t") && output.stderr.contains("table app.t, the first"),
        "{}",
        output.stdout
    );
    let output = says(url, 4, &["new", "rename", "v", "?column?", "one"]).await;
    assert!(output.stderr.contains("public.v is a view"), "{}", output.stderr);
}

#[tokio::test]
async fn at_a_terminal_it_asks_for_what_was_not_given() {
    let database = stage().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.yaml");
    let mut terminal = Terminal::shell(
        &database.url,
        &format!("{} 2>/dev/tty >{}", Terminal::command(&["new", "--no-color"]), file.display()),
    );
    terminal.shows("Number or name: ").await;
    terminal.types("2\n").await;
    terminal.shows("Which table?").await;
    terminal.shows("  1 public.t\r\n").await;
    terminal.types("nothing\n").await;
    terminal.shows("there is no table \"nothing\"").await;
    terminal.types("t\n").await;
    terminal.shows("Which column of public.t?").await;
    terminal.shows("epoch        bigint").await;
    terminal.types("epcoh\n").await;
    terminal.shows("did you mean epoch?").await;
    terminal.types("epoch\n").await;
    terminal.shows("New type of epoch (bigint): ").await;
    terminal.types("\n").await;
    terminal.shows("(bigint): \r\nNew type of epoch (bigint): ").await;
    terminal.types("timestamptz\n").await;
    let (code, shown) = terminal.ends().await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.lines().all(|line| line.trim_end().chars().count() <= 80), "{shown}");
    let plan = plan::parse("plan.yaml", &std::fs::read_to_string(&file).unwrap()).unwrap();
    assert!(matches!(&plan.changes[0], Change::ChangeType(change) if change.column.as_str() == "epoch"));
    // What stands on the terminal is in no file; partitions and the ledger are not offered.
    let more = "CREATE TABLE parted (a int) PARTITION BY RANGE (a); CREATE TABLE parted_1 PARTITION OF parted DEFAULT";
    database.execute(more).await;
    let other = folder.path().join("other.yaml");
    let text = "version: 1\nname: other\ntable: t\nchanges: [{ add_column: { name: other, type: text } }]\n";
    std::fs::write(&other, text).unwrap();
    let output = Cli::new(&database.url).args(["run", other.to_str().unwrap()]).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    let mut terminal = Terminal::run(&database.url, &["new", "rename", "--no-color"]);
    for (question, answer) in
        [("Number or name: ", "t\n"), ("of public.t?", "epoch\n"), ("New name of epoch: ", "instant\n")]
    {
        terminal.shows(question).await;
        terminal.types(answer).await;
    }
    let (code, shown) = terminal.ends().await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(
        shown.contains("public.parted\r\n") && !shown.contains("parted_1") && !shown.contains("crossfade.run\r\n"),
        "{shown}"
    );
    assert!(shown.contains("crossfade new rename public.t epoch instant -o t-epoch-to-instant.yaml"), "{shown}");
    // The end of the input, and Ctrl-C, end it.
    for (keys, code) in [("\u{4}", 2), ("\u{3}", 130)] {
        let mut terminal = Terminal::run(&database.url, &["new", "rename", "t"]);
        terminal.shows("Number or name: ").await;
        terminal.types(keys).await;
        let (ended, shown) = terminal.ends().await;
        assert_eq!(ended, Some(code), "{shown}");
    }
}
