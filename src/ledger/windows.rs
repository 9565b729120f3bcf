//! The backfill's position: passes over the table's file, and windows of its pages.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::{Lease, Ledger, LedgerError};
use crate::engine::fill::Method;
use crate::ident::{RunId, TableName};
use crate::pg;
use crate::run::{HeldBy, PaceReport, Progress, Slice, TableFacts};

/// How long this worker's bookkeeping may wait for another worker's.
pub(super) const BOOKKEEPING: pg::Timeouts =
    pg::Timeouts { lock: Duration::from_secs(5), statement: Duration::from_secs(10) };

/// The columns that [`window`] reads.
const WINDOW: &str =
    "from_page, to_page, parts::bigint, sub_pass::bigint, slice_from::bigint, slice_to::bigint, next_page, late";

/// A worker of the lease's holder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    /// The lease.
    pub(crate) lease: Lease,
    /// The worker's number.
    pub(crate) worker: i32,
}

/// One pass of the backfill over one file of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pass {
    /// Its number, from 1. A new table file starts a new one.
    pub(crate) number: i32,
    /// `pg_relation_filenode` of the table when the pass began.
    pub(crate) relfilenode: i64,
    /// Pages `[0, bound)` existed then.
    pub(crate) bound: u32,
}

/// A range of pages that one worker fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// The pass it belongs to.
    pub(crate) pass: i32,
    /// The table file of that pass.
    pub(crate) relfilenode: i64,
    /// The first page.
    pub(crate) from: u32,
    /// The page after the last.
    pub(crate) to: u32,
    /// Into how many parts the rows of a page are divided.
    pub(crate) parts: u32,
    /// The worker's position.
    pub(crate) position: Position,
    /// Whether it is a page that could not be locked when its turn came.
    pub(crate) late: bool,
}

/// A worker's position in its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The number of the current sub-pass, from 0.
    pub(crate) sub_pass: u32,
    /// The parts that it fills. The window is done when it begins after the last part.
    pub(crate) slice: Slice,
    /// The next page of the sub-pass.
    pub(crate) next: u32,
}

impl Window {
    /// Returns the worker's position once the pages up to `to` are done in the current sub-pass.
    pub(crate) fn after(&self, to: u32) -> Position {
        let Position { sub_pass, slice, .. } = self.position;
        if to < self.to {
            Position { next: to, ..self.position }
        } else {
            Position { sub_pass: sub_pass + 1, slice: slice.next(), next: self.from }
        }
    }

    /// Returns whether every part is done.
    pub(crate) fn is_done(&self) -> bool {
        self.position.slice.from >= self.parts
    }
}

/// How far a backfill is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FillProgress {
    /// Pages of the current pass.
    pub bound: i64,
    /// Pages done, those of open windows in proportion.
    pub done: i64,
    /// Rows filled, in all passes.
    pub rows: i64,
    /// Those of them that touched no index, because the new version stayed on its page.
    pub hot: i64,
    /// Pages that wait for their lock.
    pub late: i64,
    /// Seconds since the current pass began.
    pub seconds: f64,
    /// What the engine reported in the last few seconds; `None` when it is not at work.
    pub report: Option<FillReport>,
}

/// What a running backfill reports about itself once a second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FillReport {
    /// Rows per second over the last few seconds.
    pub rows_per_second: f64,
    /// Seconds to go; `None` while there is no rate.
    pub eta_seconds: Option<f64>,
    /// What it stands still for; `None` when it does not.
    pub held_by: Option<HeldBy>,
    /// How fast it goes, and what an application feels of it.
    pub pace: PaceReport,
}

impl FillProgress {
    /// Returns how far the backfill is: rows gone through by pages, for those that were right before it came count too.
    pub fn progress(&self, table: &TableFacts, rows_per_second: f64, eta_seconds: Option<f64>) -> Progress {
        let total = self.rows_total(table);
        let share = i128::from(total) * i128::from(self.done.min(self.bound)) / i128::from(self.bound.max(1));
        Progress::new(i64::try_from(share).unwrap_or(total), total, rows_per_second, eta_seconds)
    }

    /// Returns an estimate of all rows that it goes through, never below those that are filled.
    fn rows_total(&self, table: &TableFacts) -> i64 {
        if self.bound == 0 {
            return table.rows.max(self.rows);
        }
        let estimate = i128::from(table.rows.max(0)) * i128::from(self.bound) / i128::from(table.pages.max(1));
        i64::try_from(estimate).unwrap_or(i64::MAX).max(self.rows)
    }
}

impl Ledger {
    /// Returns the current pass; the first call measures the table and begins pass 1.
    ///
    /// The measure must be taken after the sync trigger committed: then every row on a later page was written under it.
    pub(crate) async fn open_pass(
        &self,
        connection: &mut PgConnection,
        lease: Lease,
        table: &TableName,
        table_oid: i64,
    ) -> Result<Pass, LedgerError> {
        self.measured_pass(connection, lease, table, table_oid, None).await.map(|(pass, _)| pass)
    }

    /// Begins the pass after `seen`, because the table has another file. The second part is false when another worker had
    /// done so already.
    pub(crate) async fn restart_pass(
        &self,
        connection: &mut PgConnection,
        lease: Lease,
        table: &TableName,
        table_oid: i64,
        seen: i32,
    ) -> Result<(Pass, bool), LedgerError> {
        self.measured_pass(connection, lease, table, table_oid, Some(seen)).await
    }

    async fn measured_pass(
        &self,
        connection: &mut PgConnection,
        lease: Lease,
        table: &TableName,
        table_oid: i64,
        seen: Option<i32>,
    ) -> Result<(Pass, bool), LedgerError> {
        pg::begin(connection, BOOKKEEPING, true).await?;
        let pass = async {
            // The lock keeps the file what it is while it is measured.
            pg::batch(connection, &format!("LOCK TABLE {} IN ACCESS SHARE MODE", table.sql())).await?;
            self.fence(connection, lease).await?;
            let current = self.current_pass(connection, lease.run).await?;
            match (current, seen) {
                (Some((pass, _)), None) => return Ok((pass, false)),
                (Some((pass, _)), Some(seen)) if pass.number > seen => return Ok((pass, false)),
                _ => {}
            }
            let begin = self.sql(
                "INSERT INTO crossfade.backfill AS b (run_id, pass, relfilenode, bound, next_page, started_at, heap_bytes, toast_bytes, \
                   index_bytes) \
                 SELECT $1, 1, COALESCE(pg_catalog.pg_relation_filenode($2::bigint::oid), 0), \
                   COALESCE(pg_catalog.pg_relation_size($2::bigint::oid), 0) / pg_catalog.current_setting('block_size')::bigint, \
                   0, pg_catalog.clock_timestamp(), COALESCE(pg_catalog.pg_relation_size($2::bigint::oid), 0), \
                   COALESCE((SELECT pg_catalog.pg_relation_size(NULLIF(c.reltoastrelid, 0)) FROM pg_catalog.pg_class AS c \
                     WHERE c.oid = $2::bigint::oid), 0), \
                   COALESCE(pg_catalog.pg_indexes_size($2::bigint::oid), 0) \
                 ON CONFLICT (run_id) DO UPDATE SET pass = b.pass + 1, relfilenode = excluded.relfilenode, \
                   bound = excluded.bound, next_page = 0, started_at = excluded.started_at",
            );
            pg::query(&begin).bind(lease.run.0).bind(table_oid).execute(&mut *connection).await?;
            let current = self.current_pass(connection, lease.run).await?;
            current.map(|(pass, _)| (pass, true)).ok_or(LedgerError::Database(sqlx::Error::RowNotFound))
        }
        .await;
        finish(connection, pass).await
    }

    /// Returns the current pass and its next page that no window holds, and locks them.
    async fn current_pass(
        &self,
        connection: &mut PgConnection,
        run: RunId,
    ) -> Result<Option<(Pass, u32)>, LedgerError> {
        let select = self.sql(
            "SELECT pass, relfilenode::bigint, bound, next_page FROM crossfade.backfill WHERE run_id = $1 FOR UPDATE",
        );
        let row = pg::query(&select).bind(run.0).fetch_optional(connection).await?;
        let pass = |row: PgRow| {
            let pass = Pass { number: row.try_get(0)?, relfilenode: row.try_get(1)?, bound: page(&row, 2)? };
            Ok((pass, page(&row, 3)?))
        };
        row.map(pass).transpose()
    }

    /// Hands a window to a worker: first one that it had itself and lost sight of, or whose process has no lease any more;
    /// then the next free pages, as large as `method` says; then a late page. `None` when all are taken.
    pub(crate) async fn take_window(
        &self,
        connection: &mut PgConnection,
        seat: Seat,
        method: Method,
    ) -> Result<Option<Window>, LedgerError> {
        pg::begin(connection, BOOKKEEPING, false).await?;
        let window = async {
            self.fence(connection, seat.lease).await?;
            let Some((pass, next)) = self.current_pass(connection, seat.lease.run).await? else { return Ok(None) };
            if let Some(window) = self.take_over(connection, seat, pass, false).await? {
                return Ok(Some(window));
            }
            if next < pass.bound {
                let to = next.saturating_add(method.window_pages.max(1)).min(pass.bound);
                return self.take_free(connection, seat, pass, (next, to), method.parts).await.map(Some);
            }
            self.take_over(connection, seat, pass, true).await
        }
        .await;
        finish(connection, window).await
    }

    async fn take_over(
        &self,
        connection: &mut PgConnection,
        seat: Seat,
        pass: Pass,
        late: bool,
    ) -> Result<Option<Window>, LedgerError> {
        let take = self.sql(&format!(
            "UPDATE crossfade.page_window AS w SET epoch = $2, worker = $3 \
             WHERE w.run_id = $1 AND w.pass = $4 AND w.late = $5 AND w.from_page = \
               (SELECT o.from_page FROM crossfade.page_window AS o WHERE o.run_id = $1 AND o.pass = $4 AND o.late = $5 \
                AND o.done_at IS NULL AND (o.epoch = $2 AND o.worker = $3 OR o.epoch <> $2 AND NOT EXISTS \
                  (SELECT FROM crossfade.lease AS l WHERE l.run_id = $1 AND l.epoch = o.epoch)) \
                ORDER BY o.from_page LIMIT 1) \
             RETURNING {WINDOW}",
        ));
        let row = pg::query(&take)
            .bind(seat.lease.run.0)
            .bind(seat.lease.epoch)
            .bind(seat.worker)
            .bind(pass.number)
            .bind(late)
            .fetch_optional(connection)
            .await?;
        row.map(|row| Ok(window(&row, pass)?)).transpose()
    }

    async fn take_free(
        &self,
        connection: &mut PgConnection,
        seat: Seat,
        pass: Pass,
        (from, to): (u32, u32),
        parts: u32,
    ) -> Result<Window, LedgerError> {
        let advance = self.sql("UPDATE crossfade.backfill SET next_page = $2 WHERE run_id = $1");
        pg::query(&advance).bind(seat.lease.run.0).bind(i64::from(to)).execute(&mut *connection).await?;
        let insert = self.sql(&format!(
            "INSERT INTO crossfade.page_window (run_id, pass, from_page, to_page, parts, slice_from, slice_to, sub_pass, \
             next_page, rows, epoch, worker, late) VALUES ($1, $2, $3, $4, $5::bigint::integer, 0, 0, 0, $3, 0, $6, $7, false) \
             RETURNING {WINDOW}",
        ));
        let row = pg::query(&insert)
            .bind(seat.lease.run.0)
            .bind(pass.number)
            .bind(i64::from(from))
            .bind(i64::from(to))
            .bind(i64::from(parts))
            .bind(seat.lease.epoch)
            .bind(seat.worker)
            .fetch_one(connection)
            .await?;
        Ok(window(&row, pass)?)
    }

    /// Notes, inside the batch's transaction, that the worker has come to `position` and filled `rows` more, `hot` of them
    /// without touching an index. Returns the
    /// file that the table has now, or `None` when the window is not this worker's any more: then the batch must be
    /// rolled back.
    pub(crate) async fn advance_window(
        &self,
        connection: &mut PgConnection,
        seat: Seat,
        window: &Window,
        position: Position,
        (rows, hot): (u64, u64),
        table_oid: i64,
    ) -> Result<Option<i64>, LedgerError> {
        let update = self.sql(
            "UPDATE crossfade.page_window SET sub_pass = $6::bigint::integer, next_page = $7, rows = rows + $8, hot = hot + $11, \
               slice_from = $12::bigint::integer, slice_to = $13::bigint::integer, \
               done_at = CASE WHEN $12 >= parts THEN pg_catalog.clock_timestamp() END \
             WHERE run_id = $1 AND pass = $2 AND late = $3 AND from_page = $4 AND epoch = $5 AND worker = $9 \
             RETURNING COALESCE(pg_catalog.pg_relation_filenode($10::bigint::oid)::bigint, 0)",
        );
        let row = pg::query(&update)
            .bind(seat.lease.run.0)
            .bind(window.pass)
            .bind(window.late)
            .bind(i64::from(window.from))
            .bind(seat.lease.epoch)
            .bind(i64::from(position.sub_pass))
            .bind(i64::from(position.next))
            .bind(i64::try_from(rows).unwrap_or(i64::MAX))
            .bind(seat.worker)
            .bind(table_oid)
            .bind(i64::try_from(hot).unwrap_or(i64::MAX))
            .bind(i64::from(position.slice.from))
            .bind(i64::from(position.slice.to))
            .fetch_optional(connection)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Puts a page that could not be locked on the list of late pages and moves its window past it, in one transaction.
    /// A late page that is done stays done: it was filled whole.
    ///
    /// Returns false when the window is not this worker's any more.
    pub(crate) async fn set_page_aside(
        &self,
        connection: &mut PgConnection,
        seat: Seat,
        window: &Window,
        page: u32,
        table_oid: i64,
    ) -> Result<bool, LedgerError> {
        pg::begin(connection, BOOKKEEPING, false).await?;
        let aside = async {
            self.fence(connection, seat.lease).await?;
            let insert = self.sql(
                "INSERT INTO crossfade.page_window (run_id, pass, from_page, to_page, parts, slice_from, slice_to, sub_pass, \
                 next_page, rows, epoch, worker, late) VALUES ($1, $2, $3, $3 + 1, 1, 0, 1, 0, $3, 0, 0, 0, true) ON CONFLICT DO NOTHING",
            );
            pg::query(&insert)
                .bind(seat.lease.run.0)
                .bind(window.pass)
                .bind(i64::from(page))
                .execute(&mut *connection)
                .await?;
            let position = window.after(page + 1);
            let file = self.advance_window(connection, seat, window, position, (0, 0), table_oid).await?;
            Ok(file.is_some())
        }
        .await;
        finish(connection, aside).await
    }

    /// Returns what is missing from the current pass: pages that no committed window covers, or a window that is not
    /// done. `None` when every page below the bound was in a committed window.
    pub(crate) async fn uncovered(
        &self,
        connection: &mut PgConnection,
        run: RunId,
    ) -> Result<Option<String>, LedgerError> {
        let row = pg::query(&self.sql(include_str!("uncovered.sql"))).bind(run.0).fetch_one(connection).await?;
        Ok(row.try_get(0)?)
    }

    /// Returns how far the backfill of a run is, or `None` when it has not begun.
    ///
    /// # Errors
    /// The server's error.
    pub async fn fill(&self, connection: &mut PgConnection, run: RunId) -> Result<Option<FillProgress>, LedgerError> {
        let row = pg::query(&self.sql(include_str!("progress.sql"))).bind(run.0).fetch_optional(connection).await?;
        let progress = |row: PgRow| {
            let rate: Option<f64> = row.try_get(6)?;
            let (eta_seconds, held_by) = (row.try_get(7)?, said(&row, 8)?);
            let pace = said(&row, 9)?.unwrap_or_default();
            Ok(FillProgress {
                bound: row.try_get(0)?,
                done: row.try_get(1)?,
                rows: row.try_get(2)?,
                hot: row.try_get(3)?,
                late: row.try_get(4)?,
                seconds: row.try_get(5)?,
                report: rate.map(|rows_per_second| FillReport { rows_per_second, eta_seconds, held_by, pace }),
            })
        };
        row.map(progress).transpose()
    }

    /// Publishes the progress of the backfill. Of several processes, the leading one reports for all.
    pub(crate) async fn report_fill(
        &self,
        connection: &mut PgConnection,
        lease: Lease,
        report: &FillReport,
    ) -> Result<(), LedgerError> {
        let update = self.sql(
            "UPDATE crossfade.backfill SET rows_per_second = $3, eta_seconds = $4, held_by = $5, pace = $6, \
               reported_at = pg_catalog.clock_timestamp() \
             WHERE run_id = $1 AND EXISTS (SELECT FROM crossfade.lease AS l WHERE l.run_id = $1 AND l.epoch = $2 \
               AND (l.leads OR NOT EXISTS (SELECT FROM crossfade.lease AS o WHERE o.run_id = $1 AND o.leads \
                 AND o.expires > pg_catalog.clock_timestamp())))",
        );
        pg::query(&update)
            .bind(lease.run.0)
            .bind(lease.epoch)
            .bind(report.rows_per_second)
            .bind(report.eta_seconds)
            .bind(report.held_by.map(sqlx::types::Json))
            .bind(sqlx::types::Json(report.pace.clone()))
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// Commits what went well and rolls back what did not.
pub(super) async fn finish<T>(connection: &mut PgConnection, result: Result<T, LedgerError>) -> Result<T, LedgerError> {
    match result {
        Ok(value) => {
            pg::commit(connection).await?;
            Ok(value)
        }
        Err(error) => {
            pg::rollback(connection).await;
            Err(error)
        }
    }
}

/// Returns what an engine says of itself. It is true for some seconds only, so what cannot be read was not said.
fn said<T: serde::de::DeserializeOwned>(row: &PgRow, column: usize) -> Result<Option<T>, sqlx::Error> {
    let json: Option<serde_json::Value> = row.try_get(column)?;
    Ok(json.and_then(|json| serde_json::from_value(json).ok()))
}

fn window(row: &PgRow, pass: Pass) -> Result<Window, sqlx::Error> {
    Ok(Window {
        pass: pass.number,
        relfilenode: pass.relfilenode,
        from: page(row, 0)?,
        to: page(row, 1)?,
        parts: page(row, 2)?,
        position: Position {
            sub_pass: page(row, 3)?,
            slice: Slice { from: page(row, 4)?, to: page(row, 5)? },
            next: page(row, 6)?,
        },
        late: row.try_get(7)?,
    })
}

fn page(row: &PgRow, column: usize) -> Result<u32, sqlx::Error> {
    let number: i64 = row.try_get(column)?;
    u32::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()))
}
