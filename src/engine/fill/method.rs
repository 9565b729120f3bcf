//! How a table is processed: chosen from facts.
//!
//! Updating every row of a full page at once pushes each new version to another page: no update is HOT, every index is
//! written and the table doubles. Updating one part of each page's rows, committing, and coming back later lets page
//! pruning free the room that the previous part left, so most new versions stay on their page and no index is touched.
//! The price is that each page is visited several times.

use std::time::Duration;

use sqlx::{PgConnection, Row};

use crate::pg::{self, Owner};
use crate::run::FillSpec;

/// Pages of a window. Small enough to stay in memory from one sub-pass to the next; large enough that a page is visited
/// again only when the snapshots of short transactions, and of other workers' batches, are gone.
const WINDOW_PAGES: u32 = 2048;
/// Pages of a window of a small table.
const FEWEST_WINDOW_PAGES: u32 = 256;
/// Pages of a window that was made larger because snapshots lived longer than a sub-pass took.
const MOST_WINDOW_PAGES: u32 = 32 * 1024;
/// With several workers, a batch takes no more than this part of a window, for the same reason (measured with two workers:
/// as many updates stay HOT as with one; without it, 3 % fewer do).
const BATCHES_IN_WINDOW: u32 = 8;
/// In a small window it may take more, up to so many pages and this part of the window: a batch costs as much as some twenty pages before
/// it does anything, and when a page is seen again, the batches that other workers had in the meantime are over (measured with two
/// workers in partitions of 533 pages: as many updates stay HOT as with one worker, in seven tenths of the time).
const SMALL_BATCH_PAGES: u32 = 128;
const FEWEST_BATCHES: u32 = 3;
/// The most parts that rows of a page are divided into.
const MOST_PARTS: f64 = 255.0;
/// Bytes of a page that rows can have.
const PAGE_ROOM: f64 = 8168.0;

/// How a table is processed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Method {
    /// Into how many parts the rows of a page are divided; 1 is one sub-pass for all of them.
    pub parts: u32,
    /// Pages of a window.
    pub window_pages: u32,
    /// Whether a person has set this: then windows do not become longer.
    pub fixed: bool,
    /// The share of a page's room that is free.
    pub free: f64,
    /// This many sub-passes of one size, in place of slices that are learned.
    pub even: Option<u32>,
    /// Whether the table is one window, for one worker.
    pub alone: bool,
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
        let free = shape.row_bytes.map_or(0.0, |bytes| 1.0 - shape.rows_per_page * bytes / PAGE_ROOM).max(0.0);
        // A small table still has windows for several workers.
        let window_pages = (shape.pages / 8).clamp(FEWEST_WINDOW_PAGES, WINDOW_PAGES);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 255")]
        let parts = if shape.filled_is_indexed { 1 } else { shape.rows_per_page.round().clamp(1.0, MOST_PARTS) as u32 };
        Self { parts, window_pages, fixed: false, free, even: None, alone: false }
    }

    /// Returns the method of one table of many: one that is no larger than a window is one, for one worker. The others have tables of
    /// their own.
    pub(super) fn of_one_worker(self, shape: &Shape) -> Self {
        if shape.pages > WINDOW_PAGES {
            return self;
        }
        Self { window_pages: WINDOW_PAGES, alone: true, ..self }
    }

    /// Returns how many of so many workers have something to do.
    pub(super) fn workers(self, workers: u16) -> u16 {
        if self.alone && !self.fixed { workers.min(1) } else { workers }
    }

    /// Returns the most pages that a batch may take with this many workers, including those of other processes.
    pub(super) fn most_pages(parts: u32, window_pages: u32, workers: u16) -> u32 {
        if parts <= 1 || workers <= 1 {
            return u32::MAX;
        }
        let small = SMALL_BATCH_PAGES.min(window_pages / FEWEST_BATCHES);
        (window_pages / BATCHES_IN_WINDOW).max(small).max(1)
    }

    /// Returns the method with what a person has set: `even` sub-passes, `window_pages`.
    pub(super) fn with(self, even: Option<u32>, window_pages: Option<u32>) -> Self {
        let parts = match even {
            None => self.parts,
            Some(1) => 1,
            Some(even) => self.parts.max(even),
        };
        let fixed = window_pages.is_some();
        let window_pages = window_pages.unwrap_or(self.window_pages);
        Self { parts, window_pages, fixed, even, ..self }
    }

    /// Returns the method with every row of a window filled in one sub-pass.
    pub(super) fn single(self) -> Self {
        Self { parts: 1, ..self }
    }

    /// Returns the method with windows that take `times` as long to come back to.
    pub(super) fn with_longer_windows(self, times: u32) -> Self {
        if self.fixed {
            return self;
        }
        let most = MOST_WINDOW_PAGES.max(self.window_pages);
        Self { window_pages: self.window_pages.saturating_mul(times).min(most), ..self }
    }
}

impl Shape {
    /// Returns the shape of a table that cannot be looked at: what is wrong about it costs time and room, and nothing else.
    pub(super) fn ordinary() -> Self {
        Self { pages: u32::MAX, rows_per_page: 75.0, row_bytes: None, filled_is_indexed: false }
    }

    /// Reads the shape of the table as it is now. The second part says whether the server counts HOT updates.
    pub(crate) async fn read(
        connection: &mut PgConnection,
        spec: &FillSpec,
        table_oid: i64,
    ) -> Result<(Self, bool), sqlx::Error> {
        let columns: Vec<_> = spec.fills.iter().map(|fill| fill.column.clone()).collect();
        let row =
            pg::query(include_str!("shape.sql")).bind(table_oid).bind(columns).fetch_one(&mut *connection).await?;
        let (rows, analyzed_pages): (f64, f64) = (row.try_get("rows")?, row.try_get("analyzed_pages")?);
        let pages: i64 = row.try_get("pages")?;
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        let shape = Self {
            pages,
            rows_per_page: if rows > 0.0 && analyzed_pages > 0.0 {
                rows / analyzed_pages
            } else {
                sample(connection, spec, table_oid, pages).await?
            },
            row_bytes: row.try_get("row_bytes")?,
            filled_is_indexed: row.try_get("filled_is_indexed")?,
        };
        Ok((shape, row.try_get("counts_hot")?))
    }
}

/// Returns the rows of a page in the middle of a table that was never analyzed.
async fn sample(
    connection: &mut PgConnection,
    spec: &FillSpec,
    table_oid: i64,
    pages: u32,
) -> Result<f64, sqlx::Error> {
    const PAGES: u32 = 16;
    let limits = pg::Limits { lock: Duration::from_secs(1), statement: Duration::from_secs(5), durable: false };
    let from = pages.saturating_sub(PAGES) / 2;
    let count = spec.count_rows(from, from.saturating_add(PAGES));
    let owner = Owner::enter(&mut *connection, table_oid).await?;
    let rows = pg::look(connection, limits, "SET LOCAL enable_seqscan = off", &owner.ask(&count)).await?;
    let rows: f64 = match rows.first() {
        Some(row) => row.try_get::<String, _>(0)?.parse().unwrap_or(0.0),
        None => 0.0,
    };
    Ok(rows / f64::from(PAGES.min(pages.max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(rows_per_page: f64, row_bytes: Option<f64>, filled_is_indexed: bool) -> (u32, f64) {
        let method = Method::choose(&Shape { pages: 100_000, rows_per_page, row_bytes, filled_is_indexed });
        (method.parts, (method.free * 10.0).round() / 10.0)
    }

    #[test]
    fn the_table_of_methods() {
        // Full pages: as many parts as rows.
        assert_eq!(chosen(75.0, Some(108.0), false), (75, 0.0));
        assert_eq!(chosen(75.0, None, false), (75, 0.0));
        assert_eq!(chosen(75.0, Some(108.0), true).0, 1);
        // Room on the page: fillfactor 45, 70, 90.
        assert_eq!(chosen(34.0, Some(108.0), false), (34, 0.6));
        assert_eq!(chosen(53.0, Some(108.0), false), (53, 0.3));
        assert_eq!(chosen(68.0, Some(108.0), false), (68, 0.1));
        // Wide rows, narrow rows, no rows.
        assert_eq!(chosen(3.0, Some(2700.0), false), (3, 0.0));
        assert_eq!(chosen(290.0, Some(28.0), false), (255, 0.0));
        assert_eq!(chosen(0.0, None, false).0, 1);
        let shape = |pages| Shape { pages, rows_per_page: 75.0, row_bytes: None, filled_is_indexed: false };
        let window = |pages| Method::choose(&shape(pages)).window_pages;
        assert_eq!((window(0), window(8000), window(1_000_000)), (256, 1000, 2048));
        let of_many = |pages| Method::choose(&shape(pages)).of_one_worker(&shape(pages));
        let alone = |method: Method| (method.window_pages, method.workers(4));
        assert_eq!((alone(of_many(500)), alone(of_many(2048))), ((2048, 1), (2048, 1)));
        assert_eq!(alone(of_many(8000)), (1000, 4));
        // Windows that a person has made are shared.
        assert_eq!(alone(of_many(500).with(None, Some(16))), (16, 4));
        let longer = |times| Method::choose(&shape(1_000_000)).with_longer_windows(times).window_pages;
        assert_eq!((longer(1), longer(4), longer(64)), (2048, 8192, 32_768));
    }
}
