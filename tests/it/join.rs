//! Several processes in one backfill: who fills what, who takes over from whom, and that nobody fills anything once the
//! run has gone on.

mod killed;

use std::time::{Duration, Instant};

use crossfade::ledger::{LeaseError, Ledger};
use crossfade::names::LedgerSchema;
use crossfade::pg;
use crossfade::run::{Entry, Phase, StepKey};
use crossfade::testkit::fleet;
use crossfade::testkit::traffic::{Load, Release, Traffic};
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{
    Cli, Database, Manner, Output, PATIENCE, PgBouncer, Proxy, Receiver, Running, own_server, server, tool, versions,
    wait_for,
};

const NAME: &str = "vehicle-status";
const ROWS: i64 = 30_000;
/// A rate at which no test loses its race with the backfill: it takes longer than a test has patience.
const SLOWLY: &str = "max_rows_per_second: 100";

/// A fleet, and a plan that fills it slowly, in small windows.
struct Stage {
    database: Database,
    file: tempfile::NamedTempFile,
}

impl Stage {
    /// The run is registered and its first phase done.
    async fn new() -> Self {
        let stage = Self::unregistered(SLOWLY).await;
        stage.started().await;
        stage
    }

    async fn started(&self) {
        self.ok(&["start", self.plan()]).await;
        self.ok(&["tune", NAME, "window_pages=16"]).await;
    }

    async fn unregistered(backfill: &str) -> Self {
        Self::on(Database::new().await, backfill).await
    }

    async fn on(database: Database, backfill: &str) -> Self {
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        fleet::create(&mut connection).await.unwrap();
        fleet::load(&mut connection, u32::try_from(ROWS).unwrap()).await.unwrap();
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/plans/vehicle-status.yaml")).unwrap();
        let slow = text
            .replace("quiet: 2s", "quiet: 0s")
            .replace("batch_target: 25ms", &format!("{backfill}\n  batch_target: 10ms\n  workers: 2"));
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), slow).unwrap();
        Self { database, file }
    }

    fn plan(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    fn cli(&self, args: &[&str]) -> Cli {
        Cli::new(&self.database.url).args(args)
    }

    async fn ok(&self, args: &[&str]) -> Output {
        let output = self.cli(args).run().await;
        assert_eq!(output.code, Some(0), "{args:?}: {output:#?}");
        output
    }

    fn lead(&self) -> Running {
        self.cli(&["run", self.plan(), "--to", "verify"]).spawn()
    }

    fn join(&self) -> Running {
        self.cli(&["run", self.plan(), "--join"]).spawn()
    }

    async fn at_full_speed(&self) {
        self.ok(&["tune", NAME, "max_rows_per_second=off"]).await;
    }

    async fn filled(&self) -> i64 {
        self.database.scalar("SELECT COALESCE(sum(rows), 0)::bigint FROM crossfade.page_window").await
    }

    /// Returns the epoch of the process that joined last, once it has filled rows of a window that it still holds.
    async fn in_mid_window(&self, leads: bool) -> i64 {
        let epoch = format!(
            "SELECT max(w.epoch) FROM crossfade.page_window AS w WHERE w.rows > 0 AND w.done_at IS NULL
             AND w.epoch = (SELECT max(epoch) FROM crossfade.lease WHERE leads = {leads} AND expires > clock_timestamp())"
        );
        let mut found = None;
        wait_for("a window to be half done", PATIENCE, async || {
            found = self.database.scalar::<Option<i64>>(&epoch).await;
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    async fn goes_on(&self) {
        let before = self.filled().await;
        wait_for("more rows", PATIENCE, async || self.filled().await > before + 200).await;
    }

    /// Returns whether nothing is filled from now to the leader's second report from now.
    async fn stands_still(&self) -> bool {
        let before = self.filled().await;
        for _ in 0..2 {
            let reported = "SELECT reported_at::text FROM crossfade.backfill";
            let last: String = self.database.scalar(reported).await;
            wait_for("a report", PATIENCE, async || self.database.scalar::<String>(reported).await != last).await;
        }
        self.filled().await == before
    }

    async fn rows_of(&self, epoch: i64) -> i64 {
        let rows = format!("SELECT COALESCE(sum(rows), 0)::bigint FROM crossfade.page_window WHERE epoch = {epoch}");
        self.database.scalar(&rows).await
    }

    /// Every page below the bound was in exactly one committed window, and every row is right.
    async fn assert_filled(&self) {
        let pages = "SELECT count(*) FROM crossfade.backfill AS b, generate_series(0, b.bound - 1) AS page
             WHERE 1 <> (SELECT count(*) FROM crossfade.page_window AS w WHERE w.pass = b.pass AND NOT w.late
                         AND page >= w.from_page AND page < w.to_page AND w.done_at IS NOT NULL)";
        assert_eq!(self.database.scalar::<i64>(pages).await, 0, "pages in no window, or in two");
        let open = "SELECT count(*) FROM crossfade.page_window AS w JOIN crossfade.backfill AS b USING (run_id, pass) WHERE w.done_at IS NULL";
        assert_eq!(self.database.scalar::<i64>(open).await, 0);
        let wrong = "SELECT count(*) FROM vehicles WHERE vehicle_status IS DISTINCT FROM status";
        assert_eq!(self.database.scalar::<i64>(wrong).await, 0);
    }

    async fn log(&self) -> Vec<String> {
        let log = "SELECT string_agg(entry ->> 'kind', ',' ORDER BY seq) FROM crossfade.event";
        self.database.scalar::<String>(log).await.split(',').map(str::to_owned).collect()
    }

    async fn count(&self, kind: &str) -> usize {
        self.log().await.iter().filter(|entry| *entry == kind).count()
    }
}

async fn ends_well(running: Running) -> Output {
    let output = running.wait(PATIENCE).await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_fill_one_table_under_traffic() {
    let stage = Stage::new().await;
    let mut connection = PgConnection::connect(&stage.database.url).await.unwrap();
    let text = std::fs::read_to_string(stage.file.path()).unwrap();
    let plan = crossfade::plan::parse("plan", &text).unwrap();
    let subject = fleet::subject(&mut connection, &plan).await.unwrap();
    let load = Load { clients: vec![(Release::Old, 1), (Release::Both, 1), (Release::New, 1)], rate: None, seed: 1 };
    let traffic = Traffic::start(&stage.database.url, subject, load).await.unwrap();
    traffic.requests(50).await;

    let collector = Receiver::start(Manner::Status(200, None)).await;
    let join = stage.cli(&["run", stage.plan(), "--join"]).env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &collector.url);
    let (leader, joined) = (stage.lead(), join.env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json").spawn());
    stage.in_mid_window(true).await;
    let epoch = stage.in_mid_window(false).await;
    let status: Value = serde_json::from_str(&stage.ok(&["--format", "json", "status", NAME]).await.stdout).unwrap();
    assert_eq!((&status["state"], status["joined"].as_array().unwrap().len()), (&"running".into(), 1), "{status}");
    assert_ne!(status["joined"][0]["holder"], status["holder"]);
    assert!(status["joined"][0]["rows"].as_i64().unwrap() > 0, "{status}");
    let text = stage.ok(&["status", NAME]).await.stdout;
    assert!(text.contains("  worker ") && text.contains("  joined "), "{text}");
    stage.at_full_speed().await;
    let (leader, joined) = (ends_well(leader).await, ends_well(joined).await);
    traffic.requests(50).await;
    let report = traffic.stop().await;
    assert_eq!(report.failed_statements, 0, "{:?}", report.failures);

    crate::traces::assert_of_one_that_joined(&collector);
    stage.assert_filled().await;
    let workers = "SELECT count(DISTINCT (epoch, worker)) FROM crossfade.page_window WHERE rows > 0";
    assert_eq!(stage.database.scalar::<i64>(workers).await, 4);
    assert!(leader.stderr.contains("has joined and is filling rows too"), "{}", leader.stderr);
    assert!(joined.stderr.contains("joined its backfill") && joined.stderr.contains("leads the run"), "{joined:#?}");
    let rows = stage.rows_of(epoch).await;
    assert!(rows > 0 && joined.stdout.contains("the backfill is done"), "{joined:#?}");
    let left = "SELECT (entry ->> 'rows')::bigint FROM crossfade.event WHERE entry ->> 'kind' = 'left'";
    assert_eq!(stage.database.scalar::<i64>(left).await, rows);
    assert_eq!(stage.count("joined").await, 1);
    let history = stage.ok(&["history", NAME]).await.stdout;
    assert!(history.contains("joined the backfill") && history.contains("left the backfill"), "{history}");
    let bad = "SELECT sum(empty + different + unconverted)::bigint FROM crossfade.verification";
    assert_eq!(stage.database.scalar::<i64>(bad).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_a_backfill_that_has_not_begun_and_says_when_there_is_none() {
    let stage = Stage::unregistered(SLOWLY).await;
    let output = stage.cli(&["run", stage.plan(), "--join"]).run().await;
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(output.stderr.contains("there is no run named vehicle-status"), "{output:#?}");
    stage.ok(&["start", stage.plan()]).await;
    stage.ok(&["pause", NAME]).await;
    let output = stage.cli(&["run", stage.plan(), "--join"]).run().await;
    assert!(output.code == Some(5) && output.stderr.contains("is paused"), "{output:#?}");
    stage.ok(&["resume", NAME]).await;

    let mut joined = stage.join();
    let waits = "run vehicle-status is in index; its backfill has not begun";
    wait_for("it to say what it waits for", PATIENCE, async || joined.stderr().contains(waits)).await;
    assert_eq!(stage.count("joined").await, 0);
    let leader = stage.lead();
    stage.in_mid_window(false).await;
    // A pause of the run holds all of its processes.
    stage.ok(&["pause", NAME]).await;
    wait_for("both to hold", PATIENCE, async || {
        joined.stderr().contains("paused; crossfade resume") && leader.stderr().contains("paused; crossfade resume")
    })
    .await;
    // The batches that were under way may end after they have said so.
    wait_for("nothing to be filled from one report to the next", PATIENCE, async || stage.stands_still().await).await;
    assert!(stage.stands_still().await && !joined.has_ended());
    stage.ok(&["resume", NAME]).await;
    stage.at_full_speed().await;
    ends_well(joined).await;
    ends_well(leader).await;
    stage.assert_filled().await;

    let output = stage.ok(&["run", stage.plan(), "--join"]).await;
    assert!(output.stdout.contains("there was nothing left to fill"), "{output:#?}");
    let edited = std::fs::read_to_string(stage.file.path()).unwrap().replace("max_age: 24h", "max_age: 12h");
    let other = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(other.path(), edited).unwrap();
    let output = stage.cli(&["run", other.path().to_str().unwrap(), "--join"]).run().await;
    assert_eq!(output.code, Some(3), "{output:#?}");
    stage.ok(&["rollback", NAME, "--yes"]).await;
    let output = stage.cli(&["run", stage.plan(), "--join"]).run().await;
    assert!(output.code == Some(5) && output.stderr.contains("was rolled back"), "{output:#?}");
    assert_eq!(stage.count("joined").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_it_between_two_batches_and_its_windows_are_free() {
    let stage = Stage::new().await;
    let (leader, joined) = (stage.lead(), stage.join());
    // The leader looks around ten times a second.
    wait_for("the leader to see it", PATIENCE, async || leader.stderr().contains("has joined")).await;
    stage.in_mid_window(false).await;
    joined.signal(Signal::SIGINT);
    let output = joined.wait(PATIENCE).await;
    assert_eq!(output.code, Some(130), "{output:#?}");
    assert_eq!(stage.database.scalar::<i64>("SELECT count(*) FROM crossfade.lease WHERE NOT leads").await, 0);
    assert_eq!(stage.count("left").await, 1);
    wait_for("the leader to be told", PATIENCE, async || leader.stderr().contains("has left")).await;
    stage.at_full_speed().await;
    ends_well(leader).await;
    stage.assert_filled().await;
    assert_eq!(stage.filled().await, ROWS);
    assert_eq!(stage.count("removed").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_stops_those_who_have_joined() {
    let stage = Stage::new().await;
    let before = {
        let twin = Stage::unregistered("workers: 1").await;
        twin.database.schema().await
    };
    let (leader, joined) = (stage.lead(), stage.join());
    stage.in_mid_window(false).await;
    leader.signal(Signal::SIGINT);
    assert_eq!(leader.wait(PATIENCE).await.code, Some(130));
    stage.goes_on().await;
    // Back to the end of expand: the column stays, and nobody may fill it any more.
    stage.ok(&["rollback", NAME, "--to", "expand", "--yes"]).await;
    assert_eq!(stage.database.scalar::<i64>("SELECT count(*) FROM crossfade.lease WHERE NOT leads").await, 0);
    let count = "SELECT count(vehicle_status) FROM vehicles";
    let filled = stage.database.scalar::<i64>(count).await;
    wait_for("it to notice", PATIENCE, async || joined.stderr().contains("its backfill has not begun")).await;
    assert_eq!(stage.database.scalar::<i64>(count).await, filled);
    // Once more, and then all the way back, with somebody at work.
    let leader = stage.lead();
    stage.in_mid_window(false).await;
    leader.signal(Signal::SIGINT);
    assert_eq!(leader.wait(PATIENCE).await.code, Some(130));
    stage.ok(&["rollback", NAME, "--yes"]).await;
    let output = joined.wait(PATIENCE).await;
    assert!(output.code == Some(5) && output.stderr.contains("rolled back"), "{output:#?}");
    assert_eq!(stage.database.schema().await, before);
}

/// The run leaves its backfill only when no batch of a joined process is open, and no later one gets past the fence.
#[tokio::test(flavor = "multi_thread")]
async fn leaving_the_backfill_waits_for_open_batches_and_shuts_the_door() {
    const LIMITS: pg::Limits =
        pg::Limits { lock: Duration::from_secs(5), statement: Duration::from_secs(5), durable: true };
    let stage = Stage::unregistered("workers: 1").await;
    let text = std::fs::read_to_string(stage.file.path()).unwrap();
    let text = text.replace("\n  workers: 2", "");
    let plan = crossfade::plan::parse("plan", &text).unwrap();
    tool(&stage.database.url).run(&plan, &text, Some(Phase::Index)).await.unwrap();
    let ledger = Ledger::new(LedgerSchema::default());
    let mut connection = PgConnection::connect(&stage.database.url).await.unwrap();
    let run = ledger.log().find(&mut connection, NAME).await.unwrap();
    let step: StepKey = "backfill.rows".parse().unwrap();
    let done = [Entry::StepDone { step: step.clone(), adopted: false }];
    for leaves in [Entry::UndoStarted { to: Some(Phase::Expand) }, done[0].clone()] {
        let mut guest = PgConnection::connect(&stage.database.url).await.unwrap();
        assert_eq!(
            ledger.leases().join(&mut guest, &run, &"guest".into()).await.unwrap(),
            None,
            "joined before it began"
        );
        let lease = ledger.leases().take(&mut connection, run.id, "leader").await.unwrap();
        ledger
            .log()
            .record(&mut connection, &run, Some(lease), &[Entry::StepStarted { step: step.clone() }], &"leader".into())
            .await
            .unwrap();
        let joined = ledger.leases().join(&mut guest, &run, &"guest".into()).await.unwrap().unwrap();
        assert_ne!(joined.epoch, lease.epoch);
        let mut worker = PgConnection::connect(&stage.database.url).await.unwrap();
        pg::begin(&mut worker, LIMITS).await.unwrap();
        ledger.leases().fence(&mut worker, joined).await.unwrap();
        // A heartbeat does not wait for the batch.
        ledger.leases().renew(&mut guest, joined).await.unwrap();
        let recording = tokio::spawn({
            let (ledger, run, url) = (ledger.clone(), run.clone(), stage.database.url.clone());
            async move {
                let mut connection = PgConnection::connect(&url).await.unwrap();
                ledger.log().record(&mut connection, &run, Some(lease), &[leaves], &"leader".into()).await
            }
        });
        // The batch holds nothing but the row of its lease.
        let batch = pg::backend_pid(&mut worker).await.unwrap();
        let waits = format!("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE {batch} = ANY (pg_blocking_pids(pid)))");
        wait_for("the entry to wait", PATIENCE, async || stage.database.scalar::<bool>(&waits).await).await;
        // Who comes to the door while it is being shut finds it shut.
        let late = tokio::spawn({
            let (ledger, run, url) = (ledger.clone(), run.clone(), stage.database.url.clone());
            async move {
                let mut connection = PgConnection::connect(&url).await.unwrap();
                ledger.leases().join(&mut connection, &run, &"late".into()).await
            }
        });
        let both =
            "SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        wait_for("both to wait", PATIENCE, async || stage.database.scalar::<bool>(both).await).await;
        pg::commit(&mut worker).await.unwrap();
        recording.await.unwrap().unwrap();
        assert_eq!(late.await.unwrap().unwrap(), None, "joined while the run went on");
        pg::begin(&mut worker, LIMITS).await.unwrap();
        assert!(
            matches!(ledger.leases().fence(&mut worker, joined).await, Err(LeaseError::Lost { .. })),
            "past the fence"
        );
        pg::rollback(&mut worker).await;
        assert!(matches!(ledger.leases().renew(&mut guest, joined).await, Err(LeaseError::Lost { .. })), "revived");
        assert_eq!(
            ledger.leases().join(&mut guest, &run, &"guest".into()).await.unwrap(),
            None,
            "joined after it was over"
        );
        ledger.leases().release(&mut connection, lease).await.unwrap();
        if ledger.log().state(&mut connection, &run).await.unwrap().done.contains(&step) {
            break;
        }
        tool(&stage.database.url).rollback(NAME, Some(Phase::Expand)).await.unwrap();
        tool(&stage.database.url).run(&plan, &text, Some(Phase::Index)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_rate_is_that_of_the_run_as_a_whole() {
    let stage = Stage::new().await;
    stage.ok(&["tune", NAME, "max_rows_per_second=1000"]).await;
    let (leader, joined, third) = (stage.lead(), stage.join(), stage.join());
    wait_for("three processes", PATIENCE, async || {
        let busy = "SELECT count(DISTINCT epoch) FROM crossfade.page_window WHERE rows > 0";
        stage.database.scalar::<i64>(busy).await == 3
    })
    .await;
    // Each may owe for a batch that it wrote before it knew of the others.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (start, before) = (Instant::now(), stage.filled().await);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (filled, seconds) = (stage.filled().await - before, start.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let rate = filled as f64 / seconds;
    assert!(filled > 0 && rate < 1300.0, "{rate} rows/s");
    stage.at_full_speed().await;
    for running in [leader, joined, third] {
        ends_well(running).await;
    }
    stage.assert_filled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_rewritten_is_gone_through_again_by_all() {
    let stage = Stage::new().await;
    let (leader, joined) = (stage.lead(), stage.join());
    stage.in_mid_window(true).await;
    stage.in_mid_window(false).await;
    stage.database.execute("VACUUM FULL vehicles").await;
    wait_for("both in the second pass", PATIENCE, async || {
        let both = "SELECT count(DISTINCT epoch) FROM crossfade.page_window WHERE pass = 2";
        stage.database.scalar::<i64>(both).await == 2
    })
    .await;
    stage.at_full_speed().await;
    ends_well(leader).await;
    ends_well(joined).await;
    assert_eq!(stage.database.scalar::<i32>("SELECT pass FROM crossfade.backfill").await, 2);
    stage.assert_filled().await;
}

/// Updates find room on their pages as well when the other workers are in another process.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_do_not_spoil_each_others_pruning() {
    // A transaction that has written holds back pruning in every database of its server, so other tests would disturb.
    let server = own_server();
    let stage = Stage::on(Database::on_server(&server).await, SLOWLY).await;
    let text = std::fs::read_to_string(stage.file.path()).unwrap();
    std::fs::write(stage.file.path(), text.replace("copy: all", "copy: all\n  build: after_backfill")).unwrap();
    stage.ok(&["start", stage.plan()]).await;
    let (joined, leader) = (stage.join(), stage.lead());
    let size = "SELECT pg_relation_size('vehicles')";
    let before = stage.database.scalar::<i64>(size).await;
    stage.in_mid_window(true).await;
    stage.in_mid_window(false).await;
    stage.ok(&["tune", NAME, "max_rows_per_second=20000"]).await;
    ends_well(joined).await;
    ends_well(leader).await;
    let both = "SELECT count(DISTINCT epoch) FROM crossfade.page_window WHERE rows > 1000";
    assert_eq!(stage.database.scalar::<i64>(both).await, 2);
    let hot: i64 = stage.database.scalar("SELECT sum(hot)::bigint FROM crossfade.page_window").await;
    assert!(hot > ROWS * 7 / 10, "{hot} of {ROWS}");
    let after = stage.database.scalar::<i64>(size).await;
    assert!(after < before * 3 / 2, "{before} bytes, then {after}");
    stage.assert_filled().await;
}

/// Eight partitions of a thousand rows, which two workers begin to fill slowly.
async fn partitions() -> Stage {
    let database = Database::new().await;
    database
        .execute(
            "CREATE TABLE t (id int, status text) PARTITION BY RANGE (id);
             DO $$ BEGIN FOR n IN 0..7 LOOP
               EXECUTE format('CREATE TABLE t%s PARTITION OF t FOR VALUES FROM (%s) TO (%s)', n, n * 1000, n * 1000 + 1000);
             END LOOP; END $$;
             INSERT INTO t SELECT g, 'status ' || g % 7 FROM generate_series(0, 7999) g",
        )
        .await;
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let text = format!(
        "version: 1\nname: {NAME}\ntable: public.t\nchanges: [{{ rename_column: {{ from: status, to: vehicle_status }} }}]\n\
         backfill: {{ {SLOWLY}, batch_target: 10ms, workers: 2 }}\ncontract: {{ quiet: 0s }}\n"
    );
    std::fs::write(file.path(), text).unwrap();
    let stage = Stage { database, file };
    stage.ok(&["start", stage.plan()]).await;
    stage
}

/// Rows of partitions that are not filled, and those that were.
async fn unfilled(stage: &Stage) -> (i64, i64) {
    let wrong = "SELECT count(*) FROM t WHERE vehicle_status IS DISTINCT FROM status";
    (stage.database.scalar::<i64>(wrong).await, stage.filled().await)
}

/// Small partitions are one window each: two processes begin at both ends.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_fill_the_partitions_of_one_table() {
    let stage = partitions().await;
    let (leader, joined) = (stage.lead(), stage.join());
    let apart = "SELECT count(DISTINCT relation) = 4 AND count(DISTINCT epoch) = 2 AND count(*) = 4 FROM crossfade.page_window WHERE rows > 0";
    wait_for("both to fill two partitions", PATIENCE, async || stage.database.scalar::<bool>(apart).await).await;
    stage.at_full_speed().await;
    ends_well(joined).await;
    ends_well(leader).await;
    assert_eq!(unfilled(&stage).await, (0, 8000));
    let windows = "SELECT count(DISTINCT relation) = 8 AND bool_and(done_at IS NOT NULL) FROM crossfade.page_window";
    assert!(stage.database.scalar::<bool>(windows).await);
}

/// While two partitions are filled, one of them gets another name, and of those that wait one is dropped, one is detached and one gets
/// another schema; one is locked until all others are done.
#[tokio::test(flavor = "multi_thread")]
async fn workers_fill_partitions_of_their_own() {
    let stage = partitions().await;
    let leader = stage.lead();
    let open = "SELECT count(DISTINCT relation) = 2 AND count(DISTINCT worker) = 2 AND count(*) = 2 AND sum(rows) > 0 FROM crossfade.page_window";
    wait_for("two to be filled", PATIENCE, async || stage.database.scalar::<bool>(open).await).await;
    let waiting: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class AS c JOIN crossfade.relation AS r ON r.table_oid = c.oid
         WHERE c.relname ~ '^t[0-9]$' AND NOT EXISTS (SELECT FROM crossfade.page_window AS w WHERE w.relation = r.relation) ORDER BY 1",
    )
    .fetch_all(&stage.database.pool)
    .await
    .unwrap();
    let [locked, dropped, detached, ..] = waiting.as_slice() else { panic!("only {waiting:?} wait") };
    stage
        .database
        .execute(&format!(
            "DROP TABLE {dropped}; ALTER TABLE t DETACH PARTITION {detached}; ALTER TABLE {detached} RENAME TO other"
        ))
        .await;
    let mut neighbour = PgConnection::connect(&stage.database.url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("BEGIN; LOCK TABLE {locked}"))).execute(&mut neighbour).await.unwrap();
    stage.at_full_speed().await;
    let all_but_one =
        "SELECT count(DISTINCT relation) = 5 AND bool_and(done_at IS NOT NULL) FROM crossfade.page_window AS w
        JOIN crossfade.relation AS r USING (run_id, relation) WHERE r.table_name <> 'LOCKED' AND w.rows = 1000";
    wait_for("the others to be filled", PATIENCE, async || {
        stage.database.scalar::<bool>(&all_but_one.replace("LOCKED", locked)).await
    })
    .await;
    sqlx::raw_sql("ROLLBACK").execute(&mut neighbour).await.unwrap();
    ends_well(leader).await;
    assert_eq!(unfilled(&stage).await, (0, 6000));
}

/// The connections of one of them are cut again and again.
#[tokio::test(flavor = "multi_thread")]
async fn one_whose_connections_are_cut_goes_on() {
    let stage = Stage::new().await;
    let proxy = Proxy::before(server()).await;
    let leader = stage.lead();
    let joined = Cli::new(&proxy.url(&stage.database.name)).args(["run", stage.plan(), "--join"]).spawn();
    for _ in 0..3 {
        stage.in_mid_window(false).await;
        proxy.cut();
        stage.goes_on().await;
    }
    stage.at_full_speed().await;
    ends_well(leader).await;
    let output = ends_well(joined).await;
    assert!(output.stderr.contains("connection lost"), "{output:#?}");
    stage.assert_filled().await;
    assert_eq!(stage.filled().await, ROWS, "a row was filled twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_pooler_is_refused() {
    let stage = Stage::new().await;
    let Some(pooler) = PgBouncer::before(server()).await else { return };
    let output = Cli::new(&pooler.url(&stage.database.name)).args(["run", stage.plan(), "--join"]).run().await;
    assert!(output.code == Some(2) && output.stderr.contains("pooler"), "{output:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_of_postgresql() {
    for version in versions() {
        let stage = Stage::on(Database::on(&version).await, SLOWLY).await;
        stage.started().await;
        let (joined, leader) = (stage.join(), stage.lead());
        stage.in_mid_window(false).await;
        joined.kill().await;
        stage.database.execute("UPDATE crossfade.lease SET expires = clock_timestamp() WHERE NOT leads").await;
        let joined = stage.join();
        stage.at_full_speed().await;
        ends_well(joined).await;
        ends_well(leader).await;
        stage.assert_filled().await;
        assert_eq!(stage.filled().await, ROWS, "PostgreSQL {}", version.major);
    }
}
