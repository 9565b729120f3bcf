//! What a worker tries next, decided from what came of its batches. Pure: it knows no server and no clock.

use std::collections::BTreeSet;
use std::time::Duration;

use super::method::Method;
use super::orders::Orders;
use super::pace::BatchSize;
use super::strict::Strictness;
use crate::ledger::Window;
use crate::run::Values;

/// How many attempts a single page gets before it is left for last.
const TRIES: u32 = 3;
/// However short batches are to be, they may wait for a row for so long.
const LEAST_ROW_LOCK: Duration = Duration::from_millis(2);
/// The pause after a batch that could not lock a row, at the least and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(80));
/// The pause of a worker that must wait for a lock, and how many of them it becomes at most.
const WAIT: Duration = Duration::from_millis(250);
const MOST_WAITS: u32 = 8;

/// How long a batch may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    /// For the table, or for a row that must be waited for.
    pub(super) lock: Duration,
    /// All its waits and the UPDATE together.
    pub(super) batch: Duration,
}

/// What to do with the pages that come next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Next {
    /// Leave this page for last.
    Leave(u32),
    /// Fill them.
    Fill(Batch),
}

/// A batch from the window's position on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Batch {
    /// The page after the last.
    pub(super) to: u32,
    /// Whether values that do not convert raise.
    pub(super) values: Values,
    /// How long to wait for a row.
    pub(super) row_lock: Duration,
    /// Whether all rows are locked first, because the page was locked, or takes long: then it may, for it waits for nobody.
    pub(super) lock_first: bool,
    /// Whether whoever is in the way is to be looked up.
    pub(super) look_who: bool,
}

/// The outcome of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// It committed: rows, and the time of its UPDATE.
    Done(u64, Duration),
    /// The lock on the table could not be acquired.
    TableLocked,
    /// A row could not be locked.
    RowLocked,
    /// A value does not convert, and the statement was one that raises then.
    Raised,
}

/// What to do before the next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Rest as long as the pace says.
    Rest,
    /// Nothing.
    Again,
    /// Leave this page for last.
    Leave(u32),
    /// Pause for something between these.
    Pause(Duration, Duration),
    /// Wait politely, for about so long; it is the attempt with this number that has failed.
    Wait(Duration, u32),
}

/// How large batches are, what is tried again and what is left for last.
#[derive(Debug)]
pub(super) struct Policy {
    waits: Waits,
    size: BatchSize,
    strict: Strictness,
    /// Pages of the current window that were put aside.
    aside: BTreeSet<u32>,
    /// Failed attempts in a row at the same place.
    failures: u32,
    /// Whether the last batch gave up waiting for something that it needs.
    waiting: bool,
}

impl Policy {
    /// Returns the policy that begins with batches of this size; `strict` says whether values may be tried that raise.
    pub(super) fn new(waits: Waits, size: BatchSize, strict: bool) -> Self {
        Self { waits, size, strict: Strictness::new(strict), aside: BTreeSet::new(), failures: 0, waiting: false }
    }

    /// Returns the size of batches, as it is by now.
    pub(super) fn batch_size(&self) -> BatchSize {
        self.size.clone()
    }

    /// Begins a window.
    pub(super) fn begin(&mut self) {
        self.aside.clear();
        self.failures = 0;
    }

    /// Returns what to do at the window's position.
    pub(super) fn next(&mut self, window: &Window, orders: &Orders) -> Next {
        let from = window.position.next;
        if self.aside.contains(&from) {
            return Next::Leave(from);
        }
        // Whoever waits for the batch looks for a deadlock once: half of the time is for its waits.
        self.size.set_target(orders.batch_target.min(self.waits.batch / 2));
        let max_rows = orders.rate.as_ref().map(|rate| (rate.rows_per_second() / 2).max(1));
        let workers = orders.workers.saturating_mul(orders.processes);
        let most = Method::most_pages(window.parts, window.to - window.from, workers);
        let to = from.saturating_add(self.size.pages(max_rows).min(most)).min(window.to);
        let to = self.aside.range(from..to).next().copied().unwrap_or(to);
        Next::Fill(Batch {
            to,
            values: self.strict.values(),
            // While it waits for a row, a batch keeps those that it has locked: no longer than it would take anyway. For a page
            // that was left for last it waits twice as long each time, so that the page gets its turn.
            row_lock: {
                let times = if window.late { 2_u32.pow(self.failures.min(16)) } else { 1 };
                self.waits.lock.min(orders.batch_target.max(LEAST_ROW_LOCK) * times)
            },
            lock_first: window.late || (self.failures > 0 && to - from == 1),
            look_who: window.late || self.waiting,
        })
    }

    /// Takes note of what came of the batch from the window's position up to `to`.
    pub(super) fn observe(&mut self, window: &Window, to: u32, came: Came) -> Then {
        let from = window.position.next;
        match came {
            Came::Done(rows, time) => {
                self.size.took(to - from, rows, time);
                self.failures = 0;
                self.waiting = false;
                self.strict.worked();
                Then::Rest
            }
            Came::Raised => {
                self.strict.raised();
                Then::Again
            }
            Came::RowLocked if !window.late => {
                self.size.contended(to - from);
                if to - from > 1 {
                    self.failures = 0;
                } else {
                    self.failures += 1;
                }
                if self.failures < TRIES {
                    return Then::Pause(PAUSE.0, PAUSE.1);
                }
                self.failures = 0;
                self.aside.insert(from);
                Then::Leave(from)
            }
            Came::TableLocked | Came::RowLocked => {
                self.waiting = true;
                self.failures = self.failures.saturating_add(1);
                Then::Wait(WAIT * self.failures.min(MOST_WAITS), self.failures)
            }
        }
    }

    /// Takes note that somebody waits for the rows of a batch: the next one locks fewer.
    pub(super) fn in_the_way(&mut self) {
        self.size.contended(self.size.pages(None));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::ledger::Position;
    use crate::plan::LongTransactions;
    use crate::run::Slice;
    use crate::throttle::{Pace, RowRate};

    const TARGET: Duration = Duration::from_millis(100);
    const WAITS: Waits = Waits { lock: Duration::from_millis(500), batch: Duration::from_millis(900) };

    fn orders() -> Orders {
        Orders {
            at: Instant::now(),
            paused: false,
            pace: Pace::Run,
            rate: None,
            batch_target: TARGET,
            workers: 1,
            processes: 1,
            set: (None, None),
            long_transactions: LongTransactions::GoOn,
        }
    }

    fn window(next: u32, late: bool) -> Window {
        let position = Position { sub_pass: 0, slice: Slice { from: 0, to: 9 }, next };
        Window { pass: 1, relfilenode: 1, from: 0, to: 2048, parts: 75, position, late }
    }

    fn policy() -> Policy {
        Policy::new(WAITS, BatchSize::new(TARGET), true)
    }

    fn batch(policy: &mut Policy, window: &Window) -> Batch {
        match policy.next(window, &orders()) {
            Next::Fill(batch) => batch,
            Next::Leave(page) => panic!("leaves page {page}"),
        }
    }

    #[test]
    fn a_page_that_stays_locked_is_left_for_last_and_its_neighbours_are_not() {
        let (mut policy, window) = (policy(), window(100, false));
        let mut tries = vec![];
        let left = loop {
            let batch = batch(&mut policy, &window);
            tries.push((batch.to - 100, batch.lock_first));
            match policy.observe(&window, batch.to, Came::RowLocked) {
                Then::Pause(least, most) => assert!(least < most),
                Then::Leave(page) => break page,
                other => panic!("{other:?}"),
            }
        };
        // Halved until it is one page, which is then locked first.
        assert_eq!(tries, [(4, false), (2, false), (1, false), (1, true), (1, true)]);
        assert_eq!(left, 100);
        // Should the ledger not have heard of it: once more.
        assert_eq!(policy.next(&window, &orders()), Next::Leave(100));
        // In the next sub-pass a batch ends before it.
        let before = Window { position: Position { next: 99, ..window.position }, ..window };
        policy.observe(&before, 100, Came::Done(10, Duration::from_millis(1)));
        policy.observe(&before, 100, Came::Done(10, Duration::from_millis(1)));
        assert_eq!(batch(&mut policy, &before).to, 100);
        policy.begin();
        assert!(batch(&mut policy, &before).to > 100);
    }

    #[test]
    fn what_must_be_waited_for_is_waited_for_longer_each_time_and_looked_up() {
        let (mut policy, late) = (policy(), window(7, true));
        assert!(batch(&mut policy, &late).look_who && batch(&mut policy, &late).lock_first);
        for (came, window) in [(Came::TableLocked, window(7, false)), (Came::RowLocked, late)] {
            policy.begin();
            let waits: Vec<_> = (0..10).map(|_| policy.observe(&window, 8, came)).collect();
            assert_eq!(waits[0], Then::Wait(WAIT, 1));
            assert_eq!(waits[3], Then::Wait(WAIT * 4, 4));
            assert_eq!(waits[9], Then::Wait(WAIT * 8, 10));
            assert!(batch(&mut policy, &window).look_who);
        }
        let window = window(7, false);
        assert_eq!(policy.observe(&window, 8, Came::Done(1, TARGET)), Then::Rest);
        let batch = batch(&mut policy, &window);
        assert!(!batch.look_who && !batch.lock_first);
    }

    #[test]
    fn a_batch_waits_for_a_row_no_longer_than_it_would_take() {
        let wait = |policy: &mut Policy, target, late| {
            let orders = Orders { batch_target: target, ..orders() };
            match policy.next(&window(0, late), &orders) {
                Next::Fill(batch) => batch.row_lock,
                Next::Leave(page) => panic!("leaves page {page}"),
            }
        };
        let mut policy = policy();
        assert_eq!(wait(&mut policy, TARGET, false), TARGET);
        assert_eq!(wait(&mut policy, Duration::from_millis(5), false), Duration::from_millis(5));
        assert_eq!(wait(&mut policy, Duration::from_millis(1), false), LEAST_ROW_LOCK);
        assert_eq!(wait(&mut policy, Duration::from_secs(9), false), WAITS.lock);
        // A page that was left for last gets its turn.
        let waits: Vec<_> = (0..9)
            .map(|_| {
                policy.observe(&window(0, true), 1, Came::RowLocked);
                wait(&mut policy, Duration::from_millis(5), true)
            })
            .collect();
        assert_eq!(waits[..2], [Duration::from_millis(10), Duration::from_millis(20)]);
        assert_eq!(waits[7..], [WAITS.lock; 2]);
    }

    #[test]
    fn sizes_keep_to_the_rate_to_the_window_and_to_the_other_workers() {
        let mut policy = policy();
        // 50 rows a page, 1 ms a page: 100 pages.
        for _ in 0..30 {
            let batch = batch(&mut policy, &window(0, false));
            let pages = u64::from(batch.to);
            policy.observe(&window(0, false), batch.to, Came::Done(pages * 50, Duration::from_millis(pages)));
        }
        let to = |policy: &mut Policy, window: &Window, orders: &Orders| match policy.next(window, orders) {
            Next::Fill(batch) => batch.to,
            Next::Leave(page) => panic!("leaves page {page}"),
        };
        assert_eq!(to(&mut policy, &window(0, false), &orders()), 100);
        assert_eq!(to(&mut policy, &window(2000, false), &orders()), 2048);
        let small = Window { to: 160, ..window(0, false) };
        assert_eq!(to(&mut policy, &small, &Orders { processes: 2, ..orders() }), 53);
        assert_eq!(to(&mut policy, &small, &orders()), 100);
        let rate = RowRate::new(Some(1000)).map(std::sync::Arc::new);
        assert_eq!(to(&mut policy, &window(0, false), &Orders { rate, ..orders() }), 10);
        policy.in_the_way();
        assert_eq!(to(&mut policy, &window(0, false), &orders()), 50);
    }

    #[test]
    fn after_a_value_that_raises_a_batch_does_not_raise() {
        let (mut policy, window) = (policy(), window(0, false));
        assert_eq!(batch(&mut policy, &window).values, Values::Strict);
        assert_eq!(policy.observe(&window, 4, Came::Raised), Then::Again);
        assert_eq!(batch(&mut policy, &window).values, Values::Total);
        policy.observe(&window, 4, Came::Done(1, TARGET));
        assert_eq!(batch(&mut policy, &window).values, Values::Strict);
        assert_eq!(batch(&mut Policy::new(WAITS, BatchSize::new(TARGET), false), &window).values, Values::Total);
    }
}
