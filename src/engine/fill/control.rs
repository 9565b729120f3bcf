//! The control loop of a backfill: settings and signals in, orders and events out, workers started and awaited.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::method::{Method, Shape};
use super::orders::{Orders, Settings};
use super::privileged::{self, Refused};
use super::shared::{Shared, connect};
use super::together::Together;
use super::worker::{Left, Worker};
use crate::engine::{Error, Work};
use crate::event::Event;
use crate::failpoint;
use crate::latest::Latest;
use crate::ledger::{FillReport, lease_time};
use crate::pg::{self, ErrorClass};
use crate::run::{FillSpec, Level, PaceReport, Phase, Relation, StepKey};
use crate::throttle::{self, Felt, Holds, Pace, Pacer, RowRate, Seen, Signal, Tally};

/// The interval for reading settings and signals.
const TICK: Duration = Duration::from_millis(100);
/// Between two progress events.
const PROGRESS: Duration = Duration::from_millis(250);
/// How often a connection that is lost as soon as it is made is made again, before the run has to decide.
const CONNECT_AGAIN: u32 = 10;
/// Between two reports to the ledger.
const REPORT: Duration = Duration::from_secs(1);

/// Fills one table, as a part of this step. As [`run`](super::run) otherwise.
pub(super) async fn of_table(
    work: &Work,
    spec: &FillSpec,
    relation: Relation,
    step: StepKey,
    together: &Arc<Together>,
) -> Result<(), Error> {
    let mut connection = control(work, true).await?;
    work.ledger.progress().open_pass(&mut connection, work.lease, spec.relation, &relation).await?;
    let deadlock_timeout = pg::deadlock_timeout(&mut connection).await?;
    let (shape, counts_hot) = Shape::read(&mut connection, spec, relation.oid).await?;
    let method = Method::choose(&shape);
    let of_many = work.run.facts.main().has_members();
    let shared = Arc::new(Shared {
        work: work.clone(),
        spec: spec.clone(),
        relation,
        together: Arc::clone(together),
        method: if of_many { method.of_one_worker(&shape) } else { method },
        counts_hot,
        step,
        session: session(work, &mut connection).await?,
        lock_timeout: (deadlock_timeout / 2).clamp(Duration::from_millis(1), Duration::from_millis(500)),
        batch_timeout: pg::waits_end(deadlock_timeout),
    });
    let control = Control::start(shared, connection).await?;
    work.pulse.beating("the control loop of the backfill", Box::pin(control.run())).await
}

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

struct Control {
    shared: Arc<Shared>,
    connection: PgConnection,
    workers: JoinSet<(u16, Result<Left, Error>)>,
    /// Numbers of the running workers.
    at_work: BTreeSet<u16>,
    orders: Latest<Orders>,
    seen: Latest<Seen>,
    /// The latencies that are not in the ledger yet.
    tally: Arc<Tally>,
    pacer: Pacer,
    holds: Holds,
    /// The tasks that read the signals; they end when this is dropped.
    _watchers: JoinSet<()>,
    unreadable: Vec<String>,
    /// The other processes working on the run, by their epochs.
    peers: BTreeMap<i64, String>,
    held_since: Instant,
    progress_due: Instant,
    report_due: Instant,
}

impl Control {
    async fn start(shared: Arc<Shared>, mut connection: PgConnection) -> Result<Self, Error> {
        let work = &shared.work;
        let live = work.ledger.progress().settings(&mut connection, work.run.id).await?;
        let (settings, unreadable) = Settings::new(&work.run.plan, &live);
        let processes = and_us(work.ledger.leases().others(&mut connection, work.lease).await?.len());
        let settings = settings.shared_by(processes);
        let mut wanted = Seen::default();
        wanted.want(&settings.limits, Instant::now());
        let seen = Latest::new(wanted);
        let mut pacer = Pacer::new();
        let pace = pacer.pace(&seen.get().at(Instant::now()), &settings.limits, settings.paused);
        let orders = Latest::new(Orders {
            at: Instant::now(),
            paused: settings.paused,
            pace,
            rate: RowRate::new(settings.rows_per_second).map(Arc::new),
            batch_target: batch_target(&settings, &pacer),
            workers: settings.method(shared.method).workers(settings.workers),
            processes,
            method: settings.method(shared.method),
            long_transactions: settings.long_transactions,
        });
        if settings.paused {
            work.emit(Event::Paused);
        }
        let now = Instant::now();
        let tally = Arc::default();
        Ok(Self {
            _watchers: watchers(&shared, &seen, &tally),
            tally,
            shared,
            connection,
            workers: JoinSet::new(),
            at_work: BTreeSet::new(),
            orders,
            seen,
            pacer,
            holds: Holds::new(now),
            unreadable,
            peers: BTreeMap::new(),
            held_since: now,
            progress_due: now,
            report_due: now,
        })
    }

    async fn run(mut self) -> Result<(), Error> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.hire();
        loop {
            tokio::select! {
                _ = tick.tick() => match self.timely_tick().await {
                    Err(error) if error.class() == ErrorClass::Connection => {
                        self.connection = control(&self.shared.work, false).await?;
                    }
                    // Somebody has locked a row of the ledger; the next tick does what this one could not.
                    Err(error) if error.class() == ErrorClass::Contention => tracing::debug!(%error, "control loop"),
                    other => other?,
                },
                Some(ended) = self.workers.join_next() => {
                    if let Ok((number, result)) = ended {
                        self.at_work.remove(&number);
                        match result {
                            Ok(Left::AllTaken) => {}
                            // By now it may be needed again.
                            Ok(Left::NotNeeded) => self.hire(),
                            Ok(Left::Stopped) | Err(Error::Interrupted) => return self.stopped().await,
                            Err(error) => {
                                self.workers.shutdown().await;
                                return Err(error);
                            }
                        }
                    }
                }
            }
            if self.workers.is_empty() {
                self.done().await?;
                self.shared.work.connector.keep(self.connection);
                return Ok(());
            }
        }
    }

    /// Waits for the other workers' open batches.
    async fn stopped(mut self) -> Result<(), Error> {
        while let Some(ended) = self.workers.join_next().await {
            if let Ok((_, Err(error))) = ended
                && !matches!(error, Error::Interrupted)
            {
                tracing::debug!(%error, "a worker that was told to stop");
            }
        }
        Err(Error::Interrupted)
    }

    /// Proves that no page was left out.
    async fn done(&mut self) -> Result<(), Error> {
        let work = self.shared.work.clone();
        if let Some(what) =
            work.ledger.progress().uncovered(&mut self.connection, work.run.id, self.shared.spec.relation).await?
        {
            return Err(Error::NotCovered { what });
        }
        self.holds.at(Instant::now(), false, &Pace::Run);
        self.report_holds().await?;
        let run = work.run.id;
        let holds = work.ledger.progress().holds(&mut self.connection, &[run]).await?.all(run);
        let holds: Vec<_> = holds.into_iter().flatten().collect();
        if !holds.is_empty() {
            work.emit(Event::HoldTimes { holds });
        }
        self.progress(true).await
    }

    /// Starts workers up to the number wanted.
    fn hire(&mut self) {
        let wanted = self.orders.get().workers;
        for number in 0..wanted {
            if self.at_work.insert(number) {
                let worker = Worker::new(Arc::clone(&self.shared), number, self.orders.follow());
                let pulse = self.shared.work.pulse.clone();
                let work = async move { (number, pulse.beating("a worker of the backfill", worker.run()).await) };
                self.workers.spawn(work.in_current_span());
            }
        }
    }

    /// One tick, which must not wait for the server for ever: by then orders are stale and the lease is lost.
    async fn timely_tick(&mut self) -> Result<(), Error> {
        failpoint::hit("backfill.control");
        let ticked = tokio::time::timeout(lease_time(), self.tick()).await;
        ticked.unwrap_or_else(|_| Err(pg::no_answer().into()))
    }

    async fn tick(&mut self) -> Result<(), Error> {
        let work = &self.shared.work;
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
        let method = settings.method(self.shared.method);
        let (batch_target, workers) = (batch_target(&settings, &self.pacer), method.workers(settings.workers));
        self.orders.set(Orders {
            at: now,
            paused: settings.paused,
            pace,
            rate,
            batch_target,
            workers,
            processes,
            method,
            long_transactions: settings.long_transactions,
        });
        if workers > before.workers {
            self.hire();
        }
        if released || now >= self.report_due {
            self.report_holds().await?;
        }
        if now >= self.progress_due {
            self.progress_due = now + PROGRESS;
            self.progress(false).await?;
        }
        Ok(())
    }

    /// Reports who has joined and who has left. Returns how many processes are working.
    async fn look_around(&mut self) -> Result<u16, Error> {
        let work = &self.shared.work;
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
        let work = &self.shared.work;
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
        let work = &self.shared.work;
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

    async fn progress(&mut self, over: bool) -> Result<(), Error> {
        let work = &self.shared.work;
        let progress = work.ledger.progress();
        let Some(own) = progress.fill_of(&mut self.connection, work.run.id, self.shared.spec.relation).await? else {
            return Ok(());
        };
        // What is told of a partition is told of all of them together.
        let is_one_of_many = work.run.facts.main().has_members();
        let all = if is_one_of_many { progress.fill(&mut self.connection, work.run.id).await? } else { None };
        let done = all.unwrap_or_else(|| own.clone());
        let (rows_per_second, eta_seconds) =
            self.shared.together.rate.lock().unwrap_or_else(PoisonError::into_inner).over(&done);
        // The end of a partition is not the end of all.
        let eta_seconds = if over && done.done >= done.bound { Some(0.0) } else { eta_seconds };
        let progress = done.progress(work.run.facts.main(), rows_per_second, eta_seconds);
        work.emit(Event::Progress { phase: Phase::Backfill, progress });
        let now = Instant::now();
        if over || now >= self.report_due {
            self.report_due = now + REPORT;
            let orders = self.orders.get();
            let held_by = if over { None } else { orders.held_by() };
            let report =
                FillReport { rows_per_second, eta_seconds, held_by, held_since: None, pace: self.pace_report(now) };
            if let Some(level) = report.pace.slowed_by {
                work.emit(Event::Slowed { level, speed: orders.pace.speed() });
            }
            let latencies = self.tally.latencies();
            let seat = (work.lease, self.shared.spec.relation);
            work.ledger.progress().report(&mut self.connection, seat, &report, (own.rows, &latencies)).await?;
            self.tally.kept(&latencies);
        }
        Ok(())
    }
}

/// Returns how many processes there are with this one.
fn and_us(others: usize) -> u16 {
    u16::try_from(others).unwrap_or(u16::MAX).saturating_add(1)
}

/// Starts the tasks that read the signals.
fn watchers(shared: &Shared, seen: &Latest<Seen>, tally: &Arc<Tally>) -> JoinSet<()> {
    let Work { connector, sink, ledger, run, .. } = &shared.work;
    let (plan, table_oid) = (&run.plan, shared.table_oid());
    let mut watchers = JoinSet::new();
    watchers.spawn(throttle::sample(connector.clone(), sink.clone(), seen.clone(), table_oid));
    if let Some(probe) = &plan.throttle.probe {
        watchers.spawn(throttle::probe(connector.clone(), sink.clone(), seen.clone(), probe.sql.clone()));
    }
    let felt = plan.backfill.latency_probe.clone().map_or_else(
        || Felt::Own { ledger: ledger.clone(), run: run.id, table: shared.spec.table.clone(), table_oid },
        Felt::Query,
    );
    watchers.spawn(throttle::feel(connector.clone(), sink.clone(), seen.clone(), felt, Arc::clone(tally)));
    watchers
}

/// Returns how long a batch should take at the current pace.
fn batch_target(settings: &Settings, pacer: &Pacer) -> Duration {
    settings.batch_target.mul_f64(pacer.batch_share()).max(Duration::from_millis(1))
}
