//! The engines on their own: the backfill, its throttle, the check and the repair, with the rest of a run made by hand.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossfade::backfill;
use crossfade::compile::{LedgerSchema, compile};
use crossfade::event::{Event, EventSink};
use crossfade::ident::RunId;
use crossfade::ledger::{Lease, LeaseError, Ledger, LedgerError, NewRun};
use crossfade::pg::Connector;
use crossfade::phase::Phase;
use crossfade::plan::{Plan, parse};
use crossfade::runner::{Error, Work};
use crossfade::step::Action;
use crossfade::verify::{self, Outcome, Side};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{Database, wait_for};

const PATIENCE: Duration = Duration::from_mins(1);

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
        let database = Database::new().await;
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
        ledger.register(&mut connection, &new, "test").await.unwrap();
        let run = ledger.find(&mut connection, plan.name.as_str()).await.unwrap();
        let Action::Transaction { statements, .. } = &run.program.steps_of(Phase::Expand).next().unwrap().apply else {
            panic!("expand is not a transaction")
        };
        for statement in statements {
            database.execute(statement).await;
        }
        let lease = ledger.take_lease(&mut connection, run.id, "test").await.unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink: EventSink = Arc::new({
            let events = Arc::clone(&events);
            move |event| events.lock().unwrap().push(event)
        });
        let heartbeat = tokio::spawn({
            let ledger = ledger.clone();
            async move {
                while ledger.renew_lease(&mut connection, lease).await.is_ok() {
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
            actor: "test".to_owned(),
        };
        Self { database, work, events, heartbeat }
    }

    fn plan(&self) -> &Plan {
        &self.work.run.plan
    }

    fn spec(&self) -> backfill::Spec {
        let mut steps = self.work.run.program.steps.iter();
        steps.find_map(|step| if let Action::Backfill(spec) = &step.apply { Some(spec.clone()) } else { None }).unwrap()
    }

    fn verify_spec(&self) -> verify::Spec {
        let mut steps = self.work.run.program.steps.iter();
        steps.find_map(|step| if let Action::Verify(spec) = &step.apply { Some(spec.clone()) } else { None }).unwrap()
    }

    async fn backfill(&self) -> Result<(), Error> {
        tokio::time::timeout(PATIENCE, backfill::run(&self.work, &self.spec())).await.unwrap()
    }

    fn spawn_backfill(&self) -> JoinHandle<Result<(), Error>> {
        let (work, spec) = (self.work.clone(), self.spec());
        tokio::spawn(async move { backfill::run(&work, &spec).await })
    }

    /// Goes on as another process would after this one died.
    async fn take_over(&mut self) {
        self.heartbeat.abort();
        let mut connection = PgConnection::connect(&self.database.url).await.unwrap();
        self.database.execute("UPDATE crossfade.lease SET expires = clock_timestamp()").await;
        let run = self.work.run.id;
        let lease = self.work.ledger.take_lease(&mut connection, run, "the next").await.unwrap();
        self.work.lease = lease;
        let ledger = self.work.ledger.clone();
        self.heartbeat = tokio::spawn(async move {
            while ledger.renew_lease(&mut connection, lease).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        });
    }

    async fn check(&self) -> Result<Outcome, Error> {
        let Work { connector, ledger, run, sink, stop, .. } = &self.work;
        let spec = self.verify_spec();
        verify::check(connector, ledger, &run.program, &spec, sink, stop, Phase::Verify, 2)
            .await
            .map(|(outcome, _)| outcome)
    }

    async fn set(&self, key: &str, value: &str) {
        let mut connection = PgConnection::connect(&self.database.url).await.unwrap();
        self.work.ledger.set(&mut connection, self.work.run.id, key, value).await.unwrap();
    }

    async fn unfilled(&self) -> i64 {
        self.database.scalar("SELECT count(*) FROM vehicles WHERE vehicle_status IS DISTINCT FROM status").await
    }

    async fn rows_filled(&self) -> i64 {
        self.database.scalar("SELECT COALESCE(sum(rows), 0)::bigint FROM crossfade.page_window").await
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
        assert!(stage.saw(|event| matches!(event, Event::Progress { phase: Phase::Backfill, rows_done, rows_total, .. } if *rows_done > 0 && rows_done == rows_total)));
        // A second call has nothing to do.
        let before = stage.rows_filled().await;
        stage.backfill().await.unwrap();
        assert_eq!(stage.rows_filled().await, before);
    }
}
