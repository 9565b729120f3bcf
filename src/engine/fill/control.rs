//! The control loop of a backfill: settings and signals in, orders and events out, workers started and awaited.
//!
//! One loop serves all tables of a step. Each worker gets a table of its own as long as there is one; then they share what is left.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::method::{Method, Shape};
use super::orders::{Orders, Settings};
use super::privileged::{self, Refused};
use super::rate::Rate;
use super::shared::{Learned, Shared, connect};
use super::worker::{Left, Worker};
use crate::engine::{Error, Work};
use crate::event::Event;
use crate::failpoint;
use crate::ident::TableName;
use crate::latest::Latest;
use crate::ledger::{FillReport, lease_time};
use crate::pg::{self, ErrorClass};
use crate::run::{FillSpec, Level, PaceReport, Phase, Relation, RelationId, StepKey};
use crate::throttle::{self, Felt, Holds, Pace, Pacer, RowRate, Seen, Signal, Tally};

/// The interval for reading settings and signals.
const TICK: Duration = Duration::from_millis(100);
/// Between two progress events.
const PROGRESS: Duration = Duration::from_millis(250);
/// How often a connection that is lost as soon as it is made is made again, before the run has to decide.
const CONNECT_AGAIN: u32 = 10;
/// Between two reports to the ledger.
const REPORT: Duration = Duration::from_secs(1);

/// Returns the settings of a batch's transaction, as statements.
async fn session(work: &Work, connection: &mut PgConnection) -> Result<String, Error> {
    let plan = &work.run.plan.backfill;
    if let Some(Refused { key, said, help }) = privileged::refused(connection, plan).await?.into_iter().next() {
        return Err(Error::SettingRefused { key, said, help });
    }
    // The planner has no statistics of the new column; a TID range scan is what is wanted, always.
    Ok("SET LOCAL enable_seqscan = off; ".to_owned() + &privileged::statements(plan))
}

/// Connects for the control loop, which must not wait for anybody for long, because workers depend on it.
pub(super) async fn control(work: &Work, announce: bool) -> Result<PgConnection, Error> {
    let mut tries = 0;
    loop {
        let mut connection = connect(work, "control", announce).await?;
        match pg::batch(&mut connection, "SET lock_timeout = '250ms'").await {
            Ok(()) => return Ok(connection),
            // Lost again at once: by whoever ended the one before, for example.
            Err(error) if pg::class_of(&error) == ErrorClass::Connection && tries < CONNECT_AGAIN => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) struct Control {
    work: Work,
    step: StepKey,
    /// What is filled in each table.
    spec: FillSpec,
    /// Whether the step has several tables: then one that is gone is no error.
    of_many: bool,
    /// Settings of a batch's transaction, as statements.
    session: String,
    deadlock_timeout: Duration,
    connection: PgConnection,
    /// Tables that nobody fills yet.
    waiting: VecDeque<(RelationId, Relation)>,
    /// Tables that are being filled.
    filling: BTreeMap<RelationId, Filling>,
    learned: Arc<Learned>,
    workers: JoinSet<(u16, Result<Left, Error>)>,
    /// The running workers, and what they fill.
    at_work: BTreeMap<u16, RelationId>,
    orders: Latest<Orders>,
    seen: Latest<Seen>,
    /// Those that are being filled, for the signals.
    tables: Latest<Vec<(TableName, i64)>>,
    /// The latencies that are not in the ledger yet.
    tally: Arc<Tally>,
    pacer: Pacer,
    holds: Holds,
    /// The tasks that read the signals; they end when this is dropped.
    watchers: JoinSet<()>,
    unreadable: Vec<String>,
    /// The other processes working on the run, by their epochs.
    peers: BTreeMap<i64, String>,
    rate: Rate,
    held_since: Instant,
    progress_due: Instant,
    report_due: Instant,
}

/// A table that is being filled.
struct Filling {
    shared: Arc<Shared>,
    /// Whether a worker found no more windows to take.
    all_taken: bool,
    /// Whether there is no such table any more.
    gone: bool,
}

/// Why the control loop could not do something.
enum Fault {
    /// It may be that it can the next time: where the server's error is of the kind that comes and goes.
    Passing(Error),
    /// Whatever kind it is of, it has been tried often enough.
    Final(Error),
}

impl<E: Into<Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Passing(error.into())
    }
}

impl Control {
    /// Begins with the tables of a step.
    ///
    /// # Errors
    /// As [`run`](super::run).
    pub(super) async fn start(work: &Work, spec: &FillSpec, step: StepKey) -> Result<Self, Error> {
        let mut connection = control(work, true).await?;
        let deadlock_timeout = pg::deadlock_timeout(&mut connection).await?;
        let session = session(work, &mut connection).await?;
        let live = work.ledger.progress().settings(&mut connection, work.run.id).await?;
        let (settings, unreadable) = Settings::new(&work.run.plan, &live);
        let processes = and_us(work.ledger.leases().others(&mut connection, work.lease).await?.len());
        let settings = settings.shared_by(processes);
        let now = Instant::now();
        let mut wanted = Seen::default();
        wanted.want(&settings.limits, now);
        let seen = Latest::new(wanted);
        let mut pacer = Pacer::new();
        let pace = pacer.pace(&seen.get().at(now), &settings.limits, settings.paused);
        let rate = RowRate::new(settings.rows_per_second).map(Arc::new);
        let orders = Latest::new(settings.orders(now, pace, rate, batch_target(&settings, &pacer), processes));
        if settings.paused {
            work.emit(Event::Paused);
        }
        Ok(Self {
            work: work.clone(),
            step,
            spec: spec.clone(),
            of_many: work.run.facts.main().has_members(),
            session,
            deadlock_timeout,
            connection,
            waiting: VecDeque::new(),
            filling: BTreeMap::new(),
            learned: Arc::default(),
            workers: JoinSet::new(),
            at_work: BTreeMap::new(),
            orders,
            seen,
            tables: Latest::new(vec![]),
            tally: Arc::default(),
            pacer,
            holds: Holds::new(now),
            watchers: JoinSet::new(),
            unreadable,
            peers: BTreeMap::new(),
            rate: Rate::default(),
            held_since: now,
            progress_due: now,
            report_due: now,
        })
    }

    /// Returns the tables of a partitioned one, or of one that others inherit from, that are not filled yet and have rows: those of one size
    /// together, so that workers have batches of one length, and the largest first, so that all workers have something to do to the end.
    ///
    /// # Errors
    /// As [`run`](super::run).
    pub(super) async fn unfilled(&mut self, root: &Relation) -> Result<Vec<(RelationId, Relation)>, Error> {
        let work = self.work.clone();
        let unfilled = work.ledger.progress().partitions(&mut self.connection, work.lease, root).await?.unfilled;
        let mut with_rows = Vec::new();
        for (id, partition) in unfilled {
            match self.open_pass(id, &partition).await {
                Ok(0) => {}
                Ok(pages) => with_rows.push((pages, (id, partition))),
                Err(error) if is_gone(&error) => {
                    tracing::debug!(%error, partition = %partition.table, "a partition is gone");
                }
                Err(error) => return Err(error),
            }
        }
        with_rows.sort_by_key(|(pages, _)| Reverse(*pages));
        Ok(with_rows.into_iter().map(|(_, table)| table).collect())
    }

    /// Returns how many other processes help to fill, without the one that leads.
    ///
    /// # Errors
    /// The server's error.
    pub(super) async fn helpers(&mut self) -> Result<usize, Error> {
        let others = self.work.ledger.leases().others(&mut self.connection, self.work.lease).await?;
        Ok(others.iter().filter(|other| !other.leads).count())
    }

    /// Begins to keep account of a table. Returns how many pages it has to fill.
    ///
    /// # Errors
    /// As [`run`](super::run).
    pub(super) async fn open_pass(&mut self, id: RelationId, relation: &Relation) -> Result<u32, Error> {
        let work = &self.work;
        let pass = work.ledger.progress().open_pass(&mut self.connection, work.lease, id, relation).await?;
        Ok(pass.bound)
    }

    /// Fills these tables.
    ///
    /// # Errors
    /// As [`run`](super::run).
    pub(super) async fn fill(&mut self, tables: Vec<(RelationId, Relation)>) -> Result<(), Error> {
        self.waiting.extend(tables);
        let pulse = self.work.pulse.clone();
        pulse.beating("the control loop of the backfill", Box::pin(self.run())).await
    }

    /// Ends, and keeps the connection for who comes next.
    ///
    /// # Errors
    /// The server's error.
    pub(super) async fn end(mut self) -> Result<(), Error> {
        self.holds.at(Instant::now(), false, &Pace::Run);
        self.report_holds().await?;
        let (work, run) = (&self.work, self.work.run.id);
        let holds = work.ledger.progress().holds(&mut self.connection, &[run]).await?.all(run);
        let holds: Vec<_> = holds.into_iter().flatten().collect();
        if !holds.is_empty() {
            work.emit(Event::HoldTimes { holds });
        }
        work.connector.keep(self.connection);
        Ok(())
    }

    async fn run(&mut self) -> Result<(), Error> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let done = match timely(self.settle()).await {
                Ok(()) => tokio::select! {
                    _ = tick.tick() => timely(self.tick()).await,
                    Some(ended) = self.workers.join_next() => match ended {
                        Ok((number, result)) => self.ended(number, result).await,
                        // It panicked, which has been printed.
                        Err(_) => Err(Fault::Final(Error::NotCovered { what: "a worker ended in the middle of its window".to_owned() })),
                    }
                },
                // The workers go on meanwhile, and need fresh orders.
                Err(fault) => {
                    tick.tick().await;
                    let hung = matches!(&fault, Fault::Passing(error) if error.class() == ErrorClass::Connection);
                    if hung { Err(fault) } else { timely(self.tick()).await.and(Err(fault)) }
                }
            };
            match done {
                Ok(()) => {}
                Err(Fault::Passing(error)) if error.class() == ErrorClass::Connection => {
                    self.connection = control(&self.work, false).await?;
                }
                // Somebody has locked a row of the ledger; the next time does what this one could not.
                Err(Fault::Passing(error)) if error.class() == ErrorClass::Contention => {
                    tracing::debug!(%error, "control loop");
                }
                Err(Fault::Passing(error) | Fault::Final(error)) => return Err(error),
            }
            if self.waiting.is_empty() && self.filling.is_empty() {
                return Ok(());
            }
            // Else the workers see it.
            if self.workers.is_empty() && self.work.stop.is_cancelled() {
                return Err(Error::Interrupted);
            }
        }
    }

    /// A worker has ended.
    async fn ended(&mut self, number: u16, result: Result<Left, Error>) -> Result<(), Fault> {
        let table = self.at_work.remove(&number).and_then(|id| self.filling.get_mut(&id));
        match (result, table) {
            // By now it may be needed again: it may have left the last windows of its table.
            (Ok(Left::NotNeeded), table) => {
                if let Some(table) = table {
                    table.all_taken = false;
                }
                Ok(())
            }
            (Ok(Left::Stopped) | Err(Error::Interrupted), _) => {
                self.stopped().await;
                Err(Fault::Final(Error::Interrupted))
            }
            (Ok(Left::AllTaken), table) => {
                if let Some(table) = table {
                    table.all_taken = true;
                }
                Ok(())
            }
            (Err(error), Some(table)) if self.of_many && is_gone(&error) => {
                tracing::debug!(%error, table = %table.shared.spec.table, "a partition is gone");
                (table.all_taken, table.gone) = (true, true);
                Ok(())
            }
            (Err(error), _) => {
                self.workers.shutdown().await;
                Err(Fault::Final(error))
            }
        }
    }

    /// Waits for the other workers' open batches.
    async fn stopped(&mut self) {
        while let Some(ended) = self.workers.join_next().await {
            if let Ok((_, Err(error))) = ended
                && !matches!(error, Error::Interrupted)
            {
                tracing::debug!(%error, "a worker that was told to stop");
            }
        }
    }

    /// Ends tables whose last worker has left, and starts workers up to the number wanted.
    async fn settle(&mut self) -> Result<(), Fault> {
        while let Some(id) = self.filling.iter().find(|(id, table)| table.all_taken && self.workers_of(**id) == 0) {
            let id = *id.0;
            self.done(id).await?;
        }
        for number in 0..self.orders.get().workers {
            if self.at_work.contains_key(&number) {
                continue;
            }
            let Some((id, shared)) = self.next_table().await? else { return Ok(()) };
            let first = self.workers_of(id) == 0;
            self.at_work.insert(number, id);
            let worker = Worker::new(shared, (number, first), self.orders.follow());
            let pulse = self.work.pulse.clone();
            let work = async move { (number, pulse.beating("a worker of the backfill", worker.run()).await) };
            self.workers.spawn(work.in_current_span());
        }
        Ok(())
    }

    fn workers_of(&self, id: RelationId) -> usize {
        self.at_work.values().filter(|at| **at == id).count()
    }

    /// Returns the table for another worker: one that nobody fills yet, or one to share.
    async fn next_table(&mut self) -> Result<Option<(RelationId, Arc<Shared>)>, Error> {
        // It waits until it is open: this may be dropped at any point.
        while let Some((id, relation)) = self.waiting.front().cloned() {
            match self.open(id, &relation).await {
                Ok(shared) => {
                    self.waiting.pop_front();
                    return Ok(Some((id, shared)));
                }
                Err(error) if self.of_many && is_gone(&error) => {
                    tracing::debug!(%error, partition = %relation.table, "a partition is gone");
                    self.waiting.pop_front();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.to_share())
    }

    /// Returns the table that is being filled with the fewest workers; none where all have enough.
    fn to_share(&self) -> Option<(RelationId, Arc<Shared>)> {
        let orders = self.orders.get();
        let may_have_more = |(id, table): &(&RelationId, &Filling)| {
            let most = orders.method(table.shared.method).workers(orders.workers);
            !table.all_taken && self.workers_of(**id) < usize::from(most)
        };
        let table = self.filling.iter().filter(may_have_more).min_by_key(|(id, _)| self.workers_of(**id));
        table.map(|(id, table)| (*id, Arc::clone(&table.shared)))
    }

    /// Begins with a table.
    async fn open(&mut self, id: RelationId, relation: &Relation) -> Result<Arc<Shared>, Error> {
        let work = &self.work;
        let connection = &mut self.connection;
        let spec = FillSpec { relation: id, table: relation.table.clone(), ..self.spec.clone() };
        work.ledger.progress().give_back(connection, work.lease, id).await?;
        let (shape, counts_hot) = match Shape::read(connection, &spec, relation.oid).await {
            // Somebody has locked it: its first worker waits, and says for whom.
            Err(error) if pg::class_of(&error) == ErrorClass::Contention => (Shape::ordinary(), true),
            read => read.map_err(|error| Error::or_gone(error, &spec.table))?,
        };
        let method = Method::choose(&shape);
        let shared = Arc::new(Shared {
            work: work.clone(),
            spec,
            relation: relation.clone(),
            learned: Arc::clone(&self.learned),
            method: if self.of_many { method.of_one_worker(&shape) } else { method },
            counts_hot,
            step: self.step.clone(),
            session: self.session.clone(),
            lock_timeout: (self.deadlock_timeout / 2).clamp(Duration::from_millis(1), Duration::from_millis(500)),
            batch_timeout: pg::waits_end(self.deadlock_timeout),
        });
        self.filling.insert(id, Filling { shared: Arc::clone(&shared), all_taken: false, gone: false });
        self.tell_watchers();
        if self.watchers.is_empty() {
            self.watch();
        }
        Ok(shared)
    }

    /// Proves that no page of a table was left out.
    async fn done(&mut self, id: RelationId) -> Result<(), Error> {
        let gone = self.filling.get(&id).is_none_or(|table| table.gone);
        if !gone {
            let (progress, run) = (self.work.ledger.progress(), self.work.run.id);
            if let Some(what) = progress.uncovered(&mut self.connection, run, id).await? {
                return Err(Error::NotCovered { what });
            }
            self.progress(Some(id)).await?;
        }
        self.filling.remove(&id);
        self.tell_watchers();
        Ok(())
    }

    /// Says which tables are being filled; between two, which were.
    fn tell_watchers(&self) {
        if !self.filling.is_empty() {
            let tables = self.filling.values().map(|table| (table.shared.spec.table.clone(), table.shared.table_oid()));
            self.tables.set(tables.collect());
        }
    }

    async fn tick(&mut self) -> Result<(), Fault> {
        failpoint::hit("backfill.control");
        let work = &self.work;
        let live = work.ledger.progress().settings(&mut self.connection, work.run.id).await?;
        let (settings, unreadable) = Settings::new(&work.run.plan, &live);
        if unreadable != self.unreadable {
            for setting in &unreadable {
                work.emit(Event::Warning { message: format!("the live setting {setting} is invalid and was ignored") });
            }
            self.unreadable = unreadable;
        }
        let processes = self.look_around().await?;
        let settings = settings.shared_by(processes);
        let now = Instant::now();
        let before = self.orders.get();
        self.seen.change_if(|seen| seen.want(&settings.limits, now));
        let pace = self.pacer.pace(&self.seen.get().at(now), &settings.limits, settings.paused);
        self.tell(&before, settings.paused, pace);
        let released = self.holds.at(now, settings.paused, &pace);
        let unchanged = before.rate.as_ref().map(|rate| rate.rows_per_second()) == settings.rows_per_second;
        let rate = if unchanged { before.rate } else { RowRate::new(settings.rows_per_second).map(Arc::new) };
        self.orders.set(settings.orders(now, pace, rate, batch_target(&settings, &self.pacer), processes));
        if released || now >= self.report_due {
            self.report_holds().await?;
        }
        if now >= self.progress_due {
            self.progress_due = now + PROGRESS;
            self.progress(None).await?;
        }
        Ok(())
    }

    /// Reports who has joined and who has left. Returns how many processes are working.
    async fn look_around(&mut self) -> Result<u16, Error> {
        let work = &self.work;
        let mut gone = std::mem::take(&mut self.peers);
        for peer in work.ledger.leases().others(&mut self.connection, work.lease).await? {
            if gone.remove(&peer.epoch).is_none() {
                work.emit(Event::PeerCame { holder: peer.holder.clone(), leads: peer.leads });
            }
            self.peers.insert(peer.epoch, peer.holder);
        }
        for holder in gone.into_values() {
            work.emit(Event::PeerWent { holder });
        }
        Ok(and_us(self.peers.len()))
    }

    /// Emits what has changed since the last orders.
    fn tell(&mut self, before: &Orders, paused: bool, pace: Pace) {
        let work = &self.work;
        match (before.paused, paused) {
            (false, true) => work.emit(Event::Paused),
            (true, false) => work.emit(Event::Unpaused),
            _ => {}
        }
        let (held, holds) = (before.pace.held_by(), pace.held_by());
        if held.map(|level| level.signal) == holds.map(|level| level.signal) {
            return;
        }
        if let Some(Level { signal, .. }) = held {
            work.emit(Event::Released { signal, seconds: self.held_since.elapsed().as_secs_f64() });
        }
        if let Some(level) = holds {
            self.held_since = Instant::now();
            work.emit(Event::Hold(level));
        }
    }

    /// Adds the time spent waiting to the ledger. Of several processes, the leading one records its own.
    async fn report_holds(&mut self) -> Result<(), Error> {
        let work = &self.work;
        if work.lease.leads {
            work.ledger.progress().add_holds(&mut self.connection, work.run.id, self.holds.sums()).await?;
        }
        self.holds.forget();
        Ok(())
    }

    fn pace_report(&self, now: Instant) -> PaceReport {
        let (orders, seen) = (self.orders.get(), self.seen.get());
        PaceReport::new(&orders.pace, orders.paused, &seen.at(now), seen.limit(Signal::GoalLatency))
    }

    /// Says how far the tables are, or that this one is done.
    async fn progress(&mut self, over: Option<RelationId>) -> Result<(), Error> {
        let tables = over.map_or_else(|| self.filling.keys().copied().collect(), |id| vec![id]);
        let Some(&first) = tables.first() else { return Ok(()) };
        let (work, run) = (self.work.clone(), self.work.run.id);
        let progress = work.ledger.progress();
        // What is told of a partition is told of all of them together.
        let connection = &mut self.connection;
        let done = if self.of_many {
            progress.fill(connection, run).await?
        } else {
            progress.fill_of(connection, run, first).await?
        };
        let Some(done) = done else { return Ok(()) };
        let (rows_per_second, eta_seconds) = self.rate.over(&done);
        // The end of a partition is not the end of all.
        let eta_seconds = if over.is_some() && done.done >= done.bound { Some(0.0) } else { eta_seconds };
        let told = done.progress(work.run.facts.main(), rows_per_second, eta_seconds);
        work.emit(Event::Progress { phase: Phase::Backfill, progress: told });
        let now = Instant::now();
        if over.is_none() && now < self.report_due {
            return Ok(());
        }
        let orders = self.orders.get();
        let held_by = if over.is_some() { None } else { orders.held_by() };
        let report =
            FillReport { rows_per_second, eta_seconds, held_by, held_since: None, pace: self.pace_report(now) };
        if over.is_none() {
            self.report_due = now + REPORT;
            if let Some(level) = report.pace.slowed_by {
                work.emit(Event::Slowed { level, speed: orders.pace.speed() });
            }
        }
        for id in tables {
            let Some(own) = progress.fill_of(&mut self.connection, run, id).await? else { continue };
            // The first that is told of has those of all.
            let latencies = self.tally.latencies();
            progress.report(&mut self.connection, (work.lease, id), &report, (own.rows, &latencies)).await?;
            self.tally.kept(&latencies);
        }
        Ok(())
    }

    /// Starts the tasks that read the signals.
    fn watch(&mut self) {
        // Until now nobody has looked at them.
        self.seen.set(Seen::default());
        let Work { connector, sink, ledger, run, .. } = &self.work;
        let (plan, seen, tables) = (&run.plan, &self.seen, &self.tables);
        self.watchers.spawn(throttle::sample(connector.clone(), sink.clone(), seen.clone(), tables.clone()));
        if let Some(probe) = &plan.throttle.probe {
            self.watchers.spawn(throttle::probe(connector.clone(), sink.clone(), seen.clone(), probe.sql.clone()));
        }
        let felt = plan
            .backfill
            .latency_probe
            .clone()
            .map_or_else(|| Felt::Own { ledger: ledger.clone(), run: run.id, tables: tables.clone() }, Felt::Query);
        let tally = Arc::clone(&self.tally);
        self.watchers.spawn(throttle::feel(connector.clone(), sink.clone(), seen.clone(), felt, tally));
    }
}

/// What the control loop asks of the server must not take for ever: by then orders are stale and the lease is lost.
async fn timely(doing: impl Future<Output = Result<(), Fault>>) -> Result<(), Fault> {
    tokio::time::timeout(lease_time(), doing).await.unwrap_or_else(|_| Err(pg::no_answer().into()))
}

/// Returns whether the error says that there is no such table any more: it was dropped, or has another name.
fn is_gone(error: &Error) -> bool {
    let missing = || error.database().and_then(pg::sqlstate).is_some_and(|code| code == "42P01");
    matches!(error, Error::TableGone { .. }) || missing()
}

/// Returns how many processes there are with this one.
fn and_us(others: usize) -> u16 {
    u16::try_from(others).unwrap_or(u16::MAX).saturating_add(1)
}

/// Returns how long a batch should take at the current pace.
fn batch_target(settings: &Settings, pacer: &Pacer) -> Duration {
    settings.batch_target.mul_f64(pacer.batch_share()).max(Duration::from_millis(1))
}
