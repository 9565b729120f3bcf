//! How a table is gone through: chosen from facts, adapted to what comes of it.
//!
//! Updating every row of a full page at once pushes each new version to another page: no update is HOT, every index is
//! written and the table doubles. Updating one part of each page's rows, committing, and coming back later lets page
//! pruning free the room that the previous part left, so most new versions stay on their page and no index is touched.
//! The price is that each page is visited several times.

use sqlx::{PgConnection, Row};

use super::orders::Settings;
use super::spec::Spec;
use crate::pg;

/// Pages of a window. Small enough to stay in memory from one sub-pass to the next; large enough that a page is visited
/// again only when the snapshots of short transactions, and of other workers' batches, are gone.
const WINDOW_PAGES: u32 = 2048;
/// Pages of a window of a small table.
const FEWEST_WINDOW_PAGES: u32 = 256;
/// With several workers, a batch takes no more than this part of a window, for the same reason (measured with two workers:
/// as many updates stay HOT as with one; without it, 3 % fewer do).
const BATCHES_IN_WINDOW: u32 = 8;
/// More sub-passes cost more visits than they save (measured: 32 keep 3 % more updates HOT for half as much CPU again).
const MOST_SUB_PASSES: u32 = 16;
/// Bytes of a page that rows can have.
const PAGE_ROOM: f64 = 8168.0;
/// With this share of its room free, a page takes a new version of every row at once.
const ROOMY: f64 = 0.5;

/// How a table is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// How often each window is gone through; each time one part of each page's rows is filled. A power of two.
    pub sub_passes: u32,
    /// Pages of a window.
    pub window_pages: u32,
}

/// What decides on the method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Pages.
    pub pages: u32,
    /// Rows on a page.
    pub rows_per_page: f64,
    /// Bytes of a row with its header, from the planner's statistics; `None` where there are none.
    pub row_bytes: Option<f64>,
    /// Whether an index holds one of the columns that are filled: then no update can be HOT.
    pub filled_is_indexed: bool,
}

impl Method {
    /// Returns the method for a table.
    pub fn choose(shape: &Shape) -> Self {
        let free = shape.row_bytes.map_or(0.0, |bytes| 1.0 - shape.rows_per_page * bytes / PAGE_ROOM);
        // A small table still has windows for several workers.
        let window_pages = (shape.pages / 8).clamp(FEWEST_WINDOW_PAGES, WINDOW_PAGES);
        if shape.filled_is_indexed || free >= ROOMY {
            return Self { sub_passes: 1, window_pages };
        }
        // A sub-pass should update no more than fits into the room that the one before left; at least two rows a page.
        let wanted = 1.0 / free.max(1.0 / f64::from(MOST_SUB_PASSES));
        let enough = [1, 2, 4, 8].into_iter().find(|k| f64::from(*k) >= wanted).unwrap_or(MOST_SUB_PASSES);
        let most = shape.rows_per_page / 2.0;
        let affordable = [MOST_SUB_PASSES, 8, 4, 2].into_iter().find(|k| f64::from(*k) <= most).unwrap_or(1);
        Self { sub_passes: enough.min(affordable), window_pages }
    }

    /// Returns the most pages that a batch may take.
    pub(super) fn most_pages(sub_passes: u32, window_pages: u32, workers: u16) -> u32 {
        if sub_passes > 1 && workers > 1 { (window_pages / BATCHES_IN_WINDOW).max(1) } else { u32::MAX }
    }

    /// Returns the method with what a person has set.
    pub(super) fn with(self, settings: &Settings) -> Self {
        Self {
            sub_passes: settings.sub_passes.unwrap_or(self.sub_passes),
            window_pages: settings.window_pages.unwrap_or(self.window_pages),
        }
    }
}

impl Shape {
    /// Reads the shape of the table as it is now. The second part says whether the server counts HOT updates.
    pub(crate) async fn read(
        connection: &mut PgConnection,
        spec: &Spec,
        table_oid: i64,
    ) -> Result<(Self, bool), sqlx::Error> {
        let columns: Vec<_> = spec.fills.iter().map(|fill| fill.column.clone()).collect();
        let row = pg::query(include_str!("shape.sql")).bind(table_oid).bind(columns).fetch_one(connection).await?;
        let (rows, analyzed_pages): (f64, f64) = (row.try_get(0)?, row.try_get(1)?);
        let pages: i64 = row.try_get(5)?;
        let shape = Self {
            pages: u32::try_from(pages).unwrap_or(u32::MAX),
            rows_per_page: if rows > 0.0 && analyzed_pages > 0.0 { rows / analyzed_pages } else { 0.0 },
            row_bytes: row.try_get(2)?,
            filled_is_indexed: row.try_get(3)?,
        };
        Ok((shape, row.try_get(4)?))
    }
}

/// Watches whether sub-passes do what they are for. Pruning needs the previous sub-pass to be older than every snapshot:
/// a long transaction, a replication slot or a standby with feedback can keep it from that. Then windows are gone through
/// once for a while, and longer each time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Adaptive {
    /// Windows to go before sub-passes are tried again.
    single: u32,
    /// How many they were the last time.
    last: u32,
}

impl Adaptive {
    const FEWEST: u32 = 4;
    const MOST: u32 = 64;
    /// Below this share of HOT updates, sub-passes are not worth their visits.
    const WORTH_IT: f64 = 0.3;

    /// Returns the method of the next window.
    pub(super) fn next(&mut self, wanted: Method) -> Method {
        if self.single == 0 || wanted.sub_passes == 1 {
            return wanted;
        }
        self.single -= 1;
        // A window of the same size, so that a try costs the same.
        Method { sub_passes: 1, ..wanted }
    }

    /// Takes note of a window that was gone through in sub-passes. Returns true when they were in vain.
    pub(super) fn observe(&mut self, rows: u64, hot: u64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let in_vain = rows > 0 && (hot as f64) < (rows as f64) * Self::WORTH_IT;
        if in_vain {
            self.last = (self.last * 2).clamp(Self::FEWEST, Self::MOST);
            self.single = self.last;
        } else {
            self.last = 0;
        }
        in_vain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(rows_per_page: f64, row_bytes: Option<f64>, filled_is_indexed: bool) -> u32 {
        Method::choose(&Shape { pages: 100_000, rows_per_page, row_bytes, filled_is_indexed }).sub_passes
    }

    #[test]
    fn the_table_of_methods() {
        // Full pages of middling rows: many sub-passes.
        assert_eq!(chosen(75.0, Some(108.0), false), 16);
        assert_eq!(chosen(75.0, None, false), 16);
        // An index on the new column makes HOT impossible.
        assert_eq!(chosen(75.0, Some(108.0), true), 1);
        // Room on the page: fillfactor 45, 70, 85, 95.
        assert_eq!(chosen(34.0, Some(108.0), false), 1);
        assert_eq!(chosen(53.0, Some(108.0), false), 4);
        assert_eq!(chosen(64.0, Some(108.0), false), 8);
        assert_eq!(chosen(71.0, Some(108.0), false), 16);
        // Wide rows: no more sub-passes than leave two rows a page.
        assert_eq!(chosen(20.0, Some(400.0), false), 8);
        assert_eq!(chosen(8.0, Some(1000.0), false), 4);
        assert_eq!(chosen(3.0, Some(2700.0), false), 1);
        assert_eq!(chosen(0.0, None, false), 1);
        let shape = |pages| Shape { pages, rows_per_page: 75.0, row_bytes: None, filled_is_indexed: false };
        let window = |pages| Method::choose(&shape(pages)).window_pages;
        assert_eq!((window(0), window(8000), window(1_000_000)), (256, 1000, 2048));
    }

    #[test]
    fn sub_passes_in_vain_are_left_off_for_a_while() {
        let wanted = Method { sub_passes: 16, window_pages: 512 };
        let mut adaptive = Adaptive::default();
        assert!(!adaptive.observe(1000, 800));
        assert_eq!(adaptive.next(wanted), wanted);
        assert!(adaptive.observe(1000, 10));
        let singles = |adaptive: &mut Adaptive| (0..1000).take_while(|_| adaptive.next(wanted).sub_passes == 1).count();
        assert_eq!(singles(&mut adaptive), 4);
        assert!(adaptive.observe(1000, 10));
        assert_eq!(singles(&mut adaptive), 8);
        assert!(!adaptive.observe(1000, 900));
        assert!(adaptive.observe(1000, 0));
        assert_eq!(singles(&mut adaptive), 4);
    }
}
