//! What comes of a method on a page of a table, as far as that can be told beforehand. Pure.

use super::method::Method;
use super::slices::Cutter;
use crate::run::Slice;

/// Bytes of a page that rows can have.
const PAGE_ROOM: f64 = 8168.0;
/// A new version takes a line pointer, which pruning does not give back.
const LINE_POINTER: u32 = 4;
/// After this many windows, nothing more is learned.
const MOST_WINDOWS: u32 = 40;

/// A page of a table, and what its rows become.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Page {
    /// Pages of the table.
    pub(crate) pages: u32,
    /// Rows on a page.
    pub(crate) rows: f64,
    /// Bytes of a row without its line pointer.
    pub(crate) old_bytes: f64,
    /// The same once it is filled.
    pub(crate) new_bytes: f64,
}

/// The result, on average over the windows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rehearsed {
    /// Share of rows whose new version stays on its page.
    pub(crate) stay: f64,
    /// How many sub-passes a window takes.
    pub(crate) sub_passes: f64,
    /// The largest share of a page's rows that a sub-pass moves to other pages.
    pub(crate) burst: f64,
    /// The largest share of a page's rows that a sub-pass fills.
    pub(crate) most: f64,
}

impl Method {
    /// Goes through windows of pages that are all the same, on which pruning keeps up.
    pub(crate) fn rehearse(&self, page: &Page) -> Rehearsed {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes and rows of a page")]
        let whole = |value: f64| value.round().clamp(1.0, PAGE_ROOM) as u32;
        let (rows, old, new) = (whole(page.rows), whole(page.old_bytes), whole(page.new_bytes) + LINE_POINTER);
        let taken = page.rows * (page.old_bytes + f64::from(LINE_POINTER));
        let free = if taken < PAGE_ROOM { whole(PAGE_ROOM - taken) } else { 0 };
        let windows = (page.pages / self.window_pages.max(1)).clamp(1, MOST_WINDOWS);
        let mut cutter = Cutter::new(self.free);
        let (mut stayed, mut passes, mut burst, mut most) = (0, 0, 0.0, 0.0_f64);
        for _ in 0..windows {
            let parts = self.parts.max(1);
            cutter.begin(parts, Slice { from: 0, to: 0 });
            let (mut room, mut left, mut done) = (free, parts, 0);
            let mut largest = 0;
            while left > 0 {
                let width = match self.even {
                    _ if parts == 1 => 1,
                    Some(even) => parts.div_ceil(even.max(1)).min(left),
                    None => cutter.width(parts, left),
                };
                left -= width;
                // Rows of the slice: the last one takes what is left.
                let upto = if left == 0 { rows } else { rows * (parts - left) / parts };
                let fill = upto - done;
                let fit = fill.min(room / new);
                room = room - fit * new + fill * old;
                done = upto;
                (stayed, passes, largest) = (stayed + fit, passes + 1, largest.max(fill - fit));
                most = most.max(f64::from(fill) / f64::from(rows));
                if self.even.is_none() && parts > 1 {
                    cutter.observe(u64::from(fill) * 1000, u64::from(fit) * 1000);
                }
            }
            cutter.end();
            burst += f64::from(largest) / f64::from(rows);
        }
        let windows = f64::from(windows);
        Rehearsed {
            stay: f64::from(stayed) / f64::from(rows) / windows,
            sub_passes: f64::from(passes) / windows,
            burst: burst / windows,
            most,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fill::Shape;

    fn rehearse(rows: f64, old_bytes: f64, filled_is_indexed: bool) -> Rehearsed {
        let shape = Shape { pages: 13_330, rows_per_page: rows, row_bytes: Some(old_bytes + 4.0), filled_is_indexed };
        let page = Page { pages: 13_330, rows, old_bytes, new_bytes: old_bytes + 8.0 };
        Method::choose(&shape).rehearse(&page)
    }

    #[test]
    fn what_was_measured_is_rehearsed() {
        // Full pages: 87 % stayed, in about 17 sub-passes.
        let full = rehearse(75.0, 104.0, false);
        assert!((full.stay - 0.87).abs() < 0.03 && (14.0..23.0).contains(&full.sub_passes), "{full:?}");
        // With the column in an index: all of them move at once.
        let indexed = rehearse(75.0, 104.0, true);
        assert!(indexed.stay < 0.01 && (indexed.sub_passes - 1.0).abs() < 0.01, "{indexed:?}");
        // Room for all: the first windows take two sub-passes, until that is learned.
        let roomy = rehearse(34.0, 104.0, false);
        assert!(roomy.stay >= 1.0 && roomy.sub_passes < 2.0, "{roomy:?}");
        // A row a page, and none.
        assert!(rehearse(1.0, 8000.0, false).stay <= 0.0);
        assert!(rehearse(0.0, 100.0, false).stay <= 1.0);
    }
}
