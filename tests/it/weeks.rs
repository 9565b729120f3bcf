//! The weeks of a rename, lived through on a server whose clock is set: ticks from several hosts, three releases of the
//! application, a night that is an hour shorter, a check that fails, a week without ticks, days that are frozen, an approval that
//! is late, and a kill in each phase. It ends on the dates that the calendar promised, and no write is lost.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::America::New_York;
use crossfade::run::Phase;
use crossfade::testkit::fleet;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Cli, Clock, Database, Output, PATIENCE, tool, wait_for, whole};

/// The weeks begin on Sundays, the third of them on the night in which the clocks go forward from 02:00 to 03:00.
const PLAN: &str = "version: 1
name: weeks
table: public.vehicles
changes:
  - rename_column: { from: status, to: vehicle_status }
verify: { max_age: 1d }
contract: { quiet: 1d, grace: 3d }
approve: [contract]
schedule:
  timezone: America/New_York
  start: 2027-02-28
  weekly: { expand: 1, index: 1, backfill: 2, verify: 2, switch: 3, contract: 4 }
  window: { days: [sun, mon, tue, wed, thu], from: \"01:00\", to: \"02:30\" }
  freeze:
    - { from: 2027-03-22, to: 2027-03-24, why: spring sale }
";

fn local(month: u32, day: u32, hour: u32, minute: u32) -> DateTime<Utc> {
    New_York.with_ymd_and_hms(2027, month, day, hour, minute, 0).unwrap().to_utc()
}

/// A fleet whose server's clock is set, its application, and what that has committed.
struct Weeks {
    clock: Clock,
    database: Database,
    /// A role that owns nothing.
    application: PgConnection,
    file: tempfile::NamedTempFile,
    /// The status of each vehicle, as its releases have left it.
    fleet: BTreeMap<i64, String>,
    now: DateTime<Utc>,
    ticks: u32,
}

impl Weeks {
    async fn new() -> Option<Self> {
        let clock = tokio::task::block_in_place(Clock::start)?;
        let now = local(2, 27, 20, 10);
        clock.go_to(now);
        let database = Database::on_server(&clock.server).await;
        let mut owner = PgConnection::connect(&database.url).await.unwrap();
        fleet::create(&mut owner).await.unwrap();
        fleet::load(&mut owner, 500).await.unwrap();
        database
            .execute(
                "CREATE ROLE application LOGIN; GRANT SELECT, INSERT, UPDATE ON vehicles TO application;
                 GRANT SELECT ON depots TO application; CREATE ROLE approver LOGIN SUPERUSER",
            )
            .await;
        let mut application = PgConnection::connect(&database.url).await.unwrap();
        sqlx::raw_sql("SET ROLE application").execute(&mut application).await.unwrap();
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT id, status::text FROM vehicles").fetch_all(&mut application).await.unwrap();
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), PLAN).unwrap();
        let fleet = rows.into_iter().collect();
        Some(Self { clock, database, application, file, fleet, now, ticks: 0 })
    }

    fn go_to(&mut self, at: DateTime<Utc>) {
        assert!(at >= self.now, "time goes on");
        self.now = at;
        self.clock.go_to(at);
    }

    fn crossfade(&self, args: &[&str]) -> Cli {
        Cli::new(&self.database.url).args(args.iter().copied())
    }

    async fn ends(&self, code: i32, args: &[&str]) -> Output {
        let output = self.crossfade(args).spawn().wait(PATIENCE).await;
        assert_eq!(output.code, Some(code), "{args:?} at {}: {}{}", self.now, output.stdout, output.stderr);
        output
    }

    /// A tick of the scheduler in the night. It ends with this exit code, and its line says this of it.
    async fn tick(&mut self, (code, what): (i32, &str)) -> Value {
        self.ticks += 1;
        let output = self.ends(code, &["--format", "json", "advance", "--all"]).await;
        let lines: Vec<&str> = output.stdout.lines().collect();
        let [line] = lines[..] else { panic!("one line a run: {output:#?}") };
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["tick"], &line["exit_code"], &line["name"]), (&what.into(), &code.into(), &"weeks".into()));
        line
    }

    /// A tick that finishes `phase`; before it, one that was killed.
    async fn finishes(&mut self, phase: Phase) {
        self.killed(&["advance", "weeks"]).await;
        let line = self.tick((0, "advanced")).await;
        assert_eq!(line["did"], serde_json::json!([phase]), "{line}");
    }

    /// A tick that is killed after its first entry.
    async fn killed(&mut self, args: &[&str]) {
        let entries = "SELECT count(*) FROM crossfade.event";
        let before: i64 = self.database.scalar(entries).await;
        let mut killed = self.crossfade(args).spawn();
        while self.database.scalar::<i64>(entries).await == before {
            assert!(!killed.has_ended(), "ended by itself: {}{}", killed.stdout(), killed.stderr());
        }
        let killed = killed.kill().await;
        assert_eq!(killed.code, None, "it had ended before it was killed: {killed:#?}");
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'crossfade %'";
        wait_for("the sessions of a killed tick to end", PATIENCE, async || {
            self.database.scalar::<i64>(sessions).await == 0
        })
        .await;
    }

    /// What the releases that are out at this time write: the first knows only the old column, the last only the new one.
    async fn writes(&mut self) {
        let number = self.now.timestamp() / 60;
        let (first, second, third) = (
            self.now < local(3, 10, 12, 0),
            (local(3, 8, 12, 0)..local(3, 12, 12, 0)).contains(&self.now),
            self.now >= local(3, 11, 12, 0),
        );
        assert!(first || second || third, "there is always a release");
        for (release, is_out, columns) in [
            ("first", first, &["status"][..]),
            ("second", second, &["status", "vehicle_status"]),
            ("third", third, &["vehicle_status"]),
        ] {
            if !is_out {
                continue;
            }
            let status = format!("{release} {number}");
            let id = 1 + number % 500;
            let set: Vec<_> = columns.iter().map(|column| format!("{column} = '{status}'")).collect();
            self.apply(&format!("UPDATE vehicles SET {} WHERE id = {id} RETURNING id", set.join(", ")), &status).await;
            let values = vec![format!("'{status}'"); columns.len()].join(", ");
            let insert = format!(
                "INSERT INTO vehicles (vin, depot_id, {}) VALUES ('{release}{number}', 1, {values}) RETURNING id",
                columns.join(", ")
            );
            self.apply(&insert, &status).await;
        }
    }

    async fn apply(&mut self, sql: &str, status: &str) {
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()));
        let id: i64 = query
            .fetch_one(&mut self.application)
            .await
            .unwrap_or_else(|error| panic!("a statement of the application failed at {}: {error}: {sql}", self.now));
        self.fleet.insert(id, status.to_owned());
    }

    /// Lives on to `at`: each hour the application writes, and three hosts tick at the same time, none of which finds anything due.
    async fn lives_to(&mut self, at: DateTime<Utc>, with_ticks: bool) {
        while self.now + TimeDelta::hours(1) < at {
            self.go_to(self.now + TimeDelta::hours(1));
            self.writes().await;
            // Each hour in the long run of tests, otherwise each sixth.
            if with_ticks && (whole() || self.now.timestamp() / 3600 % 6 == 0) {
                self.ticks += 3;
                let hosts = [1, 2, 3].map(|_| tool(&self.database.url));
                let [one, two, three] = &hosts;
                let all = tokio::join!(
                    Box::pin(one.advance("weeks")),
                    Box::pin(two.advance("weeks")),
                    Box::pin(three.advance("weeks"))
                );
                for result in [all.0, all.1, all.2] {
                    let said = result.map(|finish| finish.did).map_err(|error| error.to_string());
                    assert!(said.is_err(), "at {}: {said:?}", self.now);
                }
            }
        }
        self.go_to(at);
        self.writes().await;
    }

    /// The dates that `crossfade schedule` shows: when each phase was done, and from when on it may be.
    async fn dates(&self) -> Vec<(Option<DateTime<Utc>>, Option<DateTime<Utc>>)> {
        let dates = tool(&self.database.url).timetable("weeks").await.unwrap();
        dates.phases.iter().map(|of| (of.done, of.opens)).collect()
    }

    /// Somebody else than whoever started the run approves a phase.
    async fn approves(&self, phase: &str) {
        let url = &self.database.url;
        let (scheme, rest) = url.split_once("://").unwrap();
        let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
        let url = format!("{scheme}://approver@{rest}");
        let output = Cli::new(&url).args(["approve", "weeks", phase, "--as", "ann"]).spawn().wait(PATIENCE).await;
        assert_eq!(output.code, Some(0), "{output:#?}");
    }

    async fn status(&self) -> String {
        self.ends(0, &["status", "weeks"]).await.stdout
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_weeks_of_a_rename_end_on_the_promised_dates() {
    let Some(mut weeks) = Weeks::new().await else { return };
    let path = weeks.file.path().to_str().unwrap().to_owned();
    // A day early: registered, and nothing is due.
    weeks.ends(9, &["start", &path]).await;
    let night = |month, day| local(month, day, 1, 0);
    let promised: Vec<_> = weeks.dates().await.into_iter().map(|(_, opens)| opens.unwrap()).collect();
    let dates = [night(2, 28), night(2, 28), night(3, 7), night(3, 7), night(3, 14), night(3, 21)];
    assert_eq!(promised, dates);

    // Week 1.
    weeks.lives_to(local(2, 28, 1, 10), true).await;
    weeks.finishes(Phase::Expand).await;
    weeks.lives_to(local(2, 28, 2, 10), true).await;
    weeks.finishes(Phase::Index).await;
    // Week 2: rows of which the trigger knows nothing.
    weeks.lives_to(local(3, 7, 1, 10), true).await;
    weeks.finishes(Phase::Backfill).await;
    weeks
        .database
        .execute("SET session_replication_role = replica; UPDATE vehicles SET vehicle_status = 'lost' WHERE id < 4; RESET session_replication_role")
        .await;
    weeks.lives_to(local(3, 7, 2, 10), true).await;
    let failed = weeks.tick((6, "failed")).await;
    assert_eq!(failed["error"]["outcome"]["different"], 3, "{failed}");
    weeks.ends(0, &["verify", "weeks", "--repair", "old"]).await;
    weeks.lives_to(local(3, 8, 1, 10), true).await;
    weeks.finishes(Phase::Verify).await;
    let said = weeks.status().await;
    assert!(said.contains("gates      due closed: switch is due Sun 2027-03-14 00:00 EST (05:00 UTC)"), "{said}");
    assert!(said.contains("quiet closed: the old column was written "), "{said}");
    // Week 3 begins in the night that has no hour from 2 to 3: only one tick is in its window.
    weeks.lives_to(local(3, 14, 1, 10), true).await;
    weeks.finishes(Phase::Switch).await;
    weeks.lives_to(local(3, 14, 3, 10), true).await;
    weeks.tick((9, "nothing_due")).await;
    // Nobody ticks for a week; then the days are frozen.
    weeks.lives_to(local(3, 22, 1, 10), false).await;
    let frozen = weeks.tick((9, "nothing_due")).await;
    let message = frozen["error"]["message"].as_str().unwrap();
    assert!(message.contains("frozen until the end of 2027-03-24 (spring sale)"), "{message}");
    let said = weeks.status().await;
    assert!(said.contains("window closed: frozen until the end of 2027-03-24"), "{said}");
    assert!(said.contains("grace closed: the old column is not retired yet"), "{said}");
    let dry = ["advance", "weeks", "--dry-run", "--at", "2027-03-25T01:10:00-04:00"];
    let would = weeks.ends(0, &dry).await.stdout;
    assert!(would.contains("nobody has approved contract"), "{would}");
    // Week 4: the approval is late, and so is everything after it.
    weeks.lives_to(local(3, 25, 1, 10), true).await;
    weeks.tick((10, "waits_for_person")).await;
    weeks.lives_to(local(3, 27, 12, 10), true).await;
    weeks.approves("contract").await;
    assert_eq!(
        weeks.dates().await.last().unwrap().1,
        Some(night(3, 28)),
        "the first night in which it may be done then"
    );
    weeks.lives_to(local(3, 27, 20, 10), true).await;
    weeks.tick((9, "nothing_due")).await;
    // The old column is retired, kept, and goes when somebody agrees.
    weeks.lives_to(local(3, 28, 1, 10), true).await;
    weeks.killed(&["advance", "weeks"]).await;
    weeks.tick((9, "nothing_due")).await;
    let said = weeks.status().await;
    assert!(said.contains("grace closed: the retired column is kept for 3 d, until Wed 2027-03-31 01:1"), "{said}");
    weeks.lives_to(local(3, 31, 2, 10), true).await;
    weeks.tick((10, "waits_for_person")).await;
    weeks.killed(&["advance", "weeks", "--yes"]).await;
    weeks.ends(0, &["advance", "weeks", "--yes"]).await;

    let done = |at: DateTime<Utc>, from: DateTime<Utc>| at >= from && at < from + TimeDelta::minutes(10);
    let dates = weeks.dates().await;
    let nights = [
        local(2, 28, 1, 10),
        local(2, 28, 2, 10),
        local(3, 7, 1, 10),
        local(3, 8, 1, 10),
        local(3, 14, 1, 10),
        local(3, 31, 2, 10),
    ];
    assert_eq!(dates.len(), nights.len());
    for ((at, _), night) in dates.into_iter().zip(nights) {
        assert!(at.is_some_and(|at| done(at, night)), "{at:?} and {night}");
    }
    let rows: Vec<(i64, String)> =
        sqlx::query_as("SELECT id, vehicle_status::text FROM vehicles").fetch_all(&weeks.database.pool).await.unwrap();
    assert_eq!(rows.into_iter().collect::<BTreeMap<_, _>>(), weeks.fleet, "a write was lost");
    assert!(weeks.fleet.len() > 1000, "the application wrote {} rows", weeks.fleet.len());
    assert!(weeks.ticks > 200, "{} ticks", weeks.ticks);
    let said = weeks.ends(9, &["advance", "--all"]).await.stdout;
    assert!(said.starts_with("nothing to do: 1 run in this database, all over"), "{said}");
}
