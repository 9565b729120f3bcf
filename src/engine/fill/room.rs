//! Whether updates find room on their pages, and what a worker does about it when they do not. Pure: what keeps dead rows
//! from being pruned is told to it.

use super::horizon::Horizon;
use super::method::Method;
use super::slices::{Cutter, Verdict};
use crate::event::Wait;
use crate::plan::LongTransactions;
use crate::run::Slice;

/// Windows are not made longer for a transaction that is older than this, in seconds.
const SHORT_TRANSACTION: f64 = 10.0;
/// After this many windows in a row without a HOT update, the rest is processed in one sub-pass.
const FRUITLESS: u32 = 3;
/// By how much windows become longer at a time, and how long they may become.
const LONGER: u32 = 4;
const LONGEST: u32 = 16;

/// How the next window is processed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wanted {
    /// So.
    Method(Method),
    /// So once everybody sees this transaction id ([`Room::seen`]), and until then in one sub-pass.
    Once(i64, Method),
}

/// What to do about a slice that found no room.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Remedy {
    /// Nothing, or nothing but what has been done: longer windows, single sub-passes.
    None,
    /// Tell people, once for each holder.
    Tell(String),
    /// Wait, as the plan says, until everybody sees this transaction id; then [`Room::resume`].
    Wait(Wait, i64),
}

/// What a worker knows of the room on its pages.
#[derive(Debug)]
pub(super) struct Room {
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

impl Room {
    /// Begins with pages of whose room this share is free.
    pub(super) fn new(free: f64) -> Self {
        Self {
            cutter: Cutter::new(free),
            slice: None,
            without_room_at: 0,
            fruitless: 0,
            longer: 1,
            in_vain_until: None,
        }
    }

    /// Returns how the next window is processed, where `ordered` is how it should be.
    pub(super) fn wanted(&self, ordered: Method) -> Wanted {
        let method = ordered.with_longer_windows(self.longer);
        match self.in_vain_until {
            _ if self.fruitless >= FRUITLESS => Wanted::Method(method.single()),
            Some(until) if method.parts > 1 => Wanted::Once(until, method),
            _ => Wanted::Method(method),
        }
    }

    /// Takes note that everybody sees the transaction id that was waited for.
    pub(super) fn seen(&mut self) {
        self.in_vain_until = None;
    }

    /// Begins a window, or continues one that somebody else began.
    pub(super) fn begin(&mut self, parts: u32, slice: Slice) {
        self.cutter.begin(parts, slice);
        self.slice = None;
    }

    /// Returns the next slice of a window whose rows fall into `parts`, from the part `from` on.
    pub(super) fn cut(&mut self, parts: u32, from: u32, method: Method) -> Slice {
        self.slice = Some((0, 0));
        let left = parts - from;
        let width = match method.even {
            Some(even) => parts.div_ceil(even).min(left),
            None => self.cutter.width(parts, left),
        };
        Slice { from, to: from + width }
    }

    /// Takes note of a batch of the slice.
    pub(super) fn filled(&mut self, rows: u64, hot: u64) {
        if let Some((all, stayed)) = &mut self.slice {
            (*all, *stayed) = (*all + rows, *stayed + hot);
        }
    }

    /// Judges the slice that is done. Unless it is [`Verdict::Fine`], [`Room::remedy`] must know the horizon.
    pub(super) fn judge(&mut self) -> Verdict {
        self.slice.map_or(Verdict::Fine, |(rows, hot)| self.cutter.observe(rows, hot))
    }

    /// Decides what to do about a verdict.
    pub(super) fn remedy(
        &mut self,
        verdict: Verdict,
        horizon: &Horizon,
        method: Method,
        long: LongTransactions,
    ) -> Remedy {
        match verdict {
            Verdict::Fine => return Remedy::None,
            Verdict::WithoutRoom => {
                self.without_room_at = horizon.next_xid;
                return Remedy::None;
            }
            Verdict::InVain => {}
        }
        if horizon.oldest_xid >= self.without_room_at {
            // Dead rows can be pruned. Then it is line pointers that are used up (a page has 291, and dead rows that were in
            // an index keep theirs); or, where no slice found room, no update can be HOT: a trigger changes an indexed
            // column, for example.
            if self.cutter.found_no_room() {
                self.fruitless += 1;
            }
            return Remedy::None;
        }
        let may_last_longer = self.longer < LONGEST && !method.fixed;
        if may_last_longer && horizon.seconds.is_some_and(|seconds| seconds < SHORT_TRANSACTION) {
            // Perhaps nothing but short transactions, longer than it takes to come back.
            self.longer *= LONGER;
            return Remedy::None;
        }
        let (rows, hot) = self.slice.unwrap_or_default();
        if long == LongTransactions::Wait {
            let (holder, holder_seconds) = (horizon.holder.clone(), horizon.seconds);
            return Remedy::Wait(Wait::Horizon { rows, hot, holder, holder_seconds }, horizon.next_xid);
        }
        let told = self.in_vain_until.replace(horizon.next_xid).is_some();
        if told {
            Remedy::None
        } else {
            Remedy::Tell(format!(
                "most updates find no room on their pages ({hot} of {rows} did): {} keeps dead rows from being pruned. \
                 Until it is gone, each page is filled in one go",
                horizon.describe()
            ))
        }
    }

    /// Goes on with a window, at this slice, after a wait.
    pub(super) fn resume(&mut self, parts: u32, slice: Slice) {
        self.cutter.begin(parts, slice);
    }

    /// Takes note that the window is done.
    pub(super) fn end(&mut self) {
        self.cutter.end();
        if !self.cutter.is_in_vain() {
            self.fruitless = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::method::Shape;
    use super::*;

    fn method() -> Method {
        Method::choose(&Shape { pages: 1_000_000, rows_per_page: 75.0, row_bytes: None, filled_is_indexed: false })
    }

    fn horizon(next_xid: i64, oldest_xid: i64, seconds: f64) -> Horizon {
        Horizon { next_xid, oldest_xid, holder: Some("session 7".to_owned()), seconds: Some(seconds) }
    }

    /// Cuts slices in which no update is HOT until one is in vain; at the others the horizon is as at first.
    fn in_vain(room: &mut Room, first: &Horizon, then: &Horizon, long: LongTransactions) -> Remedy {
        let mut slice = Slice { from: 0, to: 0 };
        room.begin(75, slice);
        loop {
            slice = room.cut(75, slice.to, method());
            room.filled(1000, 0);
            let verdict = room.judge();
            match verdict {
                Verdict::Fine => {}
                Verdict::WithoutRoom => assert_eq!(room.remedy(verdict, first, method(), long), Remedy::None),
                Verdict::InVain => {
                    let remedy = room.remedy(verdict, then, method(), long);
                    assert_eq!(room.cut(75, slice.to, method()).to, 75, "the rest is one slice");
                    room.end();
                    return remedy;
                }
            }
        }
    }

    #[test]
    fn short_transactions_make_windows_longer_and_then_it_is_said() {
        let mut room = Room::new(0.0);
        for times in [4, 16] {
            let remedy = in_vain(&mut room, &horizon(100, 50, 1.0), &horizon(110, 50, 2.0), LongTransactions::GoOn);
            assert_eq!(remedy, Remedy::None);
            assert_eq!(room.wanted(method()), Wanted::Method(method().with_longer_windows(times)));
        }
        let remedy = in_vain(&mut room, &horizon(200, 50, 3.0), &horizon(210, 50, 4.0), LongTransactions::GoOn);
        let Remedy::Tell(message) = remedy else { panic!("{remedy:?}") };
        assert!(message.contains("(0 of 1000 did): session 7, in a transaction for 4 s"), "{message}");
        assert_eq!(room.wanted(method()), Wanted::Once(210, method().with_longer_windows(16)));
        // It is said once.
        let remedy = in_vain(&mut room, &horizon(300, 50, 60.0), &horizon(310, 50, 61.0), LongTransactions::GoOn);
        assert_eq!(remedy, Remedy::None);
        room.seen();
        assert_eq!(room.wanted(method()), Wanted::Method(method().with_longer_windows(16)));
    }

    #[test]
    fn a_long_transaction_is_waited_for_when_the_plan_says_so() {
        let mut room = Room::new(0.0);
        let remedy = in_vain(&mut room, &horizon(100, 50, 60.0), &horizon(110, 50, 61.0), LongTransactions::Wait);
        let holder = Some("session 7".to_owned());
        let wait = Wait::Horizon { rows: 1000, hot: 0, holder, holder_seconds: Some(61.0) };
        assert_eq!(remedy, Remedy::Wait(wait, 110));
        assert_eq!(room.wanted(method()), Wanted::Method(method()), "after the wait all is as before");
    }

    #[test]
    fn a_fixed_window_never_becomes_longer() {
        let mut room = Room::new(0.0);
        let fixed = Method { fixed: true, ..method() };
        room.begin(75, Slice { from: 0, to: 0 });
        room.cut(75, 0, fixed);
        room.filled(1000, 0);
        room.without_room_at = 100;
        let remedy = room.remedy(Verdict::InVain, &horizon(110, 50, 1.0), fixed, LongTransactions::GoOn);
        assert!(matches!(remedy, Remedy::Tell(_)), "{remedy:?}");
    }

    #[test]
    fn where_no_update_can_be_hot_windows_are_gone_through_once() {
        let mut room = Room::new(0.0);
        for _ in 0..FRUITLESS {
            assert_eq!(room.wanted(method()), Wanted::Method(method()));
            // Everybody sees what the slices left dead.
            let remedy = in_vain(&mut room, &horizon(100, 100, 0.0), &horizon(110, 110, 0.0), LongTransactions::GoOn);
            assert_eq!(remedy, Remedy::None);
        }
        assert_eq!(room.wanted(method()), Wanted::Method(method().single()));
    }

    #[test]
    fn a_slice_that_somebody_else_began_is_not_judged() {
        let mut room = Room::new(0.0);
        room.begin(75, Slice { from: 9, to: 17 });
        room.filled(1000, 0);
        assert_eq!(room.judge(), Verdict::Fine);
        let even = Method { even: Some(16), ..method() };
        assert_eq!(room.cut(75, 17, even), Slice { from: 17, to: 22 });
    }
}
