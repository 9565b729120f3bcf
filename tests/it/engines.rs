//! The engines on their own: the backfill, its throttle, the check and the repair, with the rest of a run made by hand.

mod check;
mod pages;
mod victims;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossfade::change::compile;
use crossfade::engine::compare;
use crossfade::engine::fill;
use crossfade::engine::{Error, Work};
use crossfade::event::{Event, EventSink, Wait};
use crossfade::ledger::{LeaseError, Ledger, LedgerError, NewRun};
use crossfade::names::LedgerSchema;
use crossfade::pg::Connector;
use crossfade::plan::parse;
use crossfade::pulse::Pulse;
use crossfade::run::{Action, CompareSpec, FillSpec, HeldBy, Level, Outcome, Phase, Signal};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{CRAWL, Database, PATIENCE, own_server, versions, wait_for};

/// A run whose expand step is done, with its lease held and renewed.
struct Stage {
    database: Database,
    work: Work,
    events: Arc<Mutex<Vec<Event>>>,
    heartbeat: JoinHandle<()>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

impl Stage {
    /// Renames `status` of a table with `rows` rows.
    async fn rename(rows: u32) -> Self {
        Self::rename_with(rows, "").await
    }

    /// The same with more lines in the plan.
    async fn rename_with(rows: u32, more: &str) -> Self {
        Self::rename_on(Database::new().await, rows, more).await
    }

    async fn rename_on(database: Database, rows: u32, more: &str) -> Self {
        database
            .execute(&format!(
                "CREATE TABLE vehicles (id int PRIMARY KEY, status text NOT NULL, filler text);
                 INSERT INTO vehicles SELECT n, 'status ' || n % 7, repeat('x', 60) FROM generate_series(1, {rows}) AS n;
                 CREATE INDEX ON vehicles (filler, id); CREATE INDEX ON vehicles (status)"
            ))
            .await;
        // Not inside the transaction of the statements above.
        database.execute("VACUUM ANALYZE vehicles").await;
        let plan = format!(
            "version: 1\nname: rename\ntable: vehicles\nchanges:\n  - rename_column: {{ from: status, to: vehicle_status }}\n{more}"
        );
        Self::of(database, &plan).await
    }

    async fn of(database: Database, plan_text: &str) -> Self {
        let plan = parse("plan.yaml", plan_text).unwrap();
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        let ledger = Ledger::new(LedgerSchema::default());
        ledger.create(&mut connection).await.unwrap();
        let found = crossfade::catalog::inspect(&mut connection, &plan, ledger.schema()).await.unwrap();
        let facts = found.facts.unwrap_or_else(|| panic!("{:?}", found.refusals));
        let program = compile(&plan, &facts, ledger.schema());
        let new = NewRun { plan: &plan, plan_text, facts: &facts, program: &program };
        ledger.log().register(&mut connection, &[new], &"test".into()).await.unwrap();
        let run = ledger.log().find(&mut connection, plan.name.as_str()).await.unwrap();
        let Action::Transaction(statements) = &run.program.steps_of(Phase::Expand).next().unwrap().action else {
            panic!("expand is not a transaction")
        };
        for statement in statements {
            database.execute(statement).await;
        }
        let lease = ledger.leases().take(&mut connection, run.id, "test").await.unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink: EventSink = Arc::new({
            let events = Arc::clone(&events);
            move |event| events.lock().unwrap().push(event)
        });
        let heartbeat = tokio::spawn({
            let ledger = ledger.clone();
            async move {
                while ledger.leases().renew(&mut connection, lease).await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
            }
        });
        let work = Work {
            connector: Connector::new(database.url.parse().unwrap()),
            ledger,
            run,
            lease,
            sink,
            stop: CancellationToken::new(),
            actor: "test".into(),
            pulse: Pulse::default(),
        };
        Self { database, work, events, heartbeat }
    }

    fn spec(&self) -> FillSpec {
        let mut steps = self.work.run.program.steps.iter();
        steps.find_map(|step| if let Action::Fill(spec) = &step.action { Some(spec.clone()) } else { None }).unwrap()
    }

    fn verify_spec(&self) -> CompareSpec {
        let mut steps = self.work.run.program.steps.iter();
        steps.find_map(|step| if let Action::Compare(spec) = &step.action { Some(spec.clone()) } else { None }).unwrap()
    }

    async fn backfill(&self) -> Result<(), Error> {
        tokio::time::timeout(PATIENCE, fill::run(&self.work, &self.spec())).await.unwrap()
    }

    fn spawn_backfill(&self) -> JoinHandle<Result<(), Error>> {
        let (work, spec) = (self.work.clone(), self.spec());
        tokio::spawn(async move { fill::run(&work, &spec).await })
    }

    /// Goes on as another process would after this one died.
    async fn take_over(&mut self) {
        self.heartbeat.abort();
        let mut connection = PgConnection::connect(&self.database.url).await.unwrap();
        self.database.execute("UPDATE crossfade.lease SET expires = clock_timestamp()").await;
        let run = self.work.run.id;
        let lease = self.work.ledger.leases().take(&mut connection, run, "the next").await.unwrap();
        self.work.lease = lease;
        let ledger = self.work.ledger.clone();
        self.heartbeat = tokio::spawn(async move {
            while ledger.leases().renew(&mut connection, lease).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        });
    }

    async fn check(&self) -> Result<Outcome, Error> {
        let Work { connector, ledger, run, sink, stop, .. } = &self.work;
        let spec = self.verify_spec();
        compare::check(connector, ledger, &run.program, &spec, sink, stop, Phase::Verify, 2)
            .await
            .map(|(outcome, _)| outcome)
    }

    async fn set(&self, key: &str, value: &str) {
        let mut connection = PgConnection::connect(&self.database.url).await.unwrap();
        let setting = (key.to_owned(), value.to_owned());
        self.work.ledger.log().tune(&mut connection, &self.work.run, &[], &[setting], &"test".into()).await.unwrap();
    }

    async fn unfilled(&self) -> i64 {
        self.database.scalar("SELECT count(*) FROM vehicles WHERE vehicle_status IS DISTINCT FROM status").await
    }

    /// Waits until the backfill has filled some rows, but not all, and then lets it crawl.
    async fn in_the_middle(&self) {
        wait_for("the backfill to begin", PATIENCE, async || self.rows_filled().await > 1000).await;
        self.set("max_rows_per_second", CRAWL).await;
        assert!(self.unfilled().await > 1000, "too fast to be disturbed");
    }

    async fn rows_filled(&self) -> i64 {
        self.database.scalar("SELECT COALESCE(sum(rows), 0)::bigint FROM crossfade.page_window").await
    }

    /// Waits until no batch is open any more.
    async fn no_open_batch(&self) {
        let open = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'crossfade backfill' \
                    AND datname = current_database() AND state <> 'idle')";
        wait_for("the open batch to end", PATIENCE, async || !self.database.scalar::<bool>(open).await).await;
    }

    /// Waits until the control loop has reported so often: time in which something could have happened.
    async fn reports(&self, times: usize) {
        let count = || {
            let events = self.events.lock().unwrap();
            events.iter().filter(|event| matches!(event, Event::Progress { .. })).count()
        };
        let goal = count() + times;
        wait_for("the control loop to go round", PATIENCE, async || count() >= goal).await;
    }

    fn saw(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.lock().unwrap().iter().any(wanted)
    }
}

/// Writers of the old release and of the new one, until told to stop. Returns how many statements they made.
fn writers(url: &str, stop: &CancellationToken, rows: i32) -> Vec<JoinHandle<u64>> {
    let one = |old: bool| {
        let (url, stop) = (url.to_owned(), stop.clone());
        tokio::spawn(async move {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            let column = if old { "status" } else { "vehicle_status" };
            let mut count = 0;
            while !stop.is_cancelled() {
                let id = rand_id(rows, count);
                let fresh = rows + 1 + i32::try_from(count).unwrap() * 2 + i32::from(old);
                let text = match count % 4 {
                    0 => format!("INSERT INTO vehicles (id, {column}) VALUES ({fresh}, 'fresh {fresh}')"),
                    1 => {
                        format!("UPDATE vehicles SET filler = 'moved ' || repeat('y', {}) WHERE id = {id}", count % 300)
                    }
                    2 => format!("DELETE FROM vehicles WHERE id = {id} AND id % 50 = 0"),
                    _ => format!("UPDATE vehicles SET {column} = 'written {count}' WHERE id = {id}"),
                };
                connection.execute(sqlx::raw_sql(AssertSqlSafe(text))).await.unwrap();
                count += 1;
            }
            count
        })
    };
    vec![one(true), one(false)]
}

fn rand_id(rows: i32, count: u64) -> i32 {
    let spread = (count.wrapping_mul(6_364_136_223_846_793_005) >> 33) % u64::try_from(rows).unwrap();
    i32::try_from(spread).unwrap() + 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_row_is_filled_under_writers() {
    for workers in [1, 3] {
        let stage =
            Stage::rename_with(60_000, &format!("backfill: {{ workers: {workers}, batch_target: 10ms }}\n")).await;
        let stop = CancellationToken::new();
        let writers = writers(&stage.database.url, &stop, 60_000);
        stage.backfill().await.unwrap();
        stop.cancel();
        for writer in writers {
            assert!(writer.await.unwrap() > 0);
        }
        assert_eq!(stage.unfilled().await, 0);
        let outcome = stage.check().await.unwrap();
        assert!(outcome.is_clean(), "{outcome:?}");
        assert_eq!(outcome.counts.rows, stage.database.scalar::<i64>("SELECT count(*) FROM vehicles").await);
        assert!(stage.saw(|event| matches!(event, Event::Progress { phase: Phase::Backfill, progress } if progress.rows_done > 0 && progress.rows_done == progress.rows_total)));
        // A second call has nothing to do.
        let before = stage.rows_filled().await;
        stage.backfill().await.unwrap();
        assert_eq!(stage.rows_filled().await, before);
    }
}

/// A rate that leaves time to see that a backfill of 60,000 rows has begun.
const SLOWLY: &str = "backfill: { max_rows_per_second: 4000, batch_target: 10ms }\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_aborted_backfill_goes_on_where_it_was() {
    let mut stage =
        Stage::rename_with(60_000, "backfill: { max_rows_per_second: 4000, batch_target: 10ms, workers: 2 }\n").await;
    let mut last = 0;
    for _ in 0..5 {
        let running = stage.spawn_backfill();
        wait_for("some rows", PATIENCE, async || stage.rows_filled().await > last + 3000).await;
        running.abort();
        let _ = running.await;
        last = stage.rows_filled().await;
        // What an open batch wrote is gone, what is in the ledger is there.
        wait_for("the aborted sessions to go", PATIENCE, async || {
            let query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'crossfade backfill' AND datname = current_database()";
            stage.database.scalar::<i64>(query).await == 0
        })
        .await;
        let filled: i64 = stage.database.scalar("SELECT count(vehicle_status) FROM vehicles").await;
        assert_eq!(stage.rows_filled().await, filled);
        stage.take_over().await;
    }
    stage.set("max_rows_per_second", "off").await;
    stage.backfill().await.unwrap();
    assert_eq!((stage.unfilled().await, stage.rows_filled().await), (0, 60_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_zombie_commits_nothing() {
    let mut stage = Stage::rename_with(60_000, SLOWLY).await;
    let zombie = stage.spawn_backfill();
    stage.in_the_middle().await;
    stage.take_over().await;
    // Whatever was open when the lease was taken over has committed or never will.
    let filled = stage.rows_filled().await;
    let error = zombie.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Ledger(LedgerError::Lease(LeaseError::Lost { .. }))), "{error}");
    assert_eq!(stage.rows_filled().await, filled);
    stage.set("max_rows_per_second", "off").await;
    stage.backfill().await.unwrap();
    assert_eq!((stage.unfilled().await, stage.rows_filled().await), (0, 60_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn told_to_stop_it_finishes_the_batch() {
    let stage = Stage::rename_with(60_000, SLOWLY).await;
    let running = stage.spawn_backfill();
    stage.in_the_middle().await;
    stage.work.stop.cancel();
    let error = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    let filled: i64 = stage.database.scalar("SELECT count(vehicle_status) FROM vehicles").await;
    assert_eq!(stage.rows_filled().await, filled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_locked_row_is_left_for_last_and_its_holder_named() {
    let stage = Stage::rename(30_000).await;
    let mut holder = PgConnection::connect(&stage.database.url).await.unwrap();
    holder.execute("SET application_name = 'a slow report'").await.unwrap();
    holder.execute("BEGIN").await.unwrap();
    holder.execute("UPDATE vehicles SET filler = 'locked' WHERE id IN (10000, 20000)").await.unwrap();
    let running = stage.spawn_backfill();
    let late = "SELECT count(*) FROM crossfade.page_window WHERE late AND done_at IS NULL";
    wait_for("all but the locked pages", PATIENCE, async || {
        let done = "SELECT EXISTS (SELECT FROM crossfade.backfill WHERE next_page = bound)
             AND NOT EXISTS (SELECT FROM crossfade.page_window WHERE NOT late AND done_at IS NULL)";
        stage.database.scalar::<bool>(done).await
    })
    .await;
    assert_eq!(stage.database.scalar::<i64>(late).await, 2);
    let named = |event: &Event| {
        matches!(event, Event::LockWait { blockers, step, .. } if step.to_string() == "backfill.rows"
            && blockers.iter().any(|blocker| blocker.application.as_deref() == Some("a slow report")))
    };
    wait_for("the holder to be named", PATIENCE, async || stage.saw(named)).await;
    let unfilled: i64 = stage.database.scalar("SELECT count(*) FROM vehicles WHERE vehicle_status IS NULL").await;
    assert!((2..400).contains(&unfilled), "{unfilled}");
    holder.execute("COMMIT").await.unwrap();
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(stage.unfilled().await, 0);
    assert_eq!(stage.database.scalar::<i64>(late).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_locked_table_is_waited_for() {
    let stage = Stage::rename_with(60_000, SLOWLY).await;
    let running = stage.spawn_backfill();
    stage.in_the_middle().await;
    let mut holder = PgConnection::connect(&stage.database.url).await.unwrap();
    holder.execute("SET application_name = 'somebody migrates'").await.unwrap();
    holder.execute("BEGIN; LOCK TABLE vehicles IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let named = |event: &Event| {
        matches!(event, Event::LockWait { blockers, .. }
            if blockers.iter().any(|blocker| blocker.application.as_deref() == Some("somebody migrates")))
    };
    wait_for("the holder to be named", PATIENCE, async || stage.saw(named)).await;
    holder.execute("COMMIT").await.unwrap();
    stage.set("max_rows_per_second", "off").await;
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(stage.unfilled().await, 0);
    assert_eq!(stage.database.scalar::<i64>("SELECT count(*) FROM crossfade.page_window WHERE late").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_table_file_means_a_new_pass() {
    let stage = Stage::rename_with(60_000, SLOWLY).await;
    let running = stage.spawn_backfill();
    stage.in_the_middle().await;
    stage.database.execute("VACUUM FULL vehicles").await;
    stage.set("max_rows_per_second", "off").await;
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(stage.unfilled().await, 0);
    assert_eq!(stage.database.scalar::<i32>("SELECT pass FROM crossfade.backfill").await, 2);
    assert!(stage.saw(|event| matches!(event, Event::Warning { message } if message.contains("was rewritten"))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lost_connections_are_made_again() {
    let stage = Stage::rename_with(60_000, SLOWLY).await;
    let mut running = stage.spawn_backfill();
    stage.in_the_middle().await;
    for _ in 0..10 {
        stage
            .database
            .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'crossfade %' AND datname = current_database()")
            .await;
        let back = "SELECT count(*) >= 2 FROM pg_stat_activity WHERE application_name IN ('crossfade backfill', 'crossfade control') AND datname = current_database()";
        tokio::select! {
            end = &mut running => panic!("the backfill ended: {end:?}"),
            () = wait_for("new connections", PATIENCE, async || stage.database.scalar::<bool>(back).await) => {}
        }
    }
    assert!(stage.saw(|event| matches!(event, Event::Reconnecting { .. })));
    stage.set("max_rows_per_second", "off").await;
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!((stage.unfilled().await, stage.rows_filled().await), (0, 60_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn settings_act_on_a_backfill_that_is_at_work() {
    let stage = Stage::rename_with(60_000, "backfill: { max_rows_per_second: 1000 }\n").await;
    let start = Instant::now();
    let running = stage.spawn_backfill();
    stage.in_the_middle().await;
    stage.set("paused", "true").await;
    wait_for("the pause", PATIENCE, async || stage.saw(|event| *event == Event::Paused)).await;
    stage.no_open_batch().await;
    let before = stage.rows_filled().await;
    let allowed = 1_000.0 * start.elapsed().as_secs_f64() + 1_000.0;
    assert!(f64::from(i32::try_from(before).unwrap()) < allowed, "{before} rows in {:?}", start.elapsed());
    stage.reports(4).await;
    assert_eq!(stage.rows_filled().await, before);
    let mut connection = PgConnection::connect(&stage.database.url).await.unwrap();
    let fill = stage.work.ledger.progress().fill(&mut connection, stage.work.run.id).await.unwrap().unwrap();
    assert_eq!(fill.report.unwrap().held_by, Some(HeldBy::Paused));
    stage.set("paused", "false").await;
    stage.set("max_rows_per_second", "off").await;
    wait_for("the end of the pause", PATIENCE, async || stage.saw(|event| *event == Event::Unpaused)).await;
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(stage.unfilled().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_holds_while_somebody_waits_for_its_locks() {
    let stage = Stage::rename(30_000).await;
    // A trigger of the application's makes one batch long.
    stage
        .database
        .execute(
            "CREATE TABLE knob AS SELECT true AS slow;
             CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               WHILE (SELECT slow FROM public.knob) LOOP PERFORM pg_sleep(0.05); END LOOP; RETURN NEW; END $$;
             CREATE TRIGGER slow BEFORE UPDATE ON vehicles FOR EACH ROW WHEN (OLD.id = 15000) EXECUTE FUNCTION slow()",
        )
        .await;
    let running = stage.spawn_backfill();
    let batch = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'crossfade backfill' AND wait_event = 'PgSleep' AND datname = current_database())";
    wait_for("the long batch", PATIENCE, async || stage.database.scalar::<bool>(batch).await).await;
    let mut other = PgConnection::connect(&stage.database.url).await.unwrap();
    let mine = tokio::spawn(async move {
        other.execute("UPDATE vehicles SET filler = 'mine' WHERE id BETWEEN 14900 AND 14999").await.unwrap();
    });
    let held = |event: &Event| matches!(event, Event::Hold(Level { signal: Signal::LockWait, limit: 0.1, .. }));
    wait_for("the hold", PATIENCE, async || stage.saw(held)).await;
    stage.database.execute("UPDATE knob SET slow = false").await;
    mine.await.unwrap();
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert!(stage.saw(|event| matches!(event, Event::Released { signal: Signal::LockWait, .. })));
    assert_eq!(stage.unfilled().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_holds_while_a_replica_is_behind() {
    let server = own_server();
    let database = Database::on_server(&server).await;
    let replica = tokio::task::block_in_place(|| server.replica().unwrap());
    let mut standby = PgConnection::connect(&replica.url("postgres")).await.unwrap();
    let more = "backfill: { max_rows_per_second: 10000 }\nthrottle: { replica_lag: 1s }\n";
    let stage = Stage::rename_on(database, 60_000, more).await;
    let running = stage.spawn_backfill();
    stage.in_the_middle().await;
    standby.execute("SELECT pg_wal_replay_pause()").await.unwrap();
    let held = |event: &Event| matches!(event, Event::Hold(Level { signal: Signal::ReplicaLag, limit: 1.0, .. }));
    wait_for("the hold", PATIENCE, async || stage.saw(held)).await;
    // The open batch may still end.
    stage.no_open_batch().await;
    let rows = stage.rows_filled().await;
    stage.reports(9).await;
    assert_eq!(stage.rows_filled().await, rows);
    standby.execute("SELECT pg_wal_replay_resume()").await.unwrap();
    stage.set("max_rows_per_second", "off").await;
    let released =
        |event: &Event| matches!(event, Event::Released { signal: Signal::ReplicaLag, seconds } if *seconds > 2.0);
    wait_for("the release", PATIENCE, async || stage.saw(released)).await;
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(stage.unfilled().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_version_of_postgresql() {
    for version in versions() {
        let stage = Stage::rename_on(Database::on(&version).await, 20_000, "backfill: { workers: 2 }\n").await;
        stage.backfill().await.unwrap();
        assert_eq!((stage.unfilled().await, stage.rows_filled().await), (0, 20_000), "PostgreSQL {}", version.major);
        let outcome = stage.check().await.unwrap();
        assert!(outcome.is_clean() && outcome.counts.rows == 20_000, "PostgreSQL {}: {outcome:?}", version.major);
        // The server counts what a scan comes across, so the check need not.
        let spec = stage.verify_spec();
        let mut connection = PgConnection::connect(&stage.database.url).await.unwrap();
        connection.execute("BEGIN; SET LOCAL enable_seqscan = off").await.unwrap();
        let mut seen = async |sql: String| -> i64 {
            sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_one(&mut connection).await.unwrap()
        };
        assert_eq!((seen(spec.only_suspects(0, None)).await, seen(spec.meter()).await), (0, 20_000));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pages_in_no_window_are_noticed() {
    let stage = Stage::rename(30_000).await;
    stage.backfill().await.unwrap();
    for damage in [
        "UPDATE crossfade.backfill SET bound = bound + 1, next_page = next_page + 1",
        "UPDATE crossfade.page_window SET from_page = from_page + 1 WHERE from_page = 0",
    ] {
        stage.database.execute(damage).await;
        let error = stage.backfill().await.unwrap_err();
        assert!(error.to_string().contains("were in no window"), "{error}");
    }
}

/// Opens a snapshot that keeps dead rows from being pruned for as long as the connection lives.
async fn old_snapshot(stage: &Stage) -> PgConnection {
    let mut old = PgConnection::connect(&stage.database.url).await.unwrap();
    old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class").await.unwrap();
    old
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_backfill_waits_for_a_long_transaction_when_the_plan_says_so() {
    let server = own_server();
    let database = Database::on_server(&server).await;
    let stage = Stage::rename_on(database, 60_000, "backfill: { long_transactions: wait }\n").await;
    stage.set("window_pages", "64").await;
    let mut old = old_snapshot(&stage).await;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut old).await.unwrap();
    let running = stage.spawn_backfill();
    let named = format!("session {pid} ");
    let waits = |event: &Event| matches!(event, Event::Waiting { wait: Wait::Horizon { holder: Some(holder), .. }, .. } if holder.contains(&named));
    wait_for("the wait, with its reason", PATIENCE, async || stage.saw(waits)).await;
    // Once it waits, nothing is filled.
    let filled = stage.rows_filled().await;
    assert!(filled < 10_000, "{filled} rows");
    stage.reports(3).await;
    assert_eq!(stage.rows_filled().await, filled);
    old.close().await.unwrap();
    running.await.unwrap().unwrap();
    assert_eq!((stage.unfilled().await, stage.rows_filled().await), (0, 60_000));
    assert_eq!(stage.database.scalar::<i64>("SELECT count(*) FROM crossfade.page_window WHERE parts = 1").await, 0);
    let hot: i64 = stage.database.scalar("SELECT sum(hot)::bigint FROM crossfade.page_window").await;
    assert!(hot > 45_000, "{hot} of 60000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn triggers_are_skipped_when_the_plan_says_so() {
    for (more, fired) in [("", 20_000), ("backfill: { triggers: skip }\n", 0)] {
        let stage = Stage::rename_on(Database::new().await, 20_000, more).await;
        let count = "CREATE SEQUENCE fired;
             CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('public.fired'); RETURN NEW; END $$;
             CREATE TRIGGER a_count BEFORE UPDATE ON vehicles FOR EACH ROW EXECUTE FUNCTION count_it()";
        stage.database.execute(count).await;
        stage.backfill().await.unwrap();
        assert_eq!((stage.unfilled().await, stage.rows_filled().await), (0, 20_000));
        let seen = stage.database.scalar::<i64>("SELECT last_value - (NOT is_called)::int FROM fired").await;
        assert_eq!(seen, fired, "{more}");
        // Writers are served as ever.
        stage.database.execute("UPDATE vehicles SET status = 'mine' WHERE id = 1").await;
        assert_eq!(stage.unfilled().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_setting_that_the_server_refuses_is_told_before_a_row_is_filled() {
    let old = versions().into_iter().find(|version| version.major == 14);
    if let Some(version) = old {
        let more = "backfill: { wal_compression: zstd }\n";
        let stage = Stage::rename_on(Database::on(&version).await, 5_000, more).await;
        let error = stage.backfill().await.unwrap_err();
        assert!(error.to_string().contains("the server refuses `backfill.wal_compression`"), "{error}");
        assert_eq!(stage.rows_filled().await, 0);
    }
}
