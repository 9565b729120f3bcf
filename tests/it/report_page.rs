//! `crossfade report`: a page that is whole in itself, true at every stage of a run, and harmless whatever it shows.

use std::collections::BTreeMap;

use html5gum::{Token, Tokenizer};
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::harness::{Cli, Database, Output, PATIENCE, wait_for};

/// No page may be larger.
const MOST: usize = 300_000;
/// Elements that have no end.
const VOID: [&str; 3] = ["meta", "br", "input"];

/// A page as a browser reads it.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The text of the elements that have an id, by it.
    by_id: BTreeMap<String, String>,
    /// All text.
    pub(crate) text: String,
    /// Where links lead to.
    pub(crate) links: Vec<String>,
    /// How many tables there are.
    tables: u32,
    /// Where forms go to.
    pub(crate) forms: Vec<String>,
}

impl Page {
    /// Reads a page that only shows.
    ///
    /// # Panics
    /// When it is not well-formed, loads or sends anything, or could run anything.
    pub(crate) fn read(html: &str) -> Self {
        let page = Self::read_with_forms(html);
        assert!(page.forms.is_empty() && html.contains("form-action 'none'"), "{html}");
        page
    }

    /// Reads a page.
    ///
    /// # Panics
    /// When it is not well-formed, loads anything, or could run anything.
    pub(crate) fn read_with_forms(html: &str) -> Self {
        assert!(html.len() < MOST, "{} bytes", html.len());
        let mut page = Self::default();
        // The open elements, each with its id.
        let mut open: Vec<(String, Option<String>)> = Vec::new();
        let mut tables = (0, 0);
        for token in Tokenizer::new(html) {
            let Ok(token) = token;
            match token {
                Token::StartTag(tag) => {
                    let name = String::from_utf8(tag.name.to_vec()).unwrap();
                    assert!(!["script", "img", "iframe", "object", "link", "base"].contains(&name.as_str()), "{name}");
                    tables = (tables.0 + u32::from(name == "table"), tables.1 + u32::from(name == "caption"));
                    let mut id = None;
                    for (key, value) in tag.attributes {
                        let (key, value) =
                            (String::from_utf8(key.to_vec()).unwrap(), String::from_utf8(value.to_vec()).unwrap());
                        assert!(
                            !key.starts_with("on") && !["src", "style", "xmlns"].contains(&key.as_str()),
                            "{name} {key}"
                        );
                        assert!(
                            !value.contains("//") || ["aria-label"].contains(&key.as_str()),
                            "{name} {key}={value}"
                        );
                        if key == "href" {
                            assert!(name == "a" && !value.contains(':'), "{name} {value}");
                            page.links.push(value.clone());
                        }
                        if key == "action" {
                            assert!(!value.contains(':') && !value.starts_with('/'), "{name} {value}");
                            page.forms.push(value.clone());
                        }
                        if key == "id" {
                            id = Some(value);
                        }
                    }
                    if !VOID.contains(&name.as_str()) {
                        open.push((name, id));
                    }
                }
                Token::EndTag(tag) => {
                    let name = String::from_utf8(tag.name.to_vec()).unwrap();
                    let (opened, _) = open.pop().unwrap_or_else(|| panic!("</{name}> ends nothing"));
                    assert_eq!(opened, name, "wrongly nested");
                }
                Token::String(text) => {
                    let text = String::from_utf8(text.to_vec()).unwrap();
                    if open.iter().any(|(name, _)| name == "style") {
                        assert!(!text.contains("url(") && !text.contains("@import") && !text.contains("//"));
                        continue;
                    }
                    page.text += &text;
                    for id in open.iter().filter_map(|(_, id)| id.as_ref()) {
                        *page.by_id.entry(id.clone()).or_default() += &text;
                    }
                }
                Token::Doctype(doctype) => assert_eq!(doctype.name.to_vec(), b"html"),
                Token::Comment(comment) => panic!("a comment: {comment:?}"),
                Token::Error(error) => panic!("{error:?}"),
            }
        }
        assert!(open.is_empty(), "not closed: {open:?}");
        assert_eq!(tables.0, tables.1, "each table has a caption");
        page.tables = tables.0;
        assert!(html.contains("default-src 'none'") || html.contains("default-src &#39;none&#39;"));
        page.text = page.text.split_whitespace().collect::<Vec<_>>().join(" ");
        page
    }

    pub(crate) fn says(&self, what: &str) -> bool {
        self.text.contains(what)
    }

    /// The digits in the element of this id, up to what is no number any more.
    fn number(&self, id: &str) -> Option<i64> {
        let text = self.by_id.get(id)?;
        let digits: String =
            text.chars().take_while(|c| c.is_ascii_digit() || *c == ',').filter(char::is_ascii_digit).collect();
        digits.parse().ok()
    }

    /// The page says of the run what `status` says.
    fn agrees_with(&self, status: &Value) {
        let state = status["state"].as_str().unwrap().replace('_', " ");
        assert!(self.by_id["state"].ends_with(&state), "{} {state}", self.by_id["state"]);
        let over = ["done", "rolled back"].contains(&state.as_str());
        if !over {
            assert_eq!(self.by_id["phase"], status["phase"].as_str().unwrap());
        }
        if !status["rows_percent"].is_null() && self.by_id.contains_key("rows-done") {
            for (id, key) in
                [("rows-done", "rows_done"), ("rows-total", "rows_total"), ("rows-percent", "rows_percent")]
            {
                assert_eq!(self.number(id), status[key].as_i64(), "{id}");
            }
        }
        for (id, key) in [
            ("old-writes", "old_column_write_seconds"),
            ("new-writes", "new_column_write_seconds"),
            ("conflicts", "conflicts"),
        ] {
            if self.by_id.contains_key(id) {
                assert_eq!(self.number(id), status[key].as_i64(), "{id}");
            }
        }
        if let Some(mismatches) = status["mismatches"].as_i64() {
            let counted = ["empty", "different", "unconverted"].map(|id| self.number(id).unwrap());
            assert_eq!(counted.iter().sum::<i64>(), mismatches);
        }
        assert_eq!(self.by_id["head"], status["head"].as_str().unwrap());
    }
}

/// A database with a table of 2000 rows, and a plan's file.
struct Stage {
    database: Database,
    plan: tempfile::NamedTempFile,
    name: String,
}

impl Stage {
    async fn new(rows: u32) -> Self {
        let database = Database::new().await;
        let table = format!(
            "CREATE TABLE vehicles (id bigint PRIMARY KEY, status text, weight int);
             INSERT INTO vehicles SELECT i, 's' || i, i - 1 FROM generate_series(1, {rows}) AS i;
             CREATE INDEX vehicles_status ON vehicles (status); ANALYZE vehicles"
        );
        database.execute(&table).await;
        let plan = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        Self { database, plan, name: String::new() }
    }

    /// Writes the plan's file.
    fn plan(&mut self, name: &str, rest: &str) -> &str {
        name.clone_into(&mut self.name);
        std::fs::write(self.plan.path(), format!("version: 1\nname: {name}\n{rest}")).unwrap();
        self.plan.path().to_str().unwrap()
    }

    async fn ends(&self, code: i32, args: &[&str]) -> Output {
        let output = Cli::new(&self.database.url).args(args).run().await;
        assert_eq!(output.code, Some(code), "{args:?}: {output:#?}");
        output
    }

    /// Writes the report, and compares it with `status` where nothing happens between the two.
    async fn report(&self) -> Page {
        let page = Page::read(&self.ends(0, &["report", &self.name, "-o", "-"]).await.stdout);
        assert!(page.tables > 5 && page.links.is_empty(), "{:?}", page.links);
        page
    }

    async fn report_like_status(&self) -> Page {
        let status = self.ends(0, &["status", &self.name, "--format", "json"]).await.stdout;
        let page = self.report().await;
        page.agrees_with(&serde_json::from_str(&status).unwrap());
        page
    }
}

const RENAME: &str = "\
table: vehicles
changes:
  - rename_column: { from: status, to: vehicle_status } # <script>alert(1)</script>
contract: { grace: 0s, quiet: 0s }
approve: [switch]
approval: { self: true }
backfill: { max_rows_per_second: 5000, goal_latency: 10s }
throttle: { probe: { sql: SELECT waiting FROM queue, limit: 10 } }
";

#[tokio::test]
async fn a_report_is_true_at_every_stage_of_a_run() {
    let mut stage = Stage::new(12_000).await;
    stage.database.execute("CREATE TABLE queue (waiting int); INSERT INTO queue VALUES (0)").await;
    let plan = stage.plan("rename", RENAME).to_owned();
    stage.ends(0, &["start", &plan]).await;
    // It has just begun.
    let page = stage.report_like_status().await;
    for what in [
        "The backfill has not begun",
        "The rows have not been compared yet",
        "All rows were compared and are equal… open",
        "Every phase that needs an approval was approved… open",
        "# <script>alert(1)</script>",
        "public.vehiclesbefore",
        "Not measured. The latency probe runs",
        "not known yet",
    ] {
        assert!(page.says(what), "{what}: {}", page.text);
    }
    // Its backfill stands still.
    let running = Cli::new(&stage.database.url).args(["run", &plan, "--yes"]).spawn();
    let filled = "SELECT COALESCE((SELECT max(rows) FROM crossfade.backfill_sample), 0)";
    wait_for("some rows", PATIENCE, async || stage.database.scalar::<i64>(filled).await > 100).await;
    stage.database.execute("UPDATE queue SET waiting = 77").await;
    let held = "SELECT held_by IS NOT NULL AND EXISTS (SELECT FROM crossfade.hold) FROM crossfade.backfill";
    wait_for("a hold", PATIENCE, async || stage.database.scalar::<bool>(held).await || stage.report().await.says("77"))
        .await;
    wait_for("the page to say so", PATIENCE, async || {
        stage.report().await.says("Waits for probe to fall to 7: it is 77, above 10, since ")
    })
    .await;
    let page = stage.report().await;
    assert!(page.by_id["state"].ends_with("running") && page.says("Worked on by"), "{}", page.text);
    assert!(page.number("rows-done").unwrap() < 12_000);
    stage.database.execute("UPDATE queue SET waiting = 0").await;
    let output = running.wait(PATIENCE).await;
    assert_eq!(output.code, Some(5), "{output:#?}");
    // It waits for an approval.
    let page = stage.report_like_status().await;
    for what in ["Waits for the approval of switch", "approved✗ closed", "12,000 rows filled", "probe query"] {
        assert!(page.says(what), "{what}: {}", page.text);
    }
    assert!(page.number("latency-probes").unwrap() > 5, "{:?}", page.by_id);
    assert_eq!(page.number("rows-compared"), Some(12_000));
    let sample = stage.database.scalar::<i64>("SELECT max(rows) FROM crossfade.backfill_sample").await;
    assert_eq!(sample, 12_000);
    stage.ends(0, &["approve", "rename", "switch", "--as", "ann \"&<b>", "--comment", "a\n<i>b"]).await;
    stage.ends(0, &["run", &plan, "--yes"]).await;
    // It is done.
    let page = stage.report_like_status().await;
    for what in [
        "All phases are done✓ pass6 of 6 phases",
        "Every row is filled✓ pass12,000 rows filled",
        "All rows were compared and are equal✓ pass12,000 rows compared",
        "Nine of ten latency probes stayed below the goal✓ pass",
        "Every phase that needs an approval was approved✓ passswitch",
        "The log is what was recorded✓ passthe hashes of all",
        "switch was approved by ann \"&<b>: a\\n<i>b",
        "ALTER TABLE \"public\".\"vehicles\" RENAME COLUMN",
    ] {
        assert!(page.says(what), "{what}: {}", page.text);
    }
    assert!(!page.says("Gates in front of"), "{}", page.text);
    let counts = "SELECT string_agg(concat_ws(' ', moment, columns, indexes, constraints, triggers), ', ' ORDER BY at) FROM crossfade.object_count";
    assert_eq!(stage.database.scalar::<String>(counts).await, "before 3 2 1 0, after 3 2 1 0");
    assert_eq!(page.text.matches("public.vehiclesafter").count(), 1);
    // Whoever changes the log is found out.
    stage.database.execute("ALTER TABLE crossfade.event DISABLE TRIGGER append_only; UPDATE crossfade.event SET os_user = 'x' WHERE seq = 3").await;
    assert!(stage.report().await.says("The log is what was recorded✗ failentry 3 is not what was recorded"));
}

#[tokio::test]
async fn a_report_of_a_run_that_failed_or_fills_nothing_says_so() {
    let mut stage = Stage::new(100).await;
    let plan = stage
        .plan("checked", "table: vehicles\nchanges:\n  - add_constraint: { name: heavy, check: 'weight < 50' }\n")
        .to_owned();
    let output = Cli::new(&stage.database.url).args(["run", &plan]).run().await;
    assert_ne!(output.code, Some(0), "{output:#?}");
    let page = stage.report_like_status().await;
    assert!(page.by_id["state"].ends_with("failed") && page.says("Failed: "), "{}", page.text);
    assert!(page.says("This plan fills no rows") && page.says("All phases are done✗ fail"), "{}", page.text);
    stage.ends(0, &["rollback", "checked", "--yes"]).await;
    let page = stage.report_like_status().await;
    assert!(page.says("All phases are done✗ failthe run was rolled back") && page.says("taken back"), "{}", page.text);
    assert!(page.says("Taken back by:ALTER TABLE"), "{}", page.text);

    let plan = stage
        .plan("indexed", "table: vehicles\nchanges:\n  - add_index: { name: by_weight, columns: [weight] }\n")
        .to_owned();
    stage.ends(0, &["run", &plan]).await;
    let page = stage.report_like_status().await;
    assert!(page.says("All phases are done✓ pass") && page.says("no two columns to compare"), "{}", page.text);
    assert!(!page.says("Every row is filled"), "{}", page.text);
    assert!(page.says("CREATE INDEX CONCURRENTLY"), "{}", page.text);
}

#[tokio::test]
async fn a_long_history_and_hostile_names_make_no_page_larger_or_worse() {
    let mut stage = Stage::new(10).await;
    let long = format!("\u{202e}'\"<script>&amp;//x{}", "é".repeat(20));
    let quoted = long.replace('"', "\"\"");
    let table = format!(
        "ALTER TABLE vehicles RENAME TO \"{quoted}\"; ALTER TABLE \"{quoted}\" RENAME COLUMN status TO \"{quoted}\""
    );
    stage.database.execute(&table).await;
    let yaml = long.replace('\\', "\\\\").replace('"', "\\\"");
    let comment = "# \"<&>\" https://example.com/x.js url(x)\n".repeat(700);
    let rest = format!(
        "table: \"{yaml}\"\nchanges:\n  - rename_column: {{ from: \"{yaml}\", to: \"<style>&//\" }}\n\
         approve: [switch, contract]\napproval: {{ self: true }}\ncontract: {{ grace: 0s, quiet: 0s }}\n{comment}"
    );
    let plan = stage.plan("long", &rest).to_owned();
    stage.ends(0, &["start", &plan]).await;
    let history = "DO $do$
        DECLARE said text := repeat(E'\"<&>''\\n', 330); entry jsonb;
        BEGIN
          FOR n IN 1..30 LOOP
            PERFORM crossfade.approve(1, 'switch', said, said, repeat('0', 64), 'u', 'h', n, 'v');
            PERFORM crossfade.revoke_approval(1, 'switch', said, 'u', 'h', n, 'v');
          END LOOP;
          FOR n IN 1..300 LOOP
            INSERT INTO crossfade.event (run_id, seq, os_user, host, pid, version, format, entry, phase, state)
            SELECT 1, max(seq) + 1, '<u>', 'h', n, 'v', 1, jsonb_build_object('kind', CASE n % 2 WHEN 1 THEN 'paused' ELSE 'resumed' END),
              'index', CASE n % 2 WHEN 1 THEN 'paused' ELSE 'waiting' END FROM crossfade.event;
          END LOOP;
        END $do$";
    stage.database.execute(history).await;
    let course = "INSERT INTO crossfade.backfill (run_id, relation, pass, relfilenode, bound, next_page, started_at, began_at)
            VALUES (1, 0, 1, 1, 10, 5, now(), now() - interval '12 weeks');
        INSERT INTO crossfade.backfill_sample (run_id, relation, slot, at, rows, latencies, over_goal)
            SELECT 1, 0, n, now() - interval '12 weeks' + n * interval '1 h', n * 1000 + n % 7, ARRAY[0, 0, n % 5, 10, n % 3], n % 2
            FROM generate_series(1, 620) AS n";
    stage.database.execute(course).await;
    let page = stage.report_like_status().await;
    assert!(page.by_id["table"].contains("<script>&amp;//x"), "{:?}", page.by_id["table"]);
    assert!(!page.says("\u{202e}"), "characters that turn the writing are written out");
    assert!(page.number("latency-probes").unwrap() > 6200, "{:?}", page.by_id);
    assert!(page.says("more characters") && page.says("entries left out"), "{}", page.text);
}

#[tokio::test]
async fn a_file_is_replaced_whole_or_not_at_all() {
    let mut stage = Stage::new(10).await;
    let plan = stage.plan("rename", RENAME).to_owned();
    stage.database.execute("CREATE TABLE queue (waiting int)").await;
    stage.ends(0, &["start", &plan]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a report.html");
    let report = async |path: &std::path::Path, more: &[&str]| {
        let args = [&["report", "rename", "-o", path.to_str().unwrap()], more].concat();
        Cli::new(&stage.database.url).args(args).run().await
    };
    std::fs::write(&file, "old").unwrap();
    let output = report(&file, &[]).await;
    assert!(output.code == Some(0) && output.stdout.contains("rename: the report is in "), "{output:#?}");
    let page = std::fs::read_to_string(&file).unwrap();
    Page::read(&page);
    let said: Value = serde_json::from_str(&report(&file, &["--format", "json"]).await.stdout).unwrap();
    assert_eq!(
        (&said["name"], said["bytes"].as_u64()),
        (&"rename".into(), std::fs::metadata(&file).ok().map(|of| of.len()))
    );
    // A link stays one.
    let link = folder.path().join("latest.html");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    std::fs::write(&file, "old").unwrap();
    assert_eq!(report(&link, &[]).await.code, Some(0));
    assert!(link.is_symlink() && std::fs::read_to_string(&file).unwrap().contains("<html"));

    for (path, why) in [
        (folder.path().join("none/report.html"), "create the directory first"),
        (folder.path().to_owned(), "is no ordinary file"),
        ("/dev/full".into(), "is no ordinary file"),
    ] {
        let output = report(&path, &[]).await;
        assert_eq!(output.code, Some(1), "{output:#?}");
        let said = output.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("output::file") && said.contains("cannot be written") && said.contains(why), "{said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
    let output = Cli::new(&stage.database.url).args(["report", "nothing", "-o", "-"]).run().await;
    assert!(output.code == Some(2) && output.stdout.is_empty(), "{output:#?}");
}

/// Returns the sample that a report of the engine is kept in, so long after the backfill began, and what is in it.
async fn kept(stage: &Stage, seconds: i64, latencies: &[i64]) -> (i64, Vec<i64>) {
    let mut connection = stage.database.pool.acquire().await.unwrap();
    let began =
        format!("UPDATE crossfade.backfill SET began_at = clock_timestamp() - make_interval(secs => {seconds}.3)");
    sqlx::raw_sql(AssertSqlSafe(began)).execute(&mut *connection).await.unwrap();
    let none = None::<Value>;
    sqlx::query(include_str!("../../src/ledger/progress/report.sql"))
        .bind(1_i64)
        .bind(0_i16)
        .bind(7_i64)
        .bind(1.0)
        .bind(None::<f64>)
        .bind(none.clone())
        .bind(none)
        .bind(seconds)
        .bind(latencies)
        .bind(0_i64)
        .execute(&mut *connection)
        .await
        .unwrap();
    let newest = "SELECT slot, latencies FROM crossfade.backfill_sample WHERE rows = $1";
    sqlx::query_as(newest).bind(seconds).fetch_one(&mut *connection).await.unwrap()
}

#[tokio::test]
async fn samples_become_rarer_the_longer_a_backfill_lasts() {
    let mut stage = Stage::new(10).await;
    let plan =
        stage.plan("rename", "table: vehicles\nchanges:\n  - rename_column: { from: status, to: name }\n").to_owned();
    stage.ends(0, &["run", &plan, "--to", "backfill"]).await;
    let lease = "DELETE FROM crossfade.backfill_sample; DELETE FROM crossfade.lease;
        INSERT INTO crossfade.lease (run_id, epoch, leads, holder, backend_pid, taken_at, expires) VALUES (1, 7, true, 'x', 1, now(), now())";
    stage.database.execute(lease).await;
    for (seconds, slot) in
        [(0, 0), (1, 1), (62, 62), (63, 63), (64, 64), (66, 66), (127, 126), (128, 128), (131, 128), (1000, 992)]
    {
        assert_eq!(kept(&stage, seconds, &[]).await, (slot, vec![]), "after {seconds} s");
    }
    assert_eq!(kept(&stage, 86_400, &[]).await.0, 86_016);
    // Those of one slot are added, class by class.
    assert_eq!(kept(&stage, 10_000, &[1, 2]).await, (9984, vec![1, 2]));
    assert_eq!(kept(&stage, 10_001, &[10, 0, 5]).await, (9984, vec![11, 2, 5]));
    // Whoever does not lead says nothing while somebody does.
    stage.database.execute("UPDATE crossfade.lease SET leads = false; INSERT INTO crossfade.lease (run_id, epoch, leads, holder, backend_pid, taken_at, expires) VALUES (1, 8, true, 'y', 1, now(), now() + interval '1 h'); DELETE FROM crossfade.backfill_sample").await;
    stage.database.execute("INSERT INTO crossfade.backfill_sample VALUES (1, 0, 0, now(), 5, '{}', 0)").await;
    assert_eq!(kept(&stage, 5, &[]).await.0, 0);
}
