//! A worker: takes windows from the ledger and fills them, batch by batch.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tracing::Instrument as _;

use super::control::{Shared, connect};
use super::horizon::Horizon;
use super::method::Method;
use super::orders::Orders;
use super::pace::BatchSize;
use super::slices::{Cutter, Verdict};
use super::strict::Strictness;
use crate::engine::Error;
use crate::event::{Blocker, Event, Wait};
use crate::latest::Following;
use crate::ledger::{LeaseError, LedgerError, Position, Seat, Window, WindowSize};
use crate::pg::{self, Connector, ErrorClass};
use crate::plan::LongTransactions;
use crate::run::{Entry, Slice, Values};
use crate::throttle::{Pace, Signal};

/// The longest time for a batch that has locked all its rows first and so waits for nobody. A bound for what should never
/// happen, not the target.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// The lock timeout, in milliseconds, of an UPDATE that may take long.
const HARDLY: u32 = 10;
/// How many attempts a single page gets before it is left for last.
const TRIES: u32 = 3;
/// After this many failed attempts to get a window, a person is told.
const IDLE_FOR_LONG: u32 = 8;
/// Windows are not made longer for a transaction that is older than this, in seconds.
const SHORT_TRANSACTION: f64 = 10.0;
/// After this many windows in a row without a HOT update, the rest is processed in one sub-pass.
const FRUITLESS: u32 = 3;
/// By how much windows become longer at a time, and how long they may become.
const LONGER: u32 = 4;
const LONGEST: u32 = 16;
/// The longest that a worker sleeps before it reads its orders again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

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
enum Batch {
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

pub(super) struct Worker {
    shared: Arc<Shared>,
    number: u16,
    orders: Following<Orders>,
    connection: Option<(PgConnection, i32)>,
    size: BatchSize,
    /// Rows that are written but not yet paid for.
    debt: u64,
    /// Pages of the current window that were put aside.
    aside: BTreeSet<u32>,
    /// Whether this worker has a window that is not done.
    open: bool,
    /// Failed attempts in a row at the same place.
    failures: u32,
    /// Failed attempts to get a window, in a row.
    idle: u32,
    /// Whether the last batch gave up waiting for something that it needs.
    waiting: bool,
    strict: Strictness,
    cutter: Cutter,
    /// Rows of the current slice, and how many of those updates were HOT; `None` once a part of it was done by somebody else.
    slice: Option<(u64, u64)>,
    /// The transaction id when the last slice had found no room.
    without_room_at: i64,
    /// Windows in a row in which no update was HOT although dead rows could be pruned.
    fruitless: u32,
    /// How many times longer than the method says windows are, because snapshots lived longer than a sub-pass took.
    longer: u32,
    /// Sub-passes are useless until this transaction id is visible to everybody.
    in_vain_until: Option<i64>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, number: u16, orders: Following<Orders>) -> Self {
        let size = BatchSize::new(orders.peek().batch_target);
        let aside = BTreeSet::new();
        let strict = Strictness::new(shared.spec.has_strict());
        let cutter = Cutter::new(shared.method.free);
        Self {
            shared,
            number,
            orders,
            connection: None,
            size,
            debt: 0,
            aside,
            open: false,
            failures: 0,
            idle: 0,
            waiting: false,
            strict,
            cutter,
            slice: None,
            without_room_at: 0,
            fruitless: 0,
            longer: 1,
            in_vain_until: None,
        }
    }

    /// Works until every window is taken, or there is a reason to leave.
    pub(super) async fn run(mut self) -> Result<Left, Error> {
        loop {
            match self.one_window().await {
                Ok(Some(left)) => return Ok(left),
                Ok(None) => {}
                Err(error) => match error.class() {
                    ErrorClass::Connection => {
                        self.connection = None;
                        if self.number == 0 {
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
        self.aside.clear();
        self.failures = 0;
        self.idle = 0;
        self.cutter.begin(window.parts, window.position.slice);
        self.slice = None;
        while !window.is_done() {
            if let Some(left) = self.may_go_on(false).await {
                return Ok(Some(left));
            }
            if window.position.slice.width() == 0 {
                window.position.slice = self.cut(&window, method);
                self.slice = Some((0, 0));
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
        self.cutter.end();
        if !self.cutter.is_in_vain() {
            self.fruitless = 0;
        }
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
        if self.idle == IDLE_FOR_LONG && self.number == 0 {
            work.emit(Event::Waiting { wait: Wait::OtherProcesses, seconds: None });
        }
        Ok(None)
    }

    /// Returns how the next window is processed.
    async fn method(&mut self) -> Result<Method, Error> {
        let wanted = self.orders.peek().method.with_longer_windows(self.longer);
        if self.fruitless >= FRUITLESS {
            return Ok(wanted.single());
        }
        let Some(until) = self.in_vain_until.filter(|_| wanted.parts > 1) else { return Ok(wanted) };
        let (connection, _) = self.connection().await?;
        if Horizon::read(connection).await?.oldest_xid < until {
            return Ok(wanted.single());
        }
        self.in_vain_until = None;
        Ok(wanted)
    }

    /// Returns the next slice of a window.
    fn cut(&mut self, window: &Window, method: Method) -> Slice {
        let (parts, from) = (window.parts, window.position.slice.from);
        let left = parts - from;
        let width = match method.even {
            Some(even) => parts.div_ceil(even).min(left),
            None => self.cutter.width(parts, left),
        };
        Slice { from, to: from + width }
    }

    /// Learns whether the last slice had the size it should have.
    async fn judge(&mut self, window: &Window) -> Result<(), Error> {
        let Some((rows, hot)) = self.slice.filter(|_| self.shared.counts_hot) else { return Ok(()) };
        let verdict = self.cutter.observe(rows, hot);
        if verdict == Verdict::Fine {
            return Ok(());
        }
        let (connection, _) = self.connection().await?;
        let horizon = Horizon::read(connection).await?;
        if verdict == Verdict::WithoutRoom {
            self.without_room_at = horizon.next_xid;
            return Ok(());
        }
        if horizon.oldest_xid >= self.without_room_at {
            // Dead rows can be pruned. Then it is line pointers that are used up (a page has 291, and dead rows that were in
            // an index keep theirs); or, where no slice found room, no update can be HOT: a trigger changes an indexed
            // column, for example.
            if self.cutter.found_no_room() {
                self.fruitless += 1;
            }
            return Ok(());
        }
        let orders = self.orders.peek();
        let may_last_longer = self.longer < LONGEST && !orders.method.fixed;
        if may_last_longer && horizon.seconds.is_some_and(|seconds| seconds < SHORT_TRANSACTION) {
            // Perhaps nothing but short transactions, longer than it takes to come back.
            self.longer *= LONGER;
            return Ok(());
        }
        if orders.long_transactions == LongTransactions::Wait {
            self.await_horizon(horizon, (rows, hot), window).await
        } else {
            if self.in_vain_until.is_none() {
                let message = format!(
                    "most updates find no room on their pages ({hot} of {rows} did): {} keeps dead rows from being pruned. \
                     Until it is gone, each page is filled in one go",
                    horizon.describe()
                );
                self.shared.work.emit(Event::Warning { message });
            }
            self.in_vain_until = Some(horizon.next_xid);
            Ok(())
        }
    }

    /// Waits until dead rows can be pruned again, as the plan says.
    async fn await_horizon(
        &mut self,
        mut horizon: Horizon,
        (rows, hot): (u64, u64),
        window: &Window,
    ) -> Result<(), Error> {
        let until = horizon.next_xid;
        let (holder, holder_seconds) = (horizon.holder.clone(), horizon.seconds);
        let wait = Wait::Horizon { rows, hot, holder, holder_seconds };
        self.shared.work.emit(Event::Waiting { wait, seconds: None });
        while horizon.oldest_xid < until
            && !self.shared.work.stop.is_cancelled()
            && self.orders.peek().long_transactions == LongTransactions::Wait
        {
            self.sleep(LOOK_AGAIN).await;
            let (connection, _) = self.connection().await?;
            horizon = Horizon::read(connection).await?;
        }
        self.cutter.begin(window.parts, window.position.slice);
        Ok(())
    }

    /// Does one batch. Returns false if the window must be given up because the table has another file.
    async fn step(&mut self, window: &mut Window) -> Result<bool, Error> {
        let from = window.position.next;
        if self.aside.contains(&from) {
            return self.put_aside(window, from).await;
        }
        let orders = self.orders.peek();
        let max_rows = orders.rate.as_ref().map(|rate| (rate.rows_per_second() / 2).max(1));
        self.size.set_target(orders.batch_target.min(self.shared.batch_timeout / 2));
        let workers = orders.workers.saturating_mul(orders.processes);
        let most = Method::most_pages(window.parts, window.to - window.from, workers);
        let mut to = from.saturating_add(self.size.pages(max_rows).min(most)).min(window.to);
        if let Some(&page) = self.aside.range(from..to).next() {
            to = page;
        }
        let observer = if window.late || self.waiting { Some(self.observe()) } else { None };
        let outcome = self.batch(window, to, orders.batch_target).await;
        let blockers = match (observer, &outcome) {
            (Some(observer), Ok(Batch::TableLocked(_) | Batch::RowLocked(_))) => observer.await.unwrap_or_default(),
            (observer, _) => {
                observer.inspect(tokio::task::JoinHandle::abort);
                vec![]
            }
        };
        match outcome? {
            Batch::Done { rows, hot, time } => {
                if let Some((all, stayed)) = &mut self.slice {
                    (*all, *stayed) = (*all + rows, *stayed + hot);
                }
                window.position = window.after(to);
                self.size.took(to - from, rows, time);
                self.debt = self.debt.saturating_add(rows);
                self.failures = 0;
                self.waiting = false;
                self.strict.worked();
                self.rest(time).await;
                Ok(true)
            }
            Batch::Rewritten => self.restart(window).await.map(|()| false),
            Batch::NotOurs => {
                let holder = "another worker".to_owned();
                Err(Error::Ledger(LedgerError::Lease(LeaseError::Lost { holder })))
            }
            Batch::TableLocked(error) => {
                self.wait_politely(blockers, &error).await;
                Ok(true)
            }
            Batch::Raised(error) => {
                tracing::debug!(%error, from, to, "a value does not convert");
                self.strict.raised();
                Ok(true)
            }
            Batch::RowLocked(error) if window.late => {
                self.wait_politely(blockers, &error).await;
                Ok(true)
            }
            Batch::RowLocked(error) => {
                tracing::debug!(%error, from, to, "batch could not lock a row");
                self.size.contended(to - from);
                if to - from > 1 {
                    self.failures = 0;
                } else {
                    self.failures += 1;
                    if self.failures >= TRIES {
                        self.failures = 0;
                        self.aside.insert(from);
                        return self.put_aside(window, from).await;
                    }
                }
                self.sleep(Duration::from_millis(20).mul_f64(1.0 + 3.0 * rand::random::<f64>())).await;
                Ok(true)
            }
        }
    }

    /// One transaction: prove the lease, fill, note the progress.
    async fn batch(&mut self, window: &Window, to: u32, target: Duration) -> Result<Batch, Error> {
        let shared = Arc::clone(&self.shared);
        let row_lock = if window.late {
            shared.lock_timeout
        } else {
            // While it waits for a row, a batch keeps those that it has locked: no longer than it would take anyway.
            shared.lock_timeout.min(target.max(Duration::from_millis(20)))
        };
        let values = self.strict.values();
        // Because the page is locked, or because it takes long: now it may, for it waits for nobody.
        let lock_first = window.late || (self.failures > 0 && to - window.position.next == 1);
        let (connection, seat) = self.connection().await?;
        let span = tracing::debug_span!("batch", from = window.position.next, to);
        let done = batch(&shared, connection, seat, window, to, row_lock, values, lock_first).instrument(span).await;
        match &done {
            Ok(Batch::Done { .. }) => {}
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

    /// Reports who blocks it, and waits a little longer each time.
    async fn wait_politely(&mut self, blockers: Vec<Blocker>, error: &Error) {
        tracing::debug!(%error, "waiting for a lock");
        self.waiting = true;
        self.failures = self.failures.saturating_add(1);
        let pause = Duration::from_millis(250) * self.failures.min(8);
        let pause = pause.mul_f64(0.75 + 0.5 * rand::random::<f64>());
        if !blockers.is_empty() || self.failures > 1 {
            let step = self.shared.step.clone();
            self.shared.work.emit(Event::LockWait { step, attempt: self.failures, blockers, pause });
        }
        self.sleep(pause).await;
    }

    /// Finds out from another connection who blocks this worker's backend, in the middle of the wait.
    fn observe(&self) -> tokio::task::JoinHandle<Vec<Blocker>> {
        let pid = self.connection.as_ref().map_or(0, |(_, pid)| *pid);
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
                    // Somebody waits for the rows of a batch: the next one locks fewer.
                    self.size.contended(self.size.pages(None));
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
        let connection = if let Some(connection) = self.connection.take() {
            connection
        } else {
            let mut connection = connect(&self.shared.work, "backfill", self.number == 0).await?;
            let pid = pg::backend_pid(&mut connection).await?;
            (connection, pid)
        };
        let Shared { work, spec, .. } = &*self.shared;
        let seat = Seat { lease: work.lease, relation: spec.relation, worker: i32::from(self.number) };
        Ok((&mut self.connection.insert(connection).0, seat))
    }
}

#[expect(clippy::too_many_arguments, reason = "of one caller")]
async fn batch(
    shared: &Shared,
    connection: &mut PgConnection,
    seat: Seat,
    window: &Window,
    to: u32,
    row_lock: Duration,
    values: Values,
    lock_first: bool,
) -> Result<Batch, Error> {
    let (work, spec) = (&shared.work, &shared.spec);
    let limits = pg::Limits { lock: shared.lock_timeout, statement: STATEMENT_TIMEOUT, durable: false };
    let Position { slice, next, .. } = window.position;
    let mut update = spec.batch_of(values, next, to, window.parts, slice);
    if lock_first {
        let lock = spec.lock_of(next, to, window.parts, slice);
        // What else the UPDATE may wait for (a row that a trigger writes, a unique index) it does not wait for: it may take
        // longer than `deadlock_timeout` now, and somebody may wait for it.
        update = format!(
            "{lock}; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {HARDLY}; {update}",
            STATEMENT_TIMEOUT.as_millis()
        );
    }
    // One round trip. The table's lock is taken apart from the rows', so that a locked table is not mistaken for a locked
    // row. Rows that were filled although the lease is lost are rolled back.
    let meter = format!(
        "SELECT pg_catalog.concat_ws(' ', EXTRACT(EPOCH FROM pg_catalog.clock_timestamp()), \
         pg_catalog.pg_stat_get_xact_tuples_hot_updated({}::oid))",
        shared.table_oid()
    );
    let script = format!(
        "{}LOCK TABLE {} IN ROW EXCLUSIVE MODE; SELECT 'locked'::text; \
         SET LOCAL lock_timeout = {}; {}; {meter}; SET LOCAL statement_timeout = {}; {update}; {meter}",
        shared.session,
        spec.table.sql(),
        row_lock.as_millis().max(1),
        work.ledger.leases().fence_sql(seat.lease),
        shared.batch_timeout.as_millis().max(1),
    );
    let said = pg::begin_script(connection, limits, &script).await;
    let locked = !said.texts.is_empty();
    let fenced = said.texts.get(1).is_some_and(|text| text == "fenced");
    if said.error.is_none() && !fenced {
        pg::rollback(connection).await;
        return Err(work.ledger.leases().lost(connection, seat.lease).await.into());
    }
    if let Some(error) = said.error {
        let error = Error::Database(error);
        return match error.class() {
            ErrorClass::Contention if !locked => Ok(Batch::TableLocked(error)),
            // Somebody is changing the lease's row; this says nothing about the table's rows.
            ErrorClass::Contention if !fenced => Err(error),
            ErrorClass::Contention => Ok(Batch::RowLocked(error)),
            ErrorClass::Other if fenced && values == Values::Strict => Ok(Batch::Raised(error)),
            _ => Err(error),
        };
    }
    let (time, hot) = match said.texts.as_slice() {
        [_, _, before, .., after] => Reading::of(before).until(Reading::of(after)),
        _ => (Duration::ZERO, 0),
    };
    // The last but one is the UPDATE.
    let rows = said.affected.iter().rev().nth(1).copied().unwrap_or(0);
    let position = window.after(to);
    // The table cannot get another file while we have it locked.
    let file = work.ledger.progress().advance(connection, seat, window, position, (rows, hot)).await?;
    match file {
        None => Ok(Batch::NotOurs),
        Some(file) if file != window.relfilenode => Ok(Batch::Rewritten),
        Some(_) => {
            pg::commit(connection).await?;
            tracing::trace!(rows, hot, ?time, "filled");
            Ok(Batch::Done { rows, hot, time })
        }
    }
}

/// The server's clock, in seconds, and its count of HOT updates, before or after an UPDATE.
#[derive(Clone, Copy)]
struct Reading {
    clock: f64,
    hot: u64,
}

impl Reading {
    fn of(text: &str) -> Self {
        let (clock, hot) = text.split_once(' ').unwrap_or((text, "0"));
        Self { clock: clock.parse().unwrap_or(0.0), hot: hot.parse().unwrap_or(0) }
    }

    fn until(self, end: Self) -> (Duration, u64) {
        let time = Duration::try_from_secs_f64(end.clock - self.clock).unwrap_or_default();
        (time, end.hot.saturating_sub(self.hot))
    }
}

async fn who_blocks(connector: Connector, pid: i32, after: Duration) -> Vec<Blocker> {
    let Ok(mut connection) = connector.connect("look").await else { return vec![] };
    tokio::time::sleep(after).await;
    pg::blockers(&mut connection, pid).await.unwrap_or_default()
}
