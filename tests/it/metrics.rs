//! Metrics: of a real run, in a form that Prometheus reads, and every one that the alerts and the dashboard name.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crossfade::testkit::fleet;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::harness::{CRAWL, Cli, Database, Manner, Output, PATIENCE, Receiver, wait_for};

const RUN: &str = "rename@1";
/// Explains every metric, a line a metric.
const PAGE: &str = "docs/monitoring.md";
/// Shown of partitioned tables, see `dependants::progress`.
const OF_PARTITIONS: [&str; 2] = ["backfill_partitions", "backfill_filled_partitions"];

/// What one call printed, by the series' name, without `crossfade_` and the labels that each has.
type Page = BTreeMap<String, f64>;

/// Reads the text format more strictly than Prometheus does.
fn read(text: &str) -> Page {
    let (mut page, mut seen, mut family) = (Page::new(), BTreeSet::new(), (String::new(), String::new()));
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(words.ends_with('.'), "{line}");
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            assert!(kind == "counter" || kind == "gauge", "{line}");
            assert!(seen.insert(name.to_owned()), "{name} is explained twice");
            family = (name.to_owned(), kind.to_owned());
            continue;
        }
        let (name, rest) = line.split_once('{').unwrap_or_else(|| panic!("no labels: {line}"));
        assert_eq!(name, family.0, "a series away from its HELP");
        let (labels, value) = rest.rsplit_once("} ").unwrap();
        let value: f64 = value.parse().unwrap();
        assert!(value.is_finite() && (family.1 != "counter" || value >= 0.0), "{line}");
        let labels: Vec<_> =
            labels.split("\",").map(|label| label.trim_end_matches('"').split_once("=\"").unwrap()).collect();
        assert_eq!(labels[0].0, "database", "{line}");
        let own: Vec<_> =
            labels[1..].iter().filter(|label| **label != ("run", RUN)).map(|(l, v)| format!("{l}={v}")).collect();
        let short = name.strip_prefix("crossfade_").unwrap();
        let key = if own.is_empty() { short.to_owned() } else { format!("{short} {}", own.join(",")) };
        assert_eq!(page.insert(key, value), None, "twice: {line}");
    }
    page
}

/// Asks Prometheus' own checker, where it is installed.
fn ask_promtool(text: &str) {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else { return };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:#?}");
}

/// Every metric that a file names.
fn named(path: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let name = |rest: &str| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    let is_prose = |line: &&str| path == PAGE && !line.starts_with("| `crossfade_");
    let text: String = text.lines().filter(|line| !is_prose(line)).collect();
    text.split("crossfade_").skip(1).map(name).filter(|name| !name.is_empty()).collect()
}

struct Stage {
    database: Database,
    plan: tempfile::NamedTempFile,
    ops: Receiver,
    /// Every metric that was shown.
    shown: Mutex<BTreeSet<String>>,
}

impl Stage {
    /// A table of 3,000 rows, and a plan that uses everything that has a metric.
    async fn new() -> Self {
        let database = Database::new().await;
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        fleet::create(&mut connection).await.unwrap();
        fleet::load(&mut connection, 3000).await.unwrap();
        database.execute("CREATE TABLE knob (v float8); INSERT INTO knob VALUES (0)").await;
        let plan = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        let today = chrono::Utc::now().date_naive();
        let text = format!(
            "version: 1\nname: rename\ntable: public.vehicles\nchanges:\n  - rename_column: {{ from: status, to: state }}\n\
             schedule: {{ timezone: UTC, start: {today} }}\ncontract: {{ quiet: 0s, grace: 2h }}\napprove: [switch]\napproval: {{ self: true }}\n\
             backfill: {{ max_rows_per_second: {CRAWL}, batch_target: 5ms, goal_latency: 10s }}\nthrottle: {{ probe: {{ sql: SELECT v FROM public.knob, limit: 10 }} }}\n\
             notify: [{{ to: ops }}]\n"
        );
        std::fs::write(plan.path(), text).unwrap();
        let ops = Receiver::start(Manner::Status(500, None)).await;
        Self { database, plan, ops, shown: Mutex::default() }
    }

    fn cli(&self, args: &[&str]) -> Cli {
        Cli::new(&self.database.url).env("CROSSFADE_NOTIFY_OPS_URL", self.ops.url.as_str()).args(args.iter().copied())
    }

    async fn ends(&self, code: i32, args: &[&str]) -> Output {
        let output = self.cli(args).run().await;
        assert_eq!(output.code, Some(code), "{args:?}: {output:#?}");
        output
    }

    async fn page(&self) -> Page {
        let output = self.ends(0, &["metrics"]).await;
        assert_eq!(output.stderr, "");
        ask_promtool(&output.stdout);
        let page = read(&output.stdout);
        self.shown.lock().unwrap().extend(page.keys().map(|key| key.split(' ').next().unwrap().to_owned()));
        page
    }

    async fn shows(&self, key: &str, value: f64) {
        let is = async || self.page().await.get(key).is_some_and(|found| (found - value).abs() < f64::EPSILON);
        wait_for(&format!("{key} to be {value}"), PATIENCE, is).await;
    }
}

/// The view of the ledger says the same of a run on which nobody works.
async fn compare_with_the_view(stage: &Stage) {
    let page = stage.page().await;
    let mut connection = PgConnection::connect(&stage.database.url).await.unwrap();
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'crossfade.metrics'::regclass AND attnum > 0 AND atttypid <> 'text'::regtype ORDER BY attnum",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(columns.len() > 15, "{columns:?}");
    let casts: Vec<_> = columns.iter().map(|column| format!("{column}::float8")).collect();
    let select = format!("SELECT run, plan, phase, state, {} FROM crossfade.metrics", casts.join(", "));
    let row = sqlx::query(AssertSqlSafe(select)).fetch_one(&mut connection).await.unwrap();
    let word = |at: usize| row.get::<String, _>(at);
    assert_eq!((word(0), word(1)), (RUN.to_owned(), "rename".to_owned()));
    assert!(page.contains_key(&format!("run_info plan={},table=public.vehicles", word(1))), "{page:?}");
    for (key, word) in [("run_phase phase", word(2)), ("run_state state", word(3))] {
        assert_eq!(page.get(&format!("{key}={word}")), Some(&1.0), "{page:?}");
    }
    for (at, column) in columns.iter().enumerate() {
        let of_view: Option<f64> = row.get(at + 4);
        // The labels of these are only in the program's page.
        let sum = |name: &str| {
            page.iter().filter(|(key, _)| key.split(' ').next() == Some(name)).map(|(_, value)| value).sum()
        };
        let of_page = page.get(column).copied().or_else(|| of_view.map(|_| sum(column)));
        let apart = of_view.zip(of_page).map(|(view, page): (f64, f64)| (view - page).abs());
        let bound = if column == "metrics_timestamp_seconds" { 60.0 } else { 0.01 };
        assert!(apart.map_or(of_view == of_page, |apart| apart < bound), "{column}: {of_view:?} and {of_page:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_shows_every_metric_that_alerts_and_dashboard_name() {
    let stage = Stage::new().await;
    let page = stage.page().await;
    assert_eq!(page.get("ended_runs_total state=done"), Some(&0.0), "{page:?}");
    assert!(!stage.database.scalar::<bool>("SELECT to_regnamespace('crossfade') IS NOT NULL").await);

    let plan = stage.plan.path().to_str().unwrap();
    let leading = stage.cli(&["run", plan, "--to", "verify"]).spawn();
    wait_for("a rate", PATIENCE, async || stage.page().await.contains_key("backfill_remaining_seconds")).await;
    let page = stage.page().await;
    for (key, value) in [("processes", 1.0), ("run_state state=running", 1.0), ("waiting_for_person", 0.0)] {
        assert_eq!(page.get(key), Some(&value), "{key} in {page:?}");
    }
    assert!((0.0..15.0).contains(&page["lease_renewed_ago_seconds"]) && page["lease_age_seconds"] > 0.0, "{page:?}");
    stage.shows("backfill_held signal=probe", 0.0).await;
    stage.database.execute("UPDATE knob SET v = 20").await;
    stage.shows("backfill_held signal=probe", 1.0).await;
    stage.database.execute("UPDATE knob SET v = 0").await;
    stage.shows("backfill_held signal=probe", 0.0).await;
    stage.ends(0, &["tune", "rename", "max_rows_per_second=off"]).await;
    let ended = leading.wait(PATIENCE).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let page = stage.page().await;
    for (key, value) in [
        ("rows_filled_total", 3000.0),
        ("backfill_holds_total signal=probe", 1.0),
        ("checks_total", 1.0),
        ("unequal_rows", 0.0),
        ("waiting_for_approval", 1.0),
        ("waiting_for_person", 1.0),
        ("gate_open gate=approved", 0.0),
        ("tick_overdue_since_timestamp_seconds", 0.0),
        ("announcements_given_up to=ops", 0.0),
    ] {
        assert_eq!(page.get(key), Some(&value), "{key} in {page:?}");
    }
    assert!(page["backfill_held_seconds_total signal=probe"] > 0.0 && page["announcements_undelivered to=ops"] > 0.0);
    compare_with_the_view(&stage).await;

    // Nobody ticks for two hours, and a row is written past the trigger.
    stage.ends(10, &["advance", "rename"]).await;
    stage.database.execute("UPDATE crossfade.tick SET at = at - interval '2 hours'").await;
    stage
        .database
        .execute("SET session_replication_role = replica; UPDATE vehicles SET state = 'other' WHERE id = 7")
        .await;
    stage.ends(6, &["verify", "rename"]).await;
    let page = stage.page().await;
    let overdue = page["metrics_timestamp_seconds"] - page["tick_overdue_since_timestamp_seconds"];
    assert!((3000.0..4200.0).contains(&overdue), "{page:?}");
    assert_eq!((page.get("unequal_rows"), page.get("waiting_for_person")), (Some(&1.0), Some(&1.0)), "{page:?}");
    compare_with_the_view(&stage).await;
    stage.ends(0, &["verify", "rename", "--repair", "old"]).await;

    stage.ends(0, &["approve", "rename", "switch"]).await;
    stage.ends(0, &["advance", "rename"]).await;
    stage.ends(9, &["advance", "rename"]).await;
    let page = stage.page().await;
    let ahead = page["point_of_no_return_timestamp_seconds"] - page["metrics_timestamp_seconds"];
    assert!((6000.0..7300.0).contains(&ahead), "{page:?}");
    assert_eq!(page.get("point_of_no_return_near"), Some(&1.0), "{page:?}");

    stage.ends(0, &["rollback", "rename", "--yes"]).await;
    let page = stage.page().await;
    assert_eq!(
        (page.get("ended_runs_total state=rolled_back"), page.get("rows_filled_total")),
        (Some(&1.0), Some(&3000.0))
    );
    assert!(page.contains_key("run_ended_timestamp_seconds") && !page.contains_key("unequal_rows"), "{page:?}");
    compare_with_the_view(&stage).await;
    let past =
        "ALTER TABLE crossfade.event DISABLE TRIGGER ALL; UPDATE crossfade.event SET at = at - interval '31 days'";
    stage.database.execute(past).await;
    let page = stage.page().await;
    assert_eq!(page.get("ended_runs_total state=rolled_back"), Some(&1.0), "{page:?}");
    assert!(!page.contains_key("rows_filled_total"), "it is only counted: {page:?}");

    let mut shown = stage.shown.lock().unwrap().clone();
    shown.extend(OF_PARTITIONS.map(str::to_owned));
    for path in ["docs/monitoring/alerts.yaml", "docs/monitoring/grafana.json", PAGE] {
        let named = named(path);
        assert!(
            named.len() > 6 && named.is_subset(&shown),
            "{path}: {:?}",
            named.difference(&shown).collect::<Vec<_>>()
        );
    }
    let page_names = named(PAGE);
    assert!(shown.is_subset(&page_names), "not explained: {:?}", shown.difference(&page_names).collect::<Vec<_>>());
}

/// Whatever locks applications' tables, metrics are read. A reader of the file never sees half of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_replaced_as_a_whole_and_nobody_waits_for_the_table() {
    let stage = Stage::new().await;
    stage.ends(0, &["start", stage.plan.path().to_str().unwrap()]).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("crossfade.prom");
    let path = file.to_str().unwrap();
    let mut other = PgConnection::connect(&stage.database.url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE vehicles IN ACCESS EXCLUSIVE MODE").execute(&mut other).await.unwrap();
    let output = stage.cli(&["metrics", "-o", path]).spawn().wait(PATIENCE).await;
    assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (Some(0), "", ""), "{output:#?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    let first = std::fs::read_to_string(&file).unwrap();
    assert_eq!(read(&first).get("run_phase phase=index"), Some(&1.0), "{first}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    // A file that is open goes on to have the old text, whole: the new one is another file.
    let mut open = std::fs::File::open(&file).unwrap();
    stage.ends(0, &["pause", "rename"]).await;
    stage.ends(0, &["metrics", "--output", path]).await;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut open, &mut text).unwrap();
    assert_eq!(text, first);
    let second = std::fs::read_to_string(&file).unwrap();
    assert_eq!(read(&second).get("run_state state=paused"), Some(&1.0), "{second}");
    let names: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["crossfade.prom"], "nothing else is left");

    // Where the database cannot be read, or the file cannot be replaced, what is there stays.
    let nowhere = Cli::new(&format!("{}_not", stage.database.url)).args(["metrics", "-o", path]).run().await;
    assert_eq!(nowhere.code, Some(4), "{nowhere:#?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), second);
    let wrong = directory.path().to_str().unwrap().to_owned();
    for (path, why) in [
        (wrong.clone(), "it is there already, and is no ordinary file"),
        (wrong + "/no/such.prom", "No such file"),
        ("/dev/null".to_owned(), "it is there already, and is no ordinary file"),
    ] {
        let output = stage.ends(1, &["metrics", "-o", &path]).await;
        assert!(output.stderr.contains("output::file") && output.stderr.contains(why), "{output:#?}");
    }
    let output = stage.ends(2, &["--format", "json", "metrics"]).await;
    assert!(output.stderr.contains("usage::format"), "{output:#?}");
}
