//! Measures the latency that an application sees: a small transaction, about 20 times a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::probe::harmless;
use super::{Seen, Signal, Value};
use crate::event::{Event, EventSink};
use crate::ident::{RunId, TableName};
use crate::latest::Latest;
use crate::ledger::Ledger;
use crate::pg::{self, Connector, ErrorClass, Owner};
use crate::run::Latencies;

/// Between two probes; they never overlap.
const EVERY: Duration = Duration::from_millis(50);
/// The time over which probes are judged together. In 20 probes the 90th percentile leaves two outliers out, which is
/// what a busy server has anyway; a higher percentile would take several seconds to be known, and the median would not see
/// what one in ten users sees.
const WINDOW: Duration = Duration::from_secs(1);
/// As many probes above the goal in one window are a verdict before it is over.
const ENOUGH: usize = 3;
/// After a verdict that slows the backfill down, probes do not count for so long: its last batches are still under way.
const SETTLE: Duration = Duration::from_millis(250);

/// What is felt.
#[derive(Debug, Clone)]
pub(crate) enum Felt {
    /// A query of the user's.
    Query(String),
    /// What applications do: a row is read, from a random page of the table, and a row of the ledger is changed, so that
    /// reads, the CPU and the flush of WAL at commit are all felt. It locks nothing that anybody else wants.
    Own {
        /// The ledger.
        ledger: Ledger,
        /// The run.
        run: RunId,
        /// The tables that are being filled, with their oids: one of them is read, for as long as that works.
        tables: Latest<Vec<(TableName, i64)>>,
    },
}

/// The latencies of all probes that nobody has kept yet.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Latencies>);

impl Tally {
    fn took(&self, seconds: f64, goal: f64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).took(seconds, goal);
    }

    /// Returns them.
    pub(crate) fn latencies(&self) -> Latencies {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes those out that are kept now.
    pub(crate) fn kept(&self, kept: &Latencies) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take_out(kept);
    }
}

/// Probes whenever a goal is set, publishes the latency that nine of ten probes stay below, and counts all of them in `tally`.
/// Never returns.
pub(crate) async fn feel(connector: Connector, sink: EventSink, seen: Latest<Seen>, felt: Felt, tally: Arc<Tally>) {
    let mut wanted = seen.follow();
    let mut told = String::new();
    loop {
        if wanted.wait_for(|seen| seen.wants(Signal::GoalLatency)).await.is_err() {
            return;
        }
        if let Err(error) = probes(&connector, &seen, &felt, &tally).await {
            let message = format!("the latency probe fails, so the pace stays as it is: {}", pg::describe(&error));
            if pg::class_of(&error) == ErrorClass::Connection {
                tracing::debug!(message);
            } else if message != told {
                told.clone_from(&message);
                sink(Event::Warning { message });
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Probes until nobody needs the result any more.
async fn probes(connector: &Connector, seen: &Latest<Seen>, felt: &Felt, tally: &Tally) -> Result<(), sqlx::Error> {
    let mut probe = Probe::open(connector, felt).await?;
    let mut worked = false;
    let mut window = Window::new(Instant::now());
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(goal) = seen.get().limit(Signal::GoalLatency) else { return Ok(()) };
        let looked = if window.is_new() { probe.look_around().await } else { Ok(()) };
        let began = Instant::now();
        let done = match looked {
            Ok(()) => probe.once().await,
            error => error,
        };
        let ended = Instant::now();
        match done {
            Ok(()) => worked = true,
            // The table may have been dropped: there may be others.
            Err(_) if worked => {
                probe = Probe::open(connector, felt).await?;
                worked = false;
                continue;
            }
            Err(error) => return Err(error),
        }
        tally.took(ended.duration_since(began).as_secs_f64(), goal);
        if let Some(latency) = window.took(began, ended, goal) {
            seen.change(|seen| seen.set(Signal::GoalLatency, Value::Known(latency), None));
        }
    }
}

struct Probe<'a> {
    connection: PgConnection,
    text: Text<'a>,
}

/// What a probe sends.
enum Text<'a> {
    /// A query of the user's.
    Query(&'a str),
    /// As [`Felt::Own`] says.
    Own {
        table: TableName,
        oid: i64,
        /// As whom it is read: the planner evaluates what it can of the predicates of indexes.
        owner: Owner,
        /// Pages of the table.
        pages: u32,
        /// Changes this session's row of the ledger.
        update: String,
    },
}

impl<'a> Probe<'a> {
    async fn open(connector: &Connector, felt: &'a Felt) -> Result<Self, sqlx::Error> {
        match felt {
            Felt::Query(sql) => {
                let mut connection = harmless(connector, "latency").await?;
                // Sent this way, it must be one statement: nothing ends the read-only transaction early.
                timely(pg::fetch(&mut connection, sql).await.map(drop))?;
                Ok(Self { connection, text: Text::Query(sql) })
            }
            Felt::Own { ledger, run, tables } => {
                let mut connection = connector.connect("latency").await?;
                pg::batch(&mut connection, "SET statement_timeout = '1s'; SET lock_timeout = '1s'").await?;
                let client = pg::backend_pid(&mut connection).await?;
                ledger.progress().begin_probe(&mut connection, *run, client).await?;
                let mut tables = tables.get();
                if tables.is_empty() {
                    return Err(sqlx::Error::RowNotFound);
                }
                let (table, oid) = tables.swap_remove(rand::random_range(0..tables.len()));
                let owner = Owner::enter(&mut connection, oid).await?;
                let update = ledger.progress().probe_sql(*run, client);
                Ok(Self { connection, text: Text::Own { table, oid, owner, pages: 1, update } })
            }
        }
    }

    /// Measures the table.
    async fn look_around(&mut self) -> Result<(), sqlx::Error> {
        if let Text::Own { oid, pages, .. } = &mut self.text {
            let select = "SELECT pg_catalog.pg_relation_size($1::bigint::oid) / pg_catalog.current_setting('block_size')::bigint";
            let now: Option<i64> = pg::query_scalar(select).bind(*oid).fetch_one(&mut self.connection).await?;
            *pages = u32::try_from(now.unwrap_or(1)).unwrap_or(u32::MAX).max(1);
        }
        Ok(())
    }

    /// One probe, in one round trip. One that is cut off by its timeout took as long as that.
    async fn once(&mut self) -> Result<(), sqlx::Error> {
        let text = match &self.text {
            Text::Query(sql) => (*sql).to_owned(),
            Text::Own { table, oid, owner, pages, update } => {
                let page = rand::random_range(0..*pages);
                let table = table.sql();
                let same = pg::unless_replaced(&table, *oid);
                let read = owner.ask(&format!(
                    "SELECT pg_catalog.count(*)::pg_catalog.text FROM {table} WHERE ctid OPERATOR(pg_catalog.=) '({page},1)'::pg_catalog.tid"
                ));
                format!("BEGIN; {same}; {read}; ROLLBACK; {update}")
            }
        };
        let done = pg::batch(&mut self.connection, &text).await;
        if done.is_err() {
            pg::rollback(&mut self.connection).await;
        }
        timely(done)
    }
}

/// Counts a timeout as an answer.
fn timely(result: Result<(), sqlx::Error>) -> Result<(), sqlx::Error> {
    match result {
        Err(error) if pg::class_of(&error) == ErrorClass::Contention => Ok(()),
        other => other,
    }
}

/// The probes of about a second.
#[derive(Debug)]
struct Window {
    began: Instant,
    seconds: Vec<f64>,
}

impl Window {
    fn new(now: Instant) -> Self {
        Self { began: now, seconds: vec![] }
    }

    fn is_new(&self) -> bool {
        self.seconds.is_empty()
    }

    /// Takes note of a probe. Returns what nine of ten stay below when that is known, and begins anew.
    fn took(&mut self, from: Instant, to: Instant, goal: f64) -> Option<f64> {
        if from < self.began {
            return None;
        }
        self.seconds.push(to.duration_since(from).as_secs_f64());
        let over = self.seconds.iter().filter(|seconds| **seconds > goal).count();
        if over < ENOUGH && to.duration_since(self.began) < WINDOW {
            return None;
        }
        self.seconds.sort_by(f64::total_cmp);
        let count = self.seconds.len();
        // Two outliers in 20, or in nearly as many; an early verdict leaves out as many.
        let outliers = if over >= ENOUGH { ENOUGH - 1 } else { (count + 2) / 10 };
        let latency = self.seconds.get(count - 1 - outliers.min(count - 1)).copied();
        let pause = if latency.is_some_and(|latency| latency > goal) { SETTLE } else { Duration::ZERO };
        *self = Self::new(to + pause);
        latency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOAL: f64 = 0.005;

    /// Probes one after the other, 50 ms apart; returns the verdicts with the number of the probe.
    fn verdicts(times: impl IntoIterator<Item = u64>) -> Vec<(usize, u128)> {
        let mut now = Instant::now();
        let mut window = Window::new(now);
        let mut verdicts = vec![];
        for (number, milliseconds) in times.into_iter().enumerate() {
            let end = now + Duration::from_millis(milliseconds);
            if let Some(latency) = window.took(now, end, GOAL) {
                verdicts.push((number, Duration::from_secs_f64(latency).as_millis()));
            }
            now = end.max(now + EVERY);
        }
        verdicts
    }

    #[test]
    fn a_calm_second_is_one_verdict_and_outliers_are_left_out() {
        assert_eq!(verdicts([2; 21]), [(20, 2)]);
        let outliers = (0..200).map(|n| if n % 24 < 2 { 90 } else { 3 });
        assert!(verdicts(outliers).iter().all(|(_, latency)| *latency == 3));
    }

    #[test]
    fn a_bad_moment_is_noticed_at_once_and_then_given_time_to_pass() {
        let found = verdicts([2, 2, 2, 20, 2, 30, 40, 10, 10, 10, 10, 10, 9, 9, 9]);
        // The third above the goal; then 250 ms of silence, then three more.
        assert_eq!(found, [(6, 20), (14, 9)]);
    }

    #[test]
    fn slow_probes_are_judged_by_the_few_there_are() {
        assert_eq!(verdicts([400, 400, 400, 400, 400, 400, 400])[0], (2, 400));
        assert_eq!(verdicts([900, 900, 900]), [(1, 900)]);
    }
}
