//! Every signal of the throttle, raised for real and seen to hold and to release. (Replica lag and lock waits: with the
//! engines.) Each backfill ends with every row equal.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossfade::event::{Event, EventSink};
use crossfade::names::LedgerSchema;
use crossfade::pg::Connector;
use crossfade::run::{HoldTime, Level, Phase, Signal, WaitingFor};
use crossfade::runner::{Error, Finish, Tool};
use crossfade::testkit::server::Server;
use crossfade::view::RunView;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{Cli, Database, PATIENCE, own_server, versions, wait_for};

/// A rate at which a backfill of 60,000 rows takes longer than a test has patience.
const SLOWLY: &str = "backfill: { max_rows_per_second: 400, batch_target: 10ms }\n";

/// A plan on a table of its own, and what was told while it ran.
struct Stage {
    database: Database,
    tool: Tool,
    text: String,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Stage {
    /// Makes a table with `rows` rows, and a plan that renames a column of it, with `more` lines.
    async fn new(database: Database, rows: u32, more: &str) -> Self {
        database
            .execute(&format!(
                "CREATE TABLE vehicles (id int PRIMARY KEY, status text NOT NULL, filler text);
                 INSERT INTO vehicles SELECT n, 'status ' || n % 7, repeat('x', 60) FROM generate_series(1, {rows}) AS n"
            ))
            .await;
        database.execute("VACUUM ANALYZE vehicles").await;
        let url = database.url.clone();
        Self::of(database, &url, more)
    }

    /// The same with a table that is there already, as the user of `url`.
    fn of(database: Database, url: &str, more: &str) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink: EventSink = Arc::new({
            let events = Arc::clone(&events);
            move |event| events.lock().unwrap().push(event)
        });
        let connector = Connector::new(url.parse().unwrap());
        let tool = Tool::new(connector, LedgerSchema::default(), "test", sink, CancellationToken::new());
        let text = format!(
            "version: 1\nname: rename\ntable: vehicles\nchanges:\n  - rename_column: {{ from: status, to: vehicle_status }}\n{more}"
        );
        Self { database, tool, text, events }
    }

    /// Begins the backfill, and waits until some rows are filled, but not all.
    async fn in_the_middle(&self) -> JoinHandle<Result<Finish, Error>> {
        let running = self.spawn();
        wait_for("the backfill to begin", PATIENCE, async || self.rows_filled().await > 500).await;
        running
    }

    fn spawn(&self) -> JoinHandle<Result<Finish, Error>> {
        let (tool, text) = (self.tool.clone(), self.text.clone());
        let plan = crossfade::plan::parse("plan", &text).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        tokio::spawn(async move { tool.run(&plan, &text, Some(Phase::Backfill)).await })
    }

    async fn rows_filled(&self) -> i64 {
        if self.database.scalar::<bool>("SELECT to_regclass('crossfade.page_window') IS NULL").await {
            return 0;
        }
        self.database.scalar("SELECT COALESCE(sum(rows), 0)::bigint FROM crossfade.page_window").await
    }

    async fn tune(&self, key: &str, value: &str) {
        self.tool.tune("rename", &[(key.to_owned(), value.to_owned())]).await.unwrap();
    }

    async fn status(&self) -> RunView {
        self.tool.status("rename").await.unwrap()
    }

    /// How often the signal has held the backfill.
    fn holds(&self, wanted: &str) -> usize {
        self.count(|event| matches!(event, Event::Hold(level) if level.signal.name() == wanted))
    }

    fn releases(&self, wanted: &str) -> usize {
        self.count(|event| matches!(event, Event::Released { signal, .. } if signal.name() == wanted))
    }

    fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.lock().unwrap().iter().filter(|event| wanted(event)).count()
    }

    /// Waits until the control loop has reported so often: time in which something could have happened.
    async fn reports(&self, times: usize) {
        let progress = |event: &Event| matches!(event, Event::Progress { .. });
        let goal = self.count(progress) + times;
        wait_for("the control loop to go round", PATIENCE, async || self.count(progress) >= goal).await;
    }

    fn warnings(&self) -> Vec<String> {
        let text = |event: &Event| if let Event::Warning { message } = event { Some(message.clone()) } else { None };
        self.events.lock().unwrap().iter().filter_map(text).collect()
    }

    /// Waits until the signal holds the backfill, sees that it stands still, and that `status` says why.
    async fn held_by(&self, signal: &str, patience: Duration) {
        let held = async || self.holds(signal) > self.releases(signal);
        wait_for(&format!("{signal} to hold"), patience, held).await;
        let named = async || {
            let status = self.status().await;
            let waits =
                matches!(status.waiting_for, Some(WaitingFor::Signal { level, .. }) if level.signal.name() == signal);
            waits && status.pace.is_some_and(|pace| pace.speed <= 0.0)
        };
        wait_for("status to say why", PATIENCE, named).await;
        // The batches for which the workers had their orders already still end.
        let stands = async || {
            let before = self.rows_filled().await;
            self.reports(2).await;
            self.rows_filled().await == before
        };
        wait_for(&format!("the backfill to stand still, as {signal} holds it"), PATIENCE, stands).await;
        assert!(self.holds(signal) > self.releases(signal), "{signal} did not last");
    }

    async fn released_by(&self, signal: &str, patience: Duration) {
        let free = async || self.holds(signal) == self.releases(signal);
        wait_for(&format!("{signal} to release"), patience, free).await;
    }

    /// Lets the backfill come to its end. Returns what the throttle cost it.
    async fn ends(&self, running: JoinHandle<Result<Finish, Error>>) -> Vec<HoldTime> {
        self.tune("max_rows_per_second", "off").await;
        tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
        let outcome = self.tool.verify("rename", None).await.unwrap();
        assert!(outcome.is_clean(), "{outcome:?}");
        let rows: i64 = self.database.scalar("SELECT count(*) FROM vehicles").await;
        assert_eq!(outcome.counts.rows, rows);
        let told = |event: &Event| if let Event::HoldTimes { holds } = event { Some(holds.clone()) } else { None };
        let told = self.events.lock().unwrap().iter().find_map(told).unwrap_or_default();
        assert_eq!(told, self.status().await.holds);
        told
    }
}

fn cost<'a>(holds: &'a [HoldTime], signal: &str) -> &'a HoldTime {
    holds.iter().find(|hold| hold.signal.name() == signal).unwrap_or_else(|| panic!("{signal} is not in {holds:?}"))
}

/// Runs one statement in a session of its own.
async fn session(url: &str, sql: &'static str) -> JoinHandle<()> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    tokio::spawn(async move {
        // Some are ended from outside.
        let _ = connection.execute(sql).await;
    })
}

async fn configure(database: &Database, setting: &str) {
    database.execute(&format!("ALTER SYSTEM SET {setting}")).await;
    database.execute("SELECT pg_reload_conf()").await;
}

fn archiving_server() -> Server {
    let mut options = versions().remove(0).options();
    options.settings.push(("archive_mode".to_owned(), "on".to_owned()));
    tokio::task::block_in_place(|| Server::start(options)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slot_that_keeps_too_much_wal_holds() {
    let server = own_server();
    // Quickly enough to write so much, and slowly enough to do it several times.
    let more = "backfill: { max_rows_per_second: 2000, batch_target: 10ms }\nthrottle: { slot_retained_wal: 4MB }\n";
    let stage = Stage::new(Database::on_server(&server).await, 60_000, more).await;
    stage.database.execute("SELECT pg_create_physical_replication_slot('forgotten', true)").await;
    // What the backfill writes is enough.
    let running = stage.spawn();
    stage.held_by("slot_retained_wal", PATIENCE).await;
    // Settings act at once, in both directions.
    stage.tune("slot_retained_wal", "off").await;
    stage.released_by("slot_retained_wal", PATIENCE).await;
    stage.tune("slot_retained_wal", "2MB").await;
    stage.held_by("slot_retained_wal", PATIENCE).await;
    stage.database.execute("SELECT pg_drop_replication_slot('forgotten')").await;
    stage.released_by("slot_retained_wal", PATIENCE).await;
    let holds = stage.ends(running).await;
    let slot = cost(&holds, "slot_retained_wal");
    assert_eq!((slot.times, slot.limit), (2, Some(2_097_152.0)));
    assert!(slot.worst.unwrap() > 4_194_304.0 && slot.seconds > 0.2, "{slot:?}");
}

/// The plan allows 10 GB; the server would give the slot up long before.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slot_is_never_driven_to_where_the_server_gives_it_up() {
    let server = own_server();
    let stage = Stage::new(Database::on_server(&server).await, 60_000, SLOWLY).await;
    configure(&stage.database, "max_slot_wal_keep_size = '40MB'").await;
    stage.database.execute("SELECT pg_create_physical_replication_slot('behind', true)").await;
    let running = stage.in_the_middle().await;
    stage.database.execute("CREATE TABLE junk AS SELECT repeat('x', 1000) FROM generate_series(1, 33000)").await;
    stage.held_by("slot_retained_wal", PATIENCE).await;
    let limit = |event: &Event| matches!(event, Event::Hold(Level { signal: Signal::SlotRetainedWal, limit, .. }) if (33e6..34e6).contains(limit));
    assert_eq!(stage.count(limit), 1);
    stage.database.execute("SELECT pg_drop_replication_slot('behind')").await;
    stage.released_by("slot_retained_wal", PATIENCE).await;
    stage.ends(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_archiver_that_fails_holds() {
    let server = archiving_server();
    let more = format!("{SLOWLY}throttle: {{ wal_archive_backlog: 2 }}\n");
    let stage = Stage::new(Database::on_server(&server).await, 60_000, &more).await;
    configure(&stage.database, "archive_command = 'true'").await;
    let running = stage.in_the_middle().await;
    assert_eq!(stage.holds("wal_archive_backlog"), 0);
    configure(&stage.database, "archive_command = 'false'").await;
    for _ in 0..5 {
        stage.database.execute("SELECT pg_logical_emit_message(false, 'test', 'x')").await;
        stage.database.execute("SELECT pg_switch_wal()").await;
    }
    stage.held_by("wal_archive_backlog", PATIENCE).await;
    configure(&stage.database, "archive_command = 'true'").await;
    stage.released_by("wal_archive_backlog", PATIENCE).await;
    let holds = stage.ends(running).await;
    assert!(cost(&holds, "wal_archive_backlog").worst.unwrap() >= 3.0, "{holds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn busy_sessions_hold_when_they_are_too_many() {
    let server = own_server();
    let more = format!("{SLOWLY}throttle: {{ active_sessions: 3 }}\n");
    let stage = Stage::new(Database::on_server(&server).await, 60_000, &more).await;
    let running = stage.in_the_middle().await;
    let mut sessions = vec![];
    for _ in 0..6 {
        sessions.push(session(&stage.database.url, "SELECT pg_sleep(600) /* busy */").await);
    }
    stage.held_by("active_sessions", PATIENCE).await;
    stage.tune("active_sessions", "20").await;
    stage.released_by("active_sessions", PATIENCE).await;
    stage.tune("active_sessions", "3").await;
    stage.held_by("active_sessions", PATIENCE).await;
    stage
        .database
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%/* busy */' AND pid <> pg_backend_pid()")
        .await;
    stage.released_by("active_sessions", PATIENCE).await;
    let holds = stage.ends(running).await;
    assert_eq!(cost(&holds, "active_sessions").times, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wal_is_kept_below_its_rate_without_holding() {
    let server = own_server();
    // Three times as much WAL as is allowed, or more.
    let more = "backfill: { max_rows_per_second: 8000, batch_target: 10ms }\nthrottle: { wal_rate: 1MB }\n";
    let stage = Stage::new(Database::on_server(&server).await, 200_000, more).await;
    let running = stage.in_the_middle().await;
    let slowed = async || {
        let pace = stage.status().await.pace.unwrap_or_default();
        pace.speed < 0.9 && pace.slowed_by.is_some_and(|level| level.signal == Signal::WalRate)
    };
    wait_for("the WAL rate to slow it down", PATIENCE, slowed).await;
    let position = async || {
        let bytes = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8";
        (stage.database.scalar::<f64>(bytes).await, std::time::Instant::now())
    };
    let kept = async || {
        let (before, start) = position().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let (after, end) = position().await;
        (after - before) / end.duration_since(start).as_secs_f64() < 1.3 * 1_048_576.0
    };
    wait_for("the rate to be kept", PATIENCE, kept).await;
    assert!(!running.is_finished() && stage.rows_filled().await < 200_000);
    stage.tune("wal_rate", "off").await;
    let full = async || stage.status().await.pace.is_none_or(|pace| pace.speed > 0.99);
    wait_for("full speed again", PATIENCE, full).await;
    let holds = stage.ends(running).await;
    let wal = cost(&holds, "wal_rate");
    assert!(wal.times == 0 && wal.slowed_seconds > 3.0 && wal.worst > wal.limit, "{wal:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_autovacuum_to_prevent_wraparound_holds() {
    let server = own_server();
    let stage = Stage::new(Database::on_server(&server).await, 60_000, SLOWLY).await;
    stage
        .database
        .execute(
            "CREATE PROCEDURE burn(n int) LANGUAGE plpgsql AS $$ BEGIN
               FOR i IN 1..n LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP;
             END $$",
        )
        .await;
    stage.database.execute("CALL burn(100100)").await;
    configure(&stage.database, "autovacuum_naptime = '1s'").await;
    let running = stage.in_the_middle().await;
    assert_eq!(stage.holds("wraparound"), 0);
    // A page every 100 ms: it does not end by itself.
    stage
        .database
        .execute(
            "ALTER TABLE vehicles SET (autovacuum_freeze_max_age = 100000, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)",
        )
        .await;
    let held = async || stage.holds("wraparound") > 0;
    wait_for("the autovacuum to be noticed", PATIENCE, held).await;
    let status = async || matches!(stage.status().await.waiting_for, Some(WaitingFor::Signal { level, .. }) if level.signal == Signal::Wraparound);
    wait_for("status to say so", PATIENCE, status).await;
    let rows = stage.rows_filled().await;
    stage.reports(5).await;
    assert_eq!((stage.rows_filled().await, stage.releases("wraparound")), (rows, 0));
    // It is not to come back: the table's options are next in the queue for its lock.
    let reset = session(
        &stage.database.url,
        "ALTER TABLE vehicles RESET (autovacuum_freeze_max_age, autovacuum_vacuum_cost_delay, autovacuum_vacuum_cost_limit)",
    )
    .await;
    let queued = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'vehicles'::regclass)";
    wait_for("the reset to queue", PATIENCE, async || stage.database.scalar::<bool>(queued).await).await;
    stage
        .database
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND query LIKE '%wraparound%'")
        .await;
    reset.await.unwrap();
    stage.released_by("wraparound", PATIENCE).await;
    let holds = stage.ends(running).await;
    assert!(cost(&holds, "wraparound").seconds > 1.0, "{holds:?}");
}

/// Over its limit, and with no answer: too slow, or an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_query_of_the_users_holds() {
    // A signal that is not known holds after 5 s, in which the backfill must not end.
    let more = "backfill: { max_rows_per_second: 1000 }\n\
                throttle: { probe: { sql: 'SELECT waiting FROM queue, pg_sleep(queue.pause) -- jobs', limit: 10 } }\n";
    let database = Database::new().await;
    database.execute("CREATE TABLE queue AS SELECT 3 AS waiting, 0 AS pause").await;
    let stage = Stage::new(database, 60_000, more).await;
    let running = stage.in_the_middle().await;
    stage.database.execute("UPDATE queue SET waiting = 25").await;
    stage.held_by("probe", PATIENCE).await;
    as_a_person_sees_it(&stage).await;
    // Not yet: it has to fall well below its limit.
    stage.database.execute("UPDATE queue SET waiting = 8").await;
    let seen = async || {
        matches!(
            stage.status().await.waiting_for,
            Some(WaitingFor::Signal { level: Level { signal: Signal::Probe, value: Some(8.0), .. }, since: Some(_) })
        )
    };
    wait_for("the lower number to be seen", PATIENCE, seen).await;
    stage.database.execute("UPDATE queue SET waiting = 3").await;
    stage.released_by("probe", PATIENCE).await;

    stage.database.execute("UPDATE queue SET pause = 30").await;
    stage.held_by("probe", PATIENCE).await;
    let unknown = |event: &Event| matches!(event, Event::Hold(Level { signal: Signal::Probe, value: None, .. }));
    assert_eq!(stage.count(unknown), 1);
    stage.database.execute("UPDATE queue SET pause = 0").await;
    stage.released_by("probe", PATIENCE).await;

    stage.database.execute("ALTER TABLE queue RENAME TO away").await;
    stage.held_by("probe", PATIENCE).await;
    assert!(stage.warnings().iter().any(|text| text.contains("\"queue\" does not exist")), "{:?}", stage.warnings());
    stage.tune("probe", "off").await;
    stage.released_by("probe", PATIENCE).await;
    stage.tune("probe", "10").await;
    // It is given its time again, and then holds again.
    stage.held_by("probe", PATIENCE).await;
    stage.database.execute("ALTER TABLE away RENAME TO queue").await;
    stage.released_by("probe", PATIENCE).await;
    let holds = stage.ends(running).await;
    let probe = cost(&holds, "probe");
    assert_eq!((probe.times, probe.worst, probe.limit), (4, Some(25.0), Some(10.0)));
    let seconds = |event: &Event| if let Event::Released { seconds, .. } = event { *seconds } else { 0.0 };
    let sum: f64 = stage.events.lock().unwrap().iter().map(seconds).sum();
    assert!((probe.seconds - sum).abs() < 1.0, "{} in the ledger, {sum} in events", probe.seconds);
}

/// What `status` prints while the probe holds.
async fn as_a_person_sees_it(stage: &Stage) {
    let accounted =
        async || stage.status().await.holds.iter().any(|hold| hold.signal.name() == "probe" && hold.seconds > 0.0);
    wait_for("the hold to be accounted for", PATIENCE, accounted).await;
    let said = Cli::new(&stage.database.url).args(["status", "rename"]).run().await;
    assert!(said.stdout.contains("  waits for  probe to fall to 7: it is 25, above 10, since "), "{}", said.stdout);
    assert!(said.stdout.contains(" for the probe query (1 time, at worst 25 of 10)\n"), "{}", said.stdout);
    let json = Cli::new(&stage.database.url).args(["status", "rename", "--format", "json"]).run().await;
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let hold = json["holds"].as_array().unwrap().iter().find(|hold| hold["signal"] == "probe").unwrap();
    assert_eq!((&hold["times"], &hold["worst"], &hold["limit"]), (&1.into(), &25.0.into(), &10.0.into()));
    assert_eq!(json["pace"]["speed"], 0.0);
}

/// The user's probe is slow for a while: the backfill goes down to a crawl, never stops, and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_latency_goal_steers_the_speed() {
    let more = "backfill: { goal_latency: 100ms, latency_probe: SELECT pg_sleep(pause) FROM knob, max_rows_per_second: 1000 }\n";
    let database = Database::new().await;
    database.execute("CREATE TABLE knob AS SELECT 0::float8 AS pause").await;
    let stage = Stage::new(database, 60_000, more).await;
    let running = stage.in_the_middle().await;
    let speed = async || stage.status().await.pace.map_or(0.0, |pace| pace.speed);
    wait_for("it to gain speed", PATIENCE, async || speed().await > 0.3).await;
    stage.database.execute("UPDATE knob SET pause = 0.3").await;
    wait_for("it to give way", PATIENCE, async || speed().await < 0.05).await;
    let pace = stage.status().await.pace.unwrap();
    assert!(pace.latency_seconds.unwrap() > 0.25 && pace.goal_latency_seconds == Some(0.1), "{pace:?}");
    let level = pace.slowed_by.unwrap();
    assert!(level.signal == Signal::GoalLatency && (0.3..0.4).contains(&level.value.unwrap()), "{level:?}");
    let rows = stage.rows_filled().await;
    wait_for("it to go on all the same", PATIENCE, async || stage.rows_filled().await > rows).await;
    stage.database.execute("UPDATE knob SET pause = 0").await;
    wait_for("it to gain speed again", PATIENCE, async || speed().await > 0.3).await;
    stage.tune("goal_latency", "off").await;
    wait_for("full speed", PATIENCE, async || speed().await > 0.99).await;
    let status = stage.status().await;
    assert_eq!(status.pace.unwrap().latency_seconds, None);
    let holds = stage.ends(running).await;
    let goal = cost(&holds, "goal_latency");
    assert!(goal.times == 0 && goal.slowed_seconds > 2.0 && goal.worst.unwrap() > 0.25, "{goal:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn our_own_latency_probe_reads_and_writes_on_every_version() {
    for version in versions() {
        let more = "backfill: { goal_latency: 10s, max_rows_per_second: 400 }\n";
        let stage = Stage::new(Database::on(&version).await, 10_000, more).await;
        let running = stage.in_the_middle().await;
        let felt = async || stage.status().await.pace.is_some_and(|pace| pace.latency_seconds.is_some());
        wait_for("a latency", PATIENCE, felt).await;
        assert!(stage.database.scalar::<i64>("SELECT max(probes) FROM crossfade.latency_probe").await > 5);
        assert!(!stage.warnings().iter().any(|text| text.contains("probe")), "{:?}", stage.warnings());
        stage.ends(running).await;
    }
}

/// What cannot be seen does not hold, and a person is told, once for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_role_without_rights_is_told_what_it_cannot_see() {
    let server = archiving_server();
    let database = Database::on_server(&server).await;
    let name = &database.name;
    database
        .execute(&format!(
            "CREATE ROLE modest LOGIN; GRANT CREATE, TEMP ON DATABASE {name} TO modest; GRANT CREATE ON SCHEMA public TO modest;
             SET ROLE modest;
             CREATE TABLE vehicles (id int PRIMARY KEY, status text NOT NULL);
             INSERT INTO vehicles SELECT n, 'status ' || n % 7 FROM generate_series(1, 20000) AS n; RESET ROLE"
        ))
        .await;
    let url = database.url.replace("postgres://postgres@", "postgres://modest@");
    assert_ne!(url, database.url);
    let more = "backfill: { max_rows_per_second: 500 }\nthrottle: { active_sessions: 1, wal_archive_backlog: 1 }\n";
    let stage = Stage::of(database, &url, more);
    let running = stage.in_the_middle().await;
    let told = |what: &str| stage.warnings().iter().filter(|text| text.contains(what)).count();
    for what in ["the archive's backlog", "an autovacuum to prevent wraparound", "other roles' sessions"] {
        wait_for(what, PATIENCE, async || told(what) == 1).await;
    }
    // Long enough for a signal to grow stale.
    let rows = stage.rows_filled().await;
    wait_for("it to go on", PATIENCE, async || stage.rows_filled().await > rows + 3000).await;
    assert_eq!(told("pg_monitor"), 3, "{:?}", stage.warnings());
    let holds = stage.ends(running).await;
    assert_eq!(holds, []);
    let refused = sqlx::query(AssertSqlSafe("SELECT pg_ls_archive_statusdir()".to_owned()));
    let mut modest = PgConnection::connect(&url).await.unwrap();
    assert!(refused.execute(&mut modest).await.is_err());
}
