//! Which rows of every page a sub-pass fills: how many parts to take at a time, learned from how many updates were HOT.
//!
//! The rows of a page fall into parts by the number of their line pointer, so each part holds the same share of every page.
//! On full pages the first slice has no room and moves to other pages; it leaves as much room as it took. A slice that
//! fits into the room that the one before left stays, but as rows grow by what is filled, that room shrinks a little with
//! every slice. So slices shrink in the same measure: fewer rows move than with slices of one size, in fewer sub-passes.

use crate::run::Slice;

/// The largest first slice of a full page, as a share of its rows. Leaf pages of a btree are filled to nine tenths, so more
/// than about a tenth of new entries at once splits them (measured: 12 % makes indexes grow by a tenth, 13 % by a fifth).
const MOST_FIRST: f64 = 0.12;
/// The smallest.
const LEAST_FIRST: f64 = 0.02;
/// The smallest slice, as a share of a page's rows: more visits cost more than they save.
const LEAST: f64 = 1.0 / 38.0;
/// What rows move in the first slice is what limits the slices after it: it is made so large that a window takes this
/// many sub-passes.
const SUB_PASSES: std::ops::RangeInclusive<u32> = 16..=22;
/// The last slice of somebody else, where it is not known.
const RESUMED: f64 = 0.06;
/// How much smaller than the one before a slice is, until it is known.
const SHRINK: f64 = 0.92;
const MOST_SHRINK: f64 = 0.7;
/// A slice in which fewer updates were HOT was too large.
const TOO_LARGE: f64 = 0.97;
/// A slice in which more updates were HOT may have been too small.
const FITTED: f64 = 0.995;
/// Below this share of HOT updates, the first slice of a page had to move.
const MOVED: f64 = 0.5;
/// Below this share of HOT updates, sub-passes are not worth their visits.
const WORTH_IT: f64 = 0.3;
/// Fewer rows than this say nothing.
const FEW: u64 = 50;

/// What came of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on.
    Fine,
    /// Updates did not find the room that the slice before must have left. Once can be because a single wide row leaves a
    /// little less than a longer one needs.
    WithoutRoom,
    /// That happened again: the rest of the window is one slice.
    InVain,
}

/// Decides on the slices of a worker's windows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cutter {
    /// The first slice of a window, as a share of a page's rows.
    first: f64,
    /// A slice as a share of the one before.
    shrink: f64,
    /// The last slice, as a share of a page's rows; none yet in this window.
    last: Option<f64>,
    /// Slices of this window so far.
    cut: u32,
    /// Whether the first slice of this window had to move; `None` when it is not known.
    moved: Option<bool>,
    /// Whether the last slice found no room.
    without_room: bool,
    in_vain: bool,
}

impl Cutter {
    /// Returns a cutter for pages of whose room this share is free.
    pub(super) fn new(free: f64) -> Self {
        let first = free.clamp(MOST_FIRST, 1.0);
        Self { first, shrink: SHRINK, last: None, cut: 0, moved: None, without_room: false, in_vain: false }
    }

    /// Begins a window, or continues one that another worker began.
    pub(super) fn begin(&mut self, parts: u32, slice: Slice) {
        (self.cut, self.moved, self.without_room, self.in_vain) = (0, None, false, false);
        self.last = match slice.width() {
            0 if slice.from == 0 => None,
            0 => Some(RESUMED),
            width => Some(f64::from(width) / f64::from(parts)),
        };
    }

    /// Returns how many of the `left` parts the next slice takes, at least 1; a page's rows fall into `parts`.
    pub(super) fn width(&mut self, parts: u32, left: u32) -> u32 {
        self.cut += 1;
        if self.in_vain {
            return left.max(1);
        }
        let share = self.last.map_or(self.first, |last| (last * self.shrink).max(LEAST));
        self.last = Some(share);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and `left`")]
        let width = (share * f64::from(parts)).round().clamp(1.0, f64::from(left.max(1))) as u32;
        width
    }

    /// Takes note of a slice of `rows` updates, `hot` of which stayed on their page.
    pub(super) fn observe(&mut self, rows: u64, hot: u64) -> Verdict {
        if rows < FEW || self.in_vain {
            return Verdict::Fine;
        }
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = hot as f64 / rows as f64;
        if self.cut == 1 {
            self.moved = Some(share < MOVED);
            if share > FITTED {
                self.first = (self.first * 1.5).min(1.0);
            } else if share < MOVED && self.first > MOST_FIRST {
                self.first = (self.first * 0.5).max(MOST_FIRST);
            }
        } else if share < WORTH_IT {
            self.in_vain = self.without_room;
            self.without_room = true;
            return if self.in_vain { Verdict::InVain } else { Verdict::WithoutRoom };
        } else if self.last.is_some_and(|last| last <= LEAST) {
            // It could not have been smaller.
        } else if share < TOO_LARGE {
            self.shrink = (self.shrink - 0.02).max(MOST_SHRINK);
        } else if share > FITTED {
            self.shrink = (self.shrink + 0.005).min(1.0);
        }
        self.without_room = false;
        Verdict::Fine
    }

    /// Returns whether the rest of the window is one slice because the ones before found no room.
    pub(super) fn is_in_vain(&self) -> bool {
        self.in_vain
    }

    /// Returns whether no slice of this window but the first has been HOT.
    pub(super) fn found_no_room(&self) -> bool {
        self.in_vain && self.cut <= 3
    }

    /// Takes note that the window is done.
    pub(super) fn end(&mut self) {
        if self.in_vain || self.moved != Some(true) || self.first > MOST_FIRST {
            return;
        }
        if self.cut < *SUB_PASSES.start() {
            self.first = (self.first * 0.95).max(LEAST_FIRST);
        } else if self.cut > *SUB_PASSES.end() {
            self.first = (self.first * 1.05).min(MOST_FIRST);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A page as the server keeps it: pruned at each visit, so that old versions leave their room but not their line pointer.
    struct Page {
        rows: u32,
        old: u32,
        new: u32,
        free: u32,
    }

    /// Returns the share of HOT updates and the sub-passes of the last of several windows of such pages.
    fn fill(page: &Page, windows: u32, prunes: bool) -> (f64, u32) {
        let mut cutter = Cutter::new(f64::from(page.free) / f64::from(page.rows * page.old + page.free));
        let mut result = (0.0, 0);
        for _ in 0..windows {
            cutter.begin(page.rows, Slice { from: 0, to: 0 });
            let (mut room, mut left, mut hot, mut passes) = (page.free, page.rows, 0, 0);
            while left > 0 {
                let width = cutter.width(page.rows, left);
                assert!((1..=left).contains(&width));
                let fit = width.min(room / (page.new + 4));
                room -= fit * (page.new + 4);
                room += if prunes { width * page.old } else { 0 };
                left -= width;
                (hot, passes) = (hot + fit, passes + 1);
                cutter.observe(u64::from(width) * 1000, u64::from(fit) * 1000);
            }
            cutter.end();
            result = (f64::from(hot) / f64::from(page.rows), passes);
        }
        result
    }

    #[test]
    fn full_pages_keep_all_but_what_must_move() {
        // 75 rows of 104 bytes that grow by 8: at least the growth with its line pointers must move, about 11 %.
        let (hot, passes) = fill(&Page { rows: 75, old: 104, new: 112, free: 0 }, 40, true);
        assert!(hot >= 0.85 && passes <= 24, "{hot:.3} in {passes}");
        // Rows that do not grow: a first slice of 12 % would leave room that nobody needs.
        let (hot, passes) = fill(&Page { rows: 60, old: 128, new: 128, free: 0 }, 40, true);
        assert!(hot >= 0.89 && passes <= 24, "{hot:.3} in {passes}");
        // Wide rows.
        let (hot, _) = fill(&Page { rows: 8, old: 1000, new: 1008, free: 0 }, 5, true);
        assert!(hot >= 0.74, "{hot:.3}");
    }

    #[test]
    fn pages_with_room_take_few_sub_passes() {
        let (hot, passes) = fill(&Page { rows: 52, old: 104, new: 112, free: 2400 }, 10, true);
        assert!(hot >= 0.9 && passes <= 6, "{hot:.3} in {passes}");
        let (hot, passes) = fill(&Page { rows: 30, old: 104, new: 112, free: 4500 }, 10, true);
        assert!(hot >= 0.9 && passes <= 2, "{hot:.3} in {passes}");
    }

    #[test]
    fn without_pruning_the_rest_is_one_slice() {
        let (_, passes) = fill(&Page { rows: 75, old: 104, new: 112, free: 0 }, 5, false);
        assert_eq!(passes, 4);
    }

    proptest! {
        #[test]
        fn slices_lie_side_by_side_and_end(parts in 1u32..300, free in 0.0f64..1.0, shares in prop::collection::vec(0.0f64..=1.0, 400)) {
            let mut cutter = Cutter::new(free);
            let (mut slice, mut passes) = (Slice { from: 0, to: 0 }, 0);
            cutter.begin(parts, slice);
            for share in shares {
                if slice.from >= parts { break }
                slice.to = slice.from + cutter.width(parts, parts - slice.from);
                prop_assert!(slice.width() >= 1 && slice.to <= parts);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 1000")]
                let hot = (share * 1000.0) as u64;
                cutter.observe(1000, hot);
                slice = slice.next();
                passes += 1;
            }
            prop_assert!(slice.from == parts && passes <= 60, "{passes} of {parts}");
        }
    }
}
