//! A worker: takes windows from the ledger and fills them, batch by batch. What it tries next is decided elsewhere
//! (`policy`, `room`); here it is done.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tracing::Instrument as _;

use super::horizon::Horizon;
use super::method::Method;
use super::orders::Orders;
use super::pace::BatchSize;
use super::policy::{Batch, Came, Next, Policy, Then, Waits};
use super::room::{Remedy, Room, Wanted};
use super::shared::{Shared, connect};
use super::slices::Verdict;
use crate::engine::Error;
use crate::event::{Blocker, Event, Wait};
use crate::latest::Following;
use crate::ledger::{LeaseError, LedgerError, NOT_OURS, Position, REWRITTEN, Seat, Window, WindowSize};
use crate::pg::{self, Connector, ErrorClass, Owner};
use crate::plan::LongTransactions;
use crate::run::{Entry, Values};
use crate::throttle::{Pace, Signal};

/// The longest time for a batch that has locked all its rows first and so waits for nobody. A bound for what should never
/// happen, not the target.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// The lock timeout, in milliseconds, of an UPDATE that may take long.
const HARDLY: u32 = 10;
/// After this many failed attempts to get a window, a person is told.
const IDLE_FOR_LONG: u32 = 8;
/// So many connections, lost one after the other over the same batch, are no accident.
const LOSSES: u32 = 40;
/// The longest that a worker sleeps before it reads its orders again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Settings of a batch's transaction in which it keeps how many rows it filled, and how many of these updates were HOT.
const FILLED: &str = "crossfade.filled";
const HOT: &str = "crossfade.hot";
/// SQLSTATE of a batch that met another table under the name of the run's.
const REPLACED: &str = "CF004";
/// What a batch says when the last of the table owner's code has run. Only what fails after that can be crossfade's own: that
/// code raises whatever SQLSTATE it likes.
const OWN_PART: &str = "filled";

/// The least that the server needs for a batch besides its UPDATE.
const ROUND_TRIPS: Duration = Duration::from_millis(2);

/// Why a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Every window is taken.
    AllTaken,
    /// There are more workers than needed.
    NotNeeded,
    /// The run was told to stop.
    Stopped,
}

/// The outcome of a batch.
enum Outcome {
    /// It committed.
    Done { rows: u64, hot: u64, time: Duration },
    /// The table has another file: nothing was committed.
    Rewritten,
    /// The window belongs to another process: nothing was committed.
    NotOurs,
    /// The lock on the table could not be acquired.
    TableLocked(Error),
    /// A row could not be locked.
    RowLocked(Error),
    /// A value does not convert, and the statement was one that raises then.
    Raised(Error),
}

/// A worker's connection.
struct Connected {
    connection: PgConnection,
    /// Its backend.
    pid: i32,
    /// The table's owner, as whom it fills rows.
    owner: Arc<Owner>,
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    number: u16,
    /// Whether it is the one of its table that says what all of them meet.
    tells: bool,
    orders: Following<Orders>,
    connection: Option<Connected>,
    policy: Policy,
    room: Room,
    /// Rows that are written but not yet paid for.
    debt: u64,
    /// Whether this worker has a window that is not done.
    open: bool,
    /// Failed attempts to get a window, in a row.
    idle: u32,
    /// Connections that were lost since the last batch that committed.
    losses: u32,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, (number, tells): (u16, bool), orders: Following<Orders>) -> Self {
        let waits = Waits { lock: shared.lock_timeout, batch: shared.batch_timeout };
        let learned = shared.learned.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let size = learned.unwrap_or_else(|| BatchSize::new(orders.peek().batch_target));
        let policy = Policy::new(waits, size, shared.spec.has_strict());
        let room = Room::new(shared.method.free);
        Self { shared, number, tells, orders, connection: None, policy, room, debt: 0, open: false, idle: 0, losses: 0 }
    }

    /// Works until every window is taken, or there is a reason to leave.
    pub(super) async fn run(mut self) -> Result<Left, Error> {
        loop {
            match self.one_window().await {
                Ok(Some(left)) => {
                    if left == Left::AllTaken {
                        let learned = self.policy.batch_size();
                        *self.shared.learned.lock().unwrap_or_else(PoisonError::into_inner) = Some(learned);
                    }
                    if let Some(open) = self.connection.filter(|_| matches!(left, Left::AllTaken)) {
                        self.shared.work.connector.keep_worker(open.connection);
                    }
                    return Ok(left);
                }
                Ok(None) => {}
                Err(error) => match error.class() {
                    ErrorClass::Connection => {
                        self.connection = None;
                        self.losses += 1;
                        if self.losses > LOSSES {
                            return Err(error);
                        }
                        self.sleep(LOOK_AGAIN).await;
                        if self.tells {
                            let reason = error.database().map(pg::describe).unwrap_or_default();
                            self.shared.work.emit(Event::Reconnecting { reason, attempt: 1 });
                        }
                    }
                    // Bookkeeping waits for nobody for long, so this is rare.
                    ErrorClass::Contention => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// Takes one window and fills it. Returns `None` when there may be more.
    async fn one_window(&mut self) -> Result<Option<Left>, Error> {
        if let Some(left) = self.may_go_on(true).await {
            return Ok(Some(left));
        }
        let shared = Arc::clone(&self.shared);
        let work = &shared.work;
        let method = self.method().await?;
        let size = WindowSize { pages: method.window_pages, parts: method.parts };
        let (connection, seat) = self.connection().await?;
        let window = work.ledger.progress().take_window(connection, seat, size).await?;
        let Some(mut window) = window else { return self.all_taken().await };
        self.open = true;
        self.idle = 0;
        self.policy.begin();
        self.room.begin(window.parts, window.position.slice);
        while !window.is_done() {
            if let Some(left) = self.may_go_on(false).await {
                return Ok(Some(left));
            }
            if window.position.slice.width() == 0 {
                window.position.slice = self.room.cut(window.parts, window.position.slice.from, method);
            }
            let sub_pass = window.position.sub_pass;
            if !self.step(&mut window).await? {
                return Ok(None);
            }
            if window.position.sub_pass > sub_pass && window.parts > 1 && method.even.is_none() {
                self.judge(&window).await?;
            }
        }
        self.open = false;
        self.room.end();
        Ok(None)
    }

    /// There is nothing to take. While other processes are at work, or were, something may come free: their windows if
    /// they die, pages that they put aside, all pages of a table that was rewritten.
    async fn all_taken(&mut self) -> Result<Option<Left>, Error> {
        let shared = Arc::clone(&self.shared);
        let work = &shared.work;
        let (connection, seat) = self.connection().await?;
        if !work.ledger.progress().others_fill(connection, seat.lease, seat.relation).await? {
            return Ok(Some(Left::AllTaken));
        }
        let removed = work.ledger.leases().remove_dead(connection, seat.lease).await?;
        for holder in &removed {
            let entry = Entry::Removed { holder: holder.clone() };
            work.ledger.log().record(connection, &work.run, None, &[entry], &work.actor).await?;
        }
        if !removed.is_empty() {
            return Ok(None);
        }
        self.sleep(LOOK_AGAIN).await;
        self.idle = self.idle.saturating_add(1);
        if self.idle == IDLE_FOR_LONG && self.tells {
            work.emit(Event::Waiting { wait: Wait::OtherProcesses, seconds: None });
        }
        Ok(None)
    }

    /// Returns how the next window is processed.
    async fn method(&mut self) -> Result<Method, Error> {
        match self.room.wanted(self.orders.peek().method(self.shared.method)) {
            Wanted::Method(method) => Ok(method),
            Wanted::Once(until, method) => {
                let (connection, _) = self.connection().await?;
                if Horizon::read(connection).await?.oldest_xid < until {
                    return Ok(method.single());
                }
                self.room.seen();
                Ok(method)
            }
        }
    }

    /// Learns whether the last slice had the size it should have.
    async fn judge(&mut self, window: &Window) -> Result<(), Error> {
        if !self.shared.counts_hot {
            return Ok(());
        }
        let verdict = self.room.judge();
        if verdict == Verdict::Fine {
            return Ok(());
        }
        let (connection, _) = self.connection().await?;
        let horizon = Horizon::read(connection).await?;
        let orders = self.orders.peek();
        match self.room.remedy(verdict, &horizon, orders.method(self.shared.method), orders.long_transactions) {
            Remedy::None => {}
            Remedy::Tell(message) => self.shared.work.emit(Event::Warning { message }),
            Remedy::Wait(wait, until) => {
                self.shared.work.emit(Event::Waiting { wait, seconds: None });
                self.await_horizon(until).await?;
                self.room.resume(window.parts, window.position.slice);
            }
        }
        Ok(())
    }

    /// Waits until everybody sees a transaction id, or the orders say not to.
    async fn await_horizon(&mut self, until: i64) -> Result<(), Error> {
        loop {
            let wait = self.orders.peek().long_transactions == LongTransactions::Wait;
            if !wait || self.shared.work.stop.is_cancelled() {
                return Ok(());
            }
            self.sleep(LOOK_AGAIN).await;
            let (connection, _) = self.connection().await?;
            if Horizon::read(connection).await?.oldest_xid >= until {
                return Ok(());
            }
        }
    }

    /// Does one batch. Returns false if the window must be given up because the table has another file.
    async fn step(&mut self, window: &mut Window) -> Result<bool, Error> {
        let orders = self.orders.peek();
        let tried = match self.policy.next(window, &orders) {
            Next::Leave(page) => return self.put_aside(window, page).await,
            Next::Fill(batch) => batch,
        };
        let observer = tried.look_who.then(|| self.observe());
        let outcome = self.batch(window, &tried).await;
        let blockers = match (observer, &outcome) {
            (Some(observer), Ok(Outcome::TableLocked(_) | Outcome::RowLocked(_))) => observer.await.unwrap_or_default(),
            (observer, _) => {
                observer.inspect(tokio::task::JoinHandle::abort);
                vec![]
            }
        };
        let (came, error) = match outcome? {
            Outcome::Done { rows, hot, time } => {
                self.losses = 0;
                self.room.filled(rows, hot);
                self.debt = self.debt.saturating_add(rows);
                let then = self.policy.observe(window, tried.to, Came::Done(rows, time));
                debug_assert_eq!(then, Then::Rest, "what a batch that is done asks for");
                window.position = window.after(tried.to);
                self.rest(time).await;
                return Ok(true);
            }
            Outcome::Rewritten => return self.restart(window).await.map(|()| false),
            Outcome::NotOurs => {
                let holder = "another worker".to_owned();
                return Err(Error::Ledger(LedgerError::Lease(LeaseError::Lost { holder })));
            }
            Outcome::TableLocked(error) => (Came::TableLocked, error),
            Outcome::RowLocked(error) => (Came::RowLocked, error),
            Outcome::Raised(error) => (Came::Raised, error),
        };
        tracing::debug!(%error, ?came, from = window.position.next, to = tried.to, "a batch was rolled back");
        match self.policy.observe(window, tried.to, came) {
            Then::Rest | Then::Again => {}
            Then::Leave(page) => return self.put_aside(window, page).await,
            Then::Pause(least, most) => self.sleep(pg::between(least, most)).await,
            Then::Wait(pause, attempt) => self.wait_politely(blockers, pause, attempt).await,
        }
        Ok(true)
    }

    /// One transaction: prove the lease, fill, note the progress.
    async fn batch(&mut self, window: &Window, tried: &Batch) -> Result<Outcome, Error> {
        let shared = Arc::clone(&self.shared);
        let owner = self.connected().await?.owner.clone();
        let (connection, seat) = self.connection().await?;
        let span = tracing::debug_span!("batch", from = window.position.next, to = tried.to);
        let done = batch(&shared, connection, &owner, seat, window, tried).instrument(span).await;
        match &done {
            Ok(Outcome::Done { .. }) => {}
            Err(error) if error.class() == ErrorClass::Connection => {}
            _ => pg::rollback(connection).await,
        }
        done
    }

    /// Leaves a page that cannot be locked for last.
    async fn put_aside(&mut self, window: &mut Window, page: u32) -> Result<bool, Error> {
        let shared = Arc::clone(&self.shared);
        let (connection, seat) = self.connection().await?;
        if shared.work.ledger.progress().set_aside(connection, seat, window, page).await? {
            window.position = window.after(page + 1);
        }
        Ok(true)
    }

    async fn restart(&mut self, window: &Window) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let (work, table) = (&shared.work, &shared.spec.table);
        let (connection, seat) = self.connection().await?;
        let (pass, began) = work
            .ledger
            .progress()
            .restart_pass(connection, seat.lease, seat.relation, &shared.relation, window.pass)
            .await?;
        if pass.relfilenode == 0 {
            return Err(Error::TableGone { table: table.clone() });
        }
        if began {
            let message = format!(
                "table {table} was rewritten (by VACUUM FULL or CLUSTER, for example): the backfill starts another pass over its pages"
            );
            work.emit(Event::Warning { message });
        }
        Ok(())
    }

    /// Reports who blocks it, and waits.
    async fn wait_politely(&mut self, blockers: Vec<Blocker>, pause: Duration, attempt: u32) {
        let pause = pg::jitter(pause);
        if !blockers.is_empty() || attempt > 1 {
            let step = self.shared.step.clone();
            self.shared.work.emit(Event::LockWait { step, attempt, blockers, pause });
        }
        self.sleep(pause).await;
    }

    /// Finds out from another connection who blocks this worker's backend, in the middle of the wait.
    fn observe(&self) -> tokio::task::JoinHandle<Vec<Blocker>> {
        let pid = self.connection.as_ref().map_or(0, |connected| connected.pid);
        let (connector, after) = (self.shared.work.connector.clone(), self.shared.lock_timeout / 5);
        tokio::spawn(who_blocks(connector, pid, after))
    }

    /// Waits while the run is paused or held, or rows are still to be paid for. Returns why the worker must leave.
    async fn may_go_on(&mut self, between_windows: bool) -> Option<Left> {
        let mut held = false;
        loop {
            if self.shared.work.stop.is_cancelled() {
                return Some(Left::Stopped);
            }
            let orders = self.orders.get();
            if between_windows && !self.open && self.number >= orders.workers {
                return Some(Left::NotNeeded);
            }
            if !orders.may_run() {
                if matches!(orders.pace, Pace::Hold { signal: Signal::LockWait, .. }) && !held {
                    self.policy.in_the_way();
                }
                held = true;
                self.sleep_or_orders(LOOK_AGAIN).await;
                continue;
            }
            let wait = orders.rate.as_ref().and_then(|rate| rate.pay(&mut self.debt));
            let Some(wait) = wait else {
                self.debt = 0;
                return None;
            };
            self.sleep(wait.min(LOOK_AGAIN)).await;
        }
    }

    /// Rests after a batch that took `time`, so that the worker is active for no more of the time than the pace allows; the
    /// pace may change meanwhile.
    async fn rest(&mut self, time: Duration) {
        let began = Instant::now();
        while !self.shared.work.stop.is_cancelled() {
            let speed = self.orders.get().pace.speed();
            if speed <= 0.0 {
                return;
            }
            let rest = (time.max(ROUND_TRIPS).mul_f64(1.0 / speed - 1.0)).saturating_sub(began.elapsed());
            if rest.is_zero() {
                return;
            }
            self.sleep_or_orders(rest.min(LOOK_AGAIN)).await;
        }
    }

    async fn sleep(&self, time: Duration) {
        if time.is_zero() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.shared.work.stop.cancelled() => {}
        }
    }

    async fn sleep_or_orders(&mut self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            _ = self.orders.changed() => {}
            () = self.shared.work.stop.cancelled() => {}
        }
    }

    /// Returns the connection, made anew if need be, and our number for the ledger.
    async fn connection(&mut self) -> Result<(&mut PgConnection, Seat), Error> {
        let Shared { work, spec, .. } = &*self.shared;
        let seat = Seat { lease: work.lease, relation: spec.relation, worker: i32::from(self.number) };
        Ok((&mut self.connected().await?.connection, seat))
    }

    async fn connected(&mut self) -> Result<&mut Connected, Error> {
        let connected = if let Some(connected) = self.connection.take() {
            connected
        } else {
            let mut connection = connect(&self.shared.work, pg::WORKER, self.tells).await?;
            let pid = pg::backend_pid(&mut connection).await?;
            let owner = Owner::enter(&mut connection, self.shared.table_oid()).await;
            let owner = owner.map_err(|error| Error::or_gone(error, &self.shared.spec.table))?;
            Connected { connection, pid, owner: Arc::new(owner) }
        };
        Ok(self.connection.insert(connected))
    }
}

async fn batch(
    shared: &Shared,
    connection: &mut PgConnection,
    owner: &Owner,
    seat: Seat,
    window: &Window,
    tried: &Batch,
) -> Result<Outcome, Error> {
    let &Batch { to, values, row_lock, lock_first, look_who: _ } = tried;
    let (work, spec) = (&shared.work, &shared.spec);
    let limits = pg::Limits { lock: shared.lock_timeout, statement: STATEMENT_TIMEOUT, durable: false };
    let Position { slice, next, .. } = window.position;
    // A table that was put in the place of the run's is not written.
    let is_it = shared.relation.is_it();
    let hot = format!("pg_catalog.pg_stat_get_xact_tuples_hot_updated({}::oid)", shared.table_oid());
    let statement = spec.batch_of(values, next, to, window.parts, slice);
    let mut update = owner.run_metered(&statement, limits, FILLED, (HOT, &hot));
    if lock_first {
        let lock = owner.ask(&spec.lock_of(next, to, window.parts, slice));
        // What else the UPDATE may wait for (a row that a trigger writes, a unique index) it does not wait for: it may take
        // longer than `deadlock_timeout` now, and somebody may wait for it.
        update = format!(
            "{lock}; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {HARDLY}; {update}",
            STATEMENT_TIMEOUT.as_millis()
        );
    }
    // One message, and one round trip, so that the rows are locked for as long as the server works and no longer. The
    // table's lock is taken apart from the rows', so that a locked table is not mistaken for a locked row. Rows that were
    // filled although the lease is lost are rolled back.
    let counts = [FILLED, HOT].map(|name| format!("pg_catalog.current_setting('{name}')::bigint"));
    let advance = work.ledger.progress().advance_text(seat, window, window.after(to), (&counts[0], &counts[1]));
    let script = format!(
        "{}LOCK TABLE {} IN ROW EXCLUSIVE MODE; {}; SELECT 'locked'::text; \
         SET LOCAL lock_timeout = {}; {}; {CLOCK}; SET LOCAL statement_timeout = {}; {update}; {CLOCK}; \
         SELECT {}; SELECT {}; SELECT '{OWN_PART}'::text; {advance}; COMMIT",
        shared.session,
        spec.table.sql(),
        pg::guard(REPLACED, &is_it, "crossfade: another table has the name of the one that is filled"),
        row_lock.as_millis().max(1),
        work.ledger.leases().fence_sql(seat.lease),
        shared.batch_timeout.as_millis().max(1),
        counts[0],
        counts[1],
        CLOCK = pg::CLOCK,
    );
    let said = pg::begin_script(connection, limits, &script).await;
    let locked = !said.texts.is_empty();
    let refused = said.error.as_ref().and_then(pg::sqlstate);
    if !locked && refused.is_some_and(|code| code == "42P01" || code == REPLACED) {
        pg::rollback(connection).await;
        return Err(Error::TableGone { table: spec.table.clone() });
    }
    let fenced = said.texts.get(1).is_some_and(|text| text == "fenced");
    // Where the lease is lost, the run has moved on, and the UPDATE may not find its column: that says nothing about a row.
    let fence_answered = said.error.as_ref().is_none_or(|error| locked && pg::class_of(error) == ErrorClass::Other);
    if fence_answered && !fenced {
        pg::rollback(connection).await;
        return Err(work.ledger.leases().lost(connection, seat.lease).await.into());
    }
    if let Some(error) = said.error {
        let own = said.texts.last().is_some_and(|text| text == OWN_PART);
        match pg::sqlstate(&error).as_deref().filter(|_| own) {
            Some(NOT_OURS) => return Ok(Outcome::NotOurs),
            Some(REWRITTEN) => return Ok(Outcome::Rewritten),
            _ => {}
        }
        let error = Error::Database(error);
        return match error.class() {
            ErrorClass::Contention if !locked => Ok(Outcome::TableLocked(error)),
            // Somebody is changing the lease's row; this says nothing about the table's rows.
            ErrorClass::Contention if !fenced => Err(error),
            ErrorClass::Contention => Ok(Outcome::RowLocked(error)),
            ErrorClass::Other if fenced && values == Values::Strict => Ok(Outcome::Raised(error)),
            ErrorClass::Other | ErrorClass::Refused if fenced => Err(error.of_statement(&shared.step, statement)),
            _ => Err(error),
        };
    }
    let [_, _, begun, .., ended, rows, hot, _] = said.texts.as_slice() else { return Err(pg::no_answer().into()) };
    let time = pg::time_between(begun, ended);
    let count = |text: &str| text.parse().unwrap_or(0_u64);
    let (rows, hot) = (count(rows), count(hot));
    tracing::trace!(rows, hot, ?time, "filled");
    Ok(Outcome::Done { rows, hot, time })
}

async fn who_blocks(connector: Connector, pid: i32, after: Duration) -> Vec<Blocker> {
    let Ok(mut connection) = connector.connect("look").await else { return vec![] };
    tokio::time::sleep(after).await;
    pg::blockers(&mut connection, pid).await.unwrap_or_default()
}
