//! What a schedule lets ticks do, and what it tells.

use chrono::{TimeDelta, Utc};
use crossfade::testkit::fleet;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{CRAWL, Cli, Clock, Database, Output, PATIENCE, wait_for};

/// A fleet on a server whose clock is set.
struct Stage {
    clock: Clock,
    database: Database,
    file: tempfile::NamedTempFile,
}

impl Stage {
    /// Begins at this time, of 2027-01-05 in UTC.
    async fn new(schedule: &str, rows: u32, time: &str) -> Option<Self> {
        let clock = tokio::task::block_in_place(Clock::start)?;
        let database = Database::on_server(&clock.server).await;
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        fleet::create(&mut connection).await.unwrap();
        fleet::load(&mut connection, rows).await.unwrap();
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        let plan = "version: 1\nname: rename\ntable: public.vehicles\nchanges:\n  - rename_column: { from: status, to: state }\n";
        std::fs::write(file.path(), format!("{plan}contract: {{ quiet: 0s, grace: 0s }}\nschedule: {schedule}\n"))
            .unwrap();
        let stage = Self { clock, database, file };
        stage.at(time);
        Some(stage)
    }

    fn at(&self, time: &str) {
        self.clock.go_to(format!("2027-01-05T{time}Z").parse().unwrap());
    }

    fn cli(&self, args: &[&str]) -> Cli {
        Cli::new(&self.database.url).args(args.iter().copied())
    }

    async fn ends(&self, code: i32, args: &[&str]) -> Output {
        let output = self.cli(args).spawn().wait(PATIENCE).await;
        assert_eq!(output.code, Some(code), "{args:?}: {}{}", output.stdout, output.stderr);
        output
    }

    async fn json(&self, code: i32, args: &[&str]) -> Value {
        let args: Vec<_> = ["--format", "json"].iter().chain(args).copied().collect();
        let output = self.ends(code, &args).await;
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", output.stdout))
    }

    fn plan(&self) -> &str {
        self.file.path().to_str().unwrap()
    }
}

const DAILY: &str = "{ timezone: UTC, start: 2027-01-05, window: { days: [mon, tue, wed, thu, fri, sat, sun], from: \"01:00\", to: \"02:00\" } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_stops_where_the_window_closes_and_goes_on_in_the_next() {
    let Some(stage) = Stage::new(DAILY, 3_000, "01:00:00").await else { return };
    stage.ends(0, &["start", stage.plan()]).await;
    stage.ends(0, &["advance", "rename"]).await;
    stage.ends(0, &["tune", "rename", &format!("max_rows_per_second={CRAWL}")]).await;
    // Eight seconds before its end.
    stage.at("01:59:52");
    let ticks = stage.json(9, &["advance", "rename"]).await;
    assert_eq!(ticks["tick"], "nothing_due", "{ticks}");
    let reason = ticks["error"]["gate"]["reason"].as_str().unwrap();
    assert!(reason.contains("the window has closed"), "{ticks}");
    let status = stage.json(0, &["status", "rename"]).await;
    let filled = status["rows_done"].as_i64().unwrap();
    assert!((1..3_000).contains(&filled), "{filled} rows before the window closed");
    let closed: bool = stage
        .database
        .scalar("SELECT clock_timestamp() BETWEEN '2027-01-05 02:00 UTC' AND '2027-01-05 02:01 UTC'")
        .await;
    assert!(closed, "it stopped at another time");
    let would = stage.ends(0, &["advance", "rename", "--dry-run"]).await.stdout;
    assert!(would.contains("no window is open; the next one opens Wed 2027-01-06 01:00 UTC"), "{would}");
    stage.ends(9, &["advance", "--all"]).await;
    stage.clock.go_to("2027-01-06T01:30:00Z".parse().unwrap());
    stage.ends(0, &["tune", "rename", "max_rows_per_second=off"]).await;
    let tick = stage.json(0, &["advance", "rename"]).await;
    assert_eq!(tick["did"], serde_json::json!(["backfill"]), "{tick}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_does_not_fit_before_the_window_closes_is_not_begun() {
    let Some(stage) = Stage::new(DAILY, 500, "01:00:00").await else { return };
    stage.ends(0, &["start", stage.plan()]).await;
    for _ in 0..3 {
        stage.ends(0, &["advance", "rename"]).await;
    }
    // The last one took very long.
    stage.database.execute("UPDATE crossfade.verification SET seconds = 1200").await;
    stage.at("01:31:00");
    let tick = stage.json(9, &["advance", "rename"]).await;
    let checks: i64 = stage.database.scalar("SELECT count(*) FROM crossfade.verification").await;
    let reason = tick["error"]["gate"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("switch.compare takes up to 30 min") && reason.contains("opens Wed 2027-01-06 01:00 UTC"),
        "{tick}"
    );
    stage.clock.go_to("2027-01-06T01:01:00Z".parse().unwrap());
    stage.ends(0, &["advance", "rename"]).await;
    let more: i64 = stage.database.scalar("SELECT count(*) FROM crossfade.verification").await;
    assert!(more > checks);
}

/// Whoever types `run` has decided that it is time.
#[tokio::test(flavor = "multi_thread")]
async fn who_runs_a_plan_by_hand_does_not_wait_for_its_schedule() {
    let Some(stage) = Stage::new(DAILY, 100, "12:00:00").await else { return };
    let output = stage.ends(9, &["start", stage.plan()]).await;
    assert!(output.stderr.contains("no window is open; the next one opens Wed 2027-01-06 01:00 UTC"), "{output:#?}");
    assert!(output.stderr.contains("crossfade run PLAN does not wait for the schedule"), "{output:#?}");
    stage.ends(0, &["run", stage.plan(), "--yes"]).await;
    let dates = stage.ends(0, &["schedule", "rename"]).await.stdout;
    assert!(dates.starts_with("rename   done"), "{dates}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_file_has_each_phase_once_and_replaces_the_one_before() {
    let weekly = "{ timezone: Europe/Berlin, start: 2027-01-05, weekly: { backfill: 2, switch: 3, contract: 4 } }";
    let Some(stage) = Stage::new(weekly, 100, "12:00:00").await else { return };
    stage.ends(0, &["start", stage.plan()]).await;
    let file = async || {
        let text = stage.ends(0, &["schedule", "rename", "--ics"]).await.stdout;
        assert!(text.starts_with("BEGIN:VCALENDAR\r\n") && text.ends_with("END:VCALENDAR\r\n"), "{text:?}");
        let events: Vec<_> = text.replace("\r\n ", "").split("BEGIN:VEVENT").skip(1).map(str::to_owned).collect();
        let field = |event: &str, name: &str| {
            let line = event.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
            line.unwrap_or_else(|| panic!("{name}: {event}")).trim().to_owned()
        };
        let fields = ["UID", "SEQUENCE", "DTSTART", "SUMMARY"];
        events.iter().map(|event| fields.map(|name| field(event, name))).collect::<Vec<_>>()
    };
    let before = file().await;
    assert_eq!(before.len(), 6);
    let [uid, _, start, summary] = &before[5];
    assert_eq!((uid.as_str(), start.as_str()), ("rename.contract@crossfade", "20270125T230000Z"));
    assert_eq!(summary, "rename: contract from here on");
    stage.ends(0, &["advance", "rename"]).await;
    let after = file().await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before[0], after[0], "a stable identity");
        let number = |text: &str| text.parse::<u64>().unwrap();
        assert!(number(&after[1]) > number(&before[1]), "programs take the later one");
    }
    assert_eq!(after[1][3], "rename: index done");
}

/// However many hosts tick at the same moment, nothing is done twice, and nobody fails.
#[tokio::test(flavor = "multi_thread")]
async fn ticks_of_many_hosts_at_once_do_each_phase_once() {
    let Some(stage) = Stage::new("{ timezone: UTC, start: 2027-01-05 }", 300, "12:00:00").await else { return };
    stage.ends(0, &["start", stage.plan()]).await;
    let over = "SELECT count(*) = 1 FROM crossfade.event WHERE entry ->> 'kind' = 'phase_done' AND entry ->> 'phase' = 'contract'";
    wait_for("the run to be over", PATIENCE, async || {
        let hosts: Vec<_> = (0..4).map(|_| stage.cli(&["advance", "--all", "--yes"]).spawn()).collect();
        for host in hosts {
            let output = host.wait(PATIENCE).await;
            // A lock of the table may be somebody else's for a moment.
            assert!(matches!(output.code, Some(0 | 5 | 9)), "{output:#?}");
        }
        stage.database.scalar::<bool>(over).await
    })
    .await;
    let twice: i64 = stage
        .database
        .scalar("SELECT count(*) FROM (SELECT FROM crossfade.event WHERE entry ->> 'kind' IN ('phase_done', 'phase_started') GROUP BY entry ->> 'kind', entry ->> 'phase' HAVING count(*) > 1) AS twice")
        .await;
    assert_eq!(twice, 0);
    let behind = Utc::now() + TimeDelta::days(1);
    assert!(
        stage.database.scalar::<chrono::DateTime<Utc>>("SELECT clock_timestamp()").await > behind,
        "faketime has no effect"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_tells_of_windows_that_the_clocks_shorten() {
    let nightly = "{ timezone: America/New_York, start: 2027-01-05, window: { days: [sat, sun], from: \"01:30\", to: \"02:30\" } }";
    let Some(stage) = Stage::new(nightly, 100, "12:00:00").await else { return };
    for command in ["check", "plan"] {
        let said = stage.ends(0, &[command, stage.plan()]).await.stdout;
        assert!(said.contains("30 min of 1 h on 2027-03-14 (Sun), 2 h of 1 h on 2027-11-07 (Sun)"), "{said}");
    }
}
