//! Windows: ranges of pages that workers hold and fill.

use sqlx::PgConnection;

use super::passes::Pass;
use super::{Progress, REPEATABLE, count, number};
use crate::ledger::{Lease, LedgerError, NOT_OURS};
use crate::pg;
use crate::run::{RelationId, Slice};
use crate::sql::dollar_quote;

/// SQLSTATE of a batch whose table has another file than its window.
pub(crate) const REWRITTEN: &str = "CF003";

/// The columns of a [`Row`].
const WINDOW: &str = "from_page, to_page, parts, sub_pass, slice_from, slice_to, next_page, late";

/// A worker of the lease's holder, at work on one relation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    /// The lease.
    pub(crate) lease: Lease,
    /// The relation.
    pub(crate) relation: RelationId,
    /// The worker's number.
    pub(crate) worker: i32,
}

/// What a new window should be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WindowSize {
    /// Its pages, at the most.
    pub(crate) pages: u32,
    /// Into how many parts the rows of a page are divided.
    pub(crate) parts: u32,
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
    /// Where the worker stands.
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

    fn new(row: &Row, pass: Pass) -> Result<Self, LedgerError> {
        Ok(Self {
            pass: pass.number,
            relfilenode: pass.relfilenode,
            from: count(row.from_page)?,
            to: count(row.to_page)?,
            parts: count(row.parts)?,
            position: Position {
                sub_pass: count(row.sub_pass)?,
                slice: Slice { from: count(row.slice_from)?, to: count(row.slice_to)? },
                next: count(row.next_page)?,
            },
            late: row.late,
        })
    }
}

pg::columns!(
    struct Row {
        from_page: i64,
        to_page: i64,
        parts: i32,
        sub_pass: i32,
        slice_from: i32,
        slice_to: i32,
        next_page: i64,
        late: bool,
    }
);

impl Progress<'_> {
    /// Hands a window to a worker: first one that it had itself and lost sight of, or whose process has no lease any more;
    /// then the next free pages, as many as `size` says; then a late page. `None` when all are taken.
    pub(crate) async fn take_window(
        self,
        connection: &mut PgConnection,
        seat: Seat,
        size: WindowSize,
    ) -> Result<Option<Window>, LedgerError> {
        pg::transaction(connection, REPEATABLE, async |tx| {
            self.ledger.leases().fence(tx, seat.lease).await?;
            let current = self.current_pass(tx, seat.lease.run, seat.relation).await?;
            let Some((pass, next)) = current else { return Ok(None) };
            if let Some(window) = self.take_over(tx, seat, pass, false).await? {
                return Ok(Some(window));
            }
            if next < pass.bound {
                let to = next.saturating_add(size.pages.max(1)).min(pass.bound);
                return self.take_free(tx, seat, pass, (next, to), size.parts).await.map(Some);
            }
            self.take_over(tx, seat, pass, true).await
        })
        .await
    }

    /// Gives back the windows of a relation that workers of this process have left undone, for any worker to take: none may be at work.
    pub(crate) async fn give_back(
        self,
        connection: &mut PgConnection,
        lease: Lease,
        relation: RelationId,
    ) -> Result<(), LedgerError> {
        let give = self.ledger.sql(
            "UPDATE crossfade.page_window SET epoch = 0 \
             WHERE run_id = $1 AND relation = $2 AND epoch = $3 AND done_at IS NULL",
        );
        pg::query(&give).bind(lease.run.0).bind(number(relation)).bind(lease.epoch).execute(connection).await?;
        Ok(())
    }

    async fn take_over(
        self,
        connection: &mut PgConnection,
        seat: Seat,
        pass: Pass,
        late: bool,
    ) -> Result<Option<Window>, LedgerError> {
        let take = self.ledger.sql(&format!(
            "UPDATE crossfade.page_window AS w SET epoch = $3, worker = $4 \
             WHERE w.run_id = $1 AND w.relation = $2 AND w.pass = $5 AND w.late = $6 AND w.from_page = \
               (SELECT o.from_page FROM crossfade.page_window AS o \
                WHERE o.run_id = $1 AND o.relation = $2 AND o.pass = $5 AND o.late = $6 \
                AND o.done_at IS NULL AND (o.epoch = $3 AND o.worker = $4 OR o.epoch <> $3 AND NOT EXISTS \
                  (SELECT FROM crossfade.lease AS l WHERE l.run_id = $1 AND l.epoch = o.epoch)) \
                ORDER BY o.from_page LIMIT 1) \
             RETURNING {WINDOW}",
        ));
        let row: Option<Row> = pg::query_as(&take)
            .bind(seat.lease.run.0)
            .bind(number(seat.relation))
            .bind(seat.lease.epoch)
            .bind(seat.worker)
            .bind(pass.number)
            .bind(late)
            .fetch_optional(connection)
            .await?;
        row.map(|row| Window::new(&row, pass)).transpose()
    }

    async fn take_free(
        self,
        connection: &mut PgConnection,
        seat: Seat,
        pass: Pass,
        (from, to): (u32, u32),
        parts: u32,
    ) -> Result<Window, LedgerError> {
        let (run, relation) = (seat.lease.run.0, number(seat.relation));
        let advance =
            self.ledger.sql("UPDATE crossfade.backfill SET next_page = $3 WHERE run_id = $1 AND relation = $2");
        pg::query(&advance).bind(run).bind(relation).bind(i64::from(to)).execute(&mut *connection).await?;
        let insert = self.ledger.sql(&format!(
            "INSERT INTO crossfade.page_window (run_id, relation, pass, from_page, to_page, parts, slice_from, slice_to, \
               sub_pass, next_page, rows, epoch, worker, late) \
             VALUES ($1, $2, $3, $4, $5, $6::bigint::integer, 0, 0, 0, $4, 0, $7, $8, false) RETURNING {WINDOW}",
        ));
        let row = pg::query_as(&insert)
            .bind(run)
            .bind(relation)
            .bind(pass.number)
            .bind(i64::from(from))
            .bind(i64::from(to))
            .bind(i64::from(parts))
            .bind(seat.lease.epoch)
            .bind(seat.worker)
            .fetch_one(connection)
            .await?;
        Window::new(&row, pass)
    }

    /// Returns the statement that notes, at the end of a batch's transaction, that the worker has come to `position` and
    /// filled `rows` more, `hot` of them without touching an index; both are expressions. It fails with [`NOT_OURS`] when the
    /// window is not this worker's any more, or its lease has expired, and with [`REWRITTEN`] when the table has another file.
    pub(crate) fn advance_text(
        self,
        seat: Seat,
        window: &Window,
        position: Position,
        (rows, hot): (&str, &str),
    ) -> String {
        let lease = self.ledger.leases().fence_sql(seat.lease);
        let update = self.update_text(seat, window, position, (rows, hot));
        let body = format!(
            "DECLARE file bigint; BEGIN PERFORM FROM ({lease}) AS fenced; \
             IF NOT FOUND THEN RAISE EXCEPTION USING ERRCODE = '{NOT_OURS}', MESSAGE = 'crossfade: the lease is lost'; END IF; \
             {update} INTO file; \
             IF NOT FOUND THEN RAISE EXCEPTION USING ERRCODE = '{NOT_OURS}', MESSAGE = 'crossfade: the window has another worker'; END IF; \
             IF file <> {} THEN RAISE EXCEPTION USING ERRCODE = '{REWRITTEN}', MESSAGE = 'crossfade: the table was rewritten'; END IF; \
             END",
            window.relfilenode
        );
        format!("DO {}", dollar_quote(&body))
    }

    fn update_text(self, seat: Seat, window: &Window, position: Position, (rows, hot): (&str, &str)) -> String {
        let Position { sub_pass, slice, next } = position;
        let (run, relation) = (seat.lease.run, number(seat.relation));
        self.ledger.sql("UPDATE crossfade.page_window AS w SET ")
            + &format!(
                "rows = w.rows + ({rows}), hot = w.hot + ({hot}), sub_pass = {sub_pass}, slice_from = {}, slice_to = {}, \
                 next_page = {next}, done_at = CASE WHEN {} >= w.parts THEN pg_catalog.clock_timestamp() END ",
                slice.from, slice.to, slice.from
            )
            + &self.ledger.sql("FROM crossfade.relation AS r ")
            + &format!(
                "WHERE w.run_id = {run} AND w.relation = {relation} AND w.pass = {} AND w.late = {} AND w.from_page = {} \
                 AND w.epoch = {} AND w.worker = {} AND r.run_id = {run} AND r.relation = {relation} \
                 RETURNING COALESCE(pg_catalog.pg_relation_filenode(r.table_oid)::bigint, 0)",
                window.pass, window.late, window.from, seat.lease.epoch, seat.worker,
            )
    }

    /// Puts a page that could not be locked on the list of late pages and moves its window past it, in one transaction.
    /// A late page that is done stays done: it was filled whole.
    ///
    /// Returns false when the window is not this worker's any more.
    pub(crate) async fn set_aside(
        self,
        connection: &mut PgConnection,
        seat: Seat,
        window: &Window,
        page: u32,
    ) -> Result<bool, LedgerError> {
        pg::transaction(connection, REPEATABLE, async |tx| {
            self.ledger.leases().fence(tx, seat.lease).await?;
            let insert = self.ledger.sql(
                "INSERT INTO crossfade.page_window (run_id, relation, pass, from_page, to_page, parts, slice_from, slice_to, \
                   sub_pass, next_page, rows, epoch, worker, late) \
                 VALUES ($1, $2, $3, $4, $4 + 1, 1, 0, 1, 0, $4, 0, 0, 0, true) ON CONFLICT DO NOTHING",
            );
            pg::query(&insert)
                .bind(seat.lease.run.0)
                .bind(number(seat.relation))
                .bind(window.pass)
                .bind(i64::from(page))
                .execute(&mut *tx)
                .await?;
            let update = self.update_text(seat, window, window.after(page + 1), ("0", "0"));
            let file: Option<i64> = pg::query_scalar(&update).fetch_optional(tx).await?;
            Ok(file.is_some())
        })
        .await
    }
}
