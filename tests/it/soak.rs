//! Ticks compare all rows again while applications move from one column to the other: in time, once, in a window, and what they
//! find stops the schedule.

use crossfade::testkit::fleet;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Cli, Clock, Database, Output, PATIENCE, wait_for};

/// A run whose rows were all compared on 2027-01-05, on a server whose clock is set.
struct Soak {
    clock: Clock,
    database: Database,
    _file: tempfile::NamedTempFile,
}

impl Soak {
    /// Begins at this time of that day, and does so many phases after the first.
    async fn new(schedule: &str, time: &str, phases: usize) -> Option<Self> {
        let clock = tokio::task::block_in_place(Clock::start)?;
        let database = Database::on_server(&clock.server).await;
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        fleet::create(&mut connection).await.unwrap();
        fleet::load(&mut connection, 500).await.unwrap();
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        let plan = "version: 1\nname: soak\ntable: public.vehicles\nchanges:\n  - rename_column: { from: status, to: state }\n\
                    verify: { max_age: 12h }\ncontract: { quiet: 0s, grace: 0s }\n";
        std::fs::write(file.path(), format!("{plan}schedule: {schedule}\n")).unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let soak = Self { clock, database, _file: file };
        soak.at(&format!("05T{time}"));
        soak.ends(0, &["start", &path]).await;
        for _ in 0..phases {
            soak.ends(0, &["advance", "soak"]).await;
        }
        Some(soak)
    }

    /// Sets the clock to a day of January 2027 and a time, in UTC.
    fn at(&self, time: &str) {
        self.clock.go_to(format!("2027-01-{time}Z").parse().unwrap());
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

    /// How many checks the log tells of.
    async fn checks(&self) -> i64 {
        self.database.scalar("SELECT count(*) FROM crossfade.event WHERE entry ->> 'kind' = 'verified'").await
    }

    /// Ticks when nothing is due. Returns how many checks there are then.
    async fn idle_tick(&self) -> i64 {
        let tick = self.json(9, &["advance", "soak"]).await;
        assert_eq!(tick["tick"], "nothing_due", "{tick}");
        self.checks().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_compares_again_what_was_compared_too_long_ago_and_a_mismatch_stops_the_schedule() {
    let monthly = "{ timezone: UTC, start: 2027-01-05, weekly: { contract: 3 } }";
    let Some(soak) = Soak::new(monthly, "12:00:00", 4).await else { return };
    let first = soak.checks().await;
    soak.at("05T23:00:00");
    assert_eq!(soak.idle_tick().await, first, "the check was 11 h old");
    soak.at("06T00:30:00");
    let would = soak.ends(0, &["advance", "soak", "--dry-run"]).await.stdout;
    assert!(would.contains("compare all rows again (the check is 12 h "), "{would}");
    assert!(would.contains("and then: contract of run soak cannot go on: contract is due"), "{would}");
    let hosts: Vec<_> = (0..4).map(|_| soak.cli(&["advance", "--all"]).spawn()).collect();
    for host in hosts {
        let output = host.wait(PATIENCE).await;
        assert_eq!(output.code, Some(9), "{output:#?}");
    }
    assert_eq!(soak.checks().await, first + 1, "four hosts ticked");
    let history = soak.ends(0, &["history", "soak"]).await.stdout;
    assert_eq!(history.matches("500 rows compared").count(), usize::try_from(first).unwrap() + 1, "{history}");
    assert!(!history.contains("is due"), "a phase that is not due is nothing to tell of: {history}");
    soak.database
        .execute("SET session_replication_role = replica; UPDATE vehicles SET state = 'lost' WHERE id = 7; RESET session_replication_role")
        .await;
    let written: String = soak.database.scalar("SELECT xmin::text FROM vehicles WHERE id = 7").await;
    let status: String = soak.database.scalar("SELECT status::text FROM vehicles WHERE id = 7").await;
    assert_eq!(soak.idle_tick().await, first + 1, "the check is fresh");

    soak.at("06T13:00:00");
    let found = json!([{
        "key": { "id": "7" },
        "class": "different",
        "values": { "status": status, "state": "lost" },
        "written": { "transaction": written, "by": "past_trigger", "at": null, "origin": null },
    }]);
    let tick = soak.json(6, &["advance", "soak"]).await;
    assert_eq!((&tick["tick"], &tick["error"]["outcome"]["keys"]), (&"failed".into(), &found), "{tick}");
    let said = soak.ends(6, &["advance", "soak"]).await.stderr;
    assert!(
        said.contains(&format!(
            "different   id = 7: status '{status}', state 'lost'; written in transaction {written}, past the"
        )),
        "{said}"
    );
    let shown = soak.json(0, &["status", "soak"]).await;
    assert_eq!((&shown["state"], &shown["unequal"]), (&"failed".into(), &found), "{shown}");
    assert_eq!(shown["waiting_for"], json!({ "for": "repair", "rows": 1 }));
    let said = soak.ends(0, &["status", "soak"]).await.stdout;
    assert!(said.contains("failed     1 row not equal") && said.contains("verified closed: 1 row not equal"), "{said}");
    assert!(said.contains("next: crossfade verify soak --repair old"), "{said}");
    // Contract is due, and does not begin.
    soak.at("19T12:00:00");
    soak.ends(6, &["advance", "soak", "--yes"]).await;
    let begun = "SELECT count(*) FROM crossfade.event WHERE entry ->> 'kind' = 'phase_started' AND entry ->> 'phase' = 'contract'";
    assert_eq!(soak.database.scalar::<i64>(begun).await, 0);
    let state = "SELECT state FROM crossfade.status";
    assert_eq!(soak.database.scalar::<String>(state).await, "failed");
    soak.ends(0, &["verify", "soak", "--repair", "old"]).await;
    assert_eq!(soak.database.scalar::<String>(state).await, "waiting");
    let before = soak.checks().await;
    let tick = soak.json(0, &["advance", "soak", "--yes"]).await;
    assert_eq!(tick["did"], json!(["contract"]), "{tick}");
    assert!(soak.checks().await > before, "what was repaired was not compared again");
    let kept: String = soak.database.scalar("SELECT state::text FROM vehicles WHERE id = 7").await;
    assert_eq!(kept, status);
}

/// Before the switch is due. A check begins only where it fits, and one that was killed is made by the next tick.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_a_tick_keeps_to_the_window_and_is_made_again_after_a_kill() {
    let nightly = "{ timezone: UTC, start: 2027-01-05, weekly: { switch: 2, contract: 3 }, \
                   window: { days: [mon, tue, wed, thu, fri, sat, sun], from: \"01:00\", to: \"02:00\" } }";
    let Some(soak) = Soak::new(nightly, "01:00:00", 3).await else { return };
    let first = soak.checks().await;
    soak.at("06T12:00:00");
    assert_eq!(soak.idle_tick().await, first, "no window is open");
    soak.at("07T01:30:00");
    soak.database.execute("UPDATE crossfade.verification SET seconds = 1500").await;
    assert_eq!(soak.idle_tick().await, first, "it takes 25 min, and half an hour is left");
    soak.database.execute("UPDATE crossfade.verification SET seconds = 1").await;

    let mut lock = PgConnection::connect(&soak.database.url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE vehicles IN ACCESS EXCLUSIVE MODE").execute(&mut lock).await.unwrap();
    let tick = soak.cli(&["advance", "soak"]).spawn();
    let waits = "SELECT EXISTS (SELECT FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) \
                 WHERE NOT l.granted AND a.application_name LIKE 'crossfade %' AND l.relation = 'vehicles'::regclass)";
    wait_for("the check to read the table", PATIENCE, async || soak.database.scalar::<bool>(waits).await).await;
    tick.kill().await;
    lock.close().await.unwrap();
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'crossfade %'";
    wait_for("the sessions of the killed tick to end", PATIENCE, async || {
        soak.database.scalar::<i64>(sessions).await == 0
    })
    .await;
    assert_eq!(soak.checks().await, first);
    assert_eq!(soak.idle_tick().await, first + 1);
    assert_eq!(soak.idle_tick().await, first + 1);
}

/// Rows of which nothing is known but that their writers are older than the trigger, or that nobody has filled.
#[tokio::test(flavor = "multi_thread")]
async fn how_a_row_was_written_is_said_where_it_is_known() {
    let Some(soak) = Soak::new("{ timezone: UTC, start: 2027-01-05, weekly: { contract: 3 } }", "12:00:00", 0).await
    else {
        return;
    };
    let ways = async |code: i32| {
        let checked = soak.json(code, &["verify", "soak"]).await;
        let keys = checked["keys"].as_array().cloned().unwrap_or_default();
        keys.iter().map(|key| (key["class"].clone(), key["written"]["by"].clone())).collect::<Vec<_>>()
    };
    // Nothing is filled yet, so this is no mismatch of the soak.
    assert_eq!(ways(6).await[0], ("empty".into(), "older_transaction".into()));
    let state: String = soak.database.scalar("SELECT state FROM crossfade.status").await;
    assert_eq!(state, "waiting");
    // Then they are filled, and may be NULL until they are verified.
    for _ in 0..2 {
        soak.ends(0, &["advance", "soak"]).await;
    }
    let past = |set: &str| {
        format!(
            "SET session_replication_role = replica; UPDATE vehicles SET {set} WHERE id = 7; RESET session_replication_role"
        )
    };
    soak.database.execute(&past("state = NULL")).await;
    assert_eq!(ways(6).await, [("empty".into(), "past_trigger".into())]);
    // As if a batch had written it.
    soak.database
        .execute("BEGIN; UPDATE crossfade.page_window SET rows = rows; SET session_replication_role = replica; UPDATE vehicles SET state = 'x' WHERE id = 7; RESET session_replication_role; COMMIT")
        .await;
    assert_eq!(ways(6).await, [("different".into(), "backfill".into())]);
}
