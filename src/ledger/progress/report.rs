//! How far a backfill is, and what it says of itself.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{Progress, number};
use crate::ident::RunId;
use crate::ledger::{ByRun, Lease, LedgerError};
use crate::pg;
use crate::run::{self, HeldBy, Latencies, PaceReport, RelationId, TableFacts};

/// How far a backfill is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FillProgress {
    /// Pages of the current pass.
    pub bound: i64,
    /// Pages done, those of open windows in proportion, without those that wait for their lock.
    pub done: i64,
    /// Rows filled in the current pass.
    pub pass_rows: i64,
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
    /// Since when it stands still for that, by the server's clock. The ledger knows it, and nobody tells it that.
    pub held_since: Option<DateTime<Utc>>,
    /// How fast it is, and the latency that an application sees.
    pub pace: PaceReport,
}

impl FillProgress {
    /// Returns how far the backfill is: rows gone through by pages, for those that were right before it came count too, and no fewer than
    /// were filled. It is not at 100 % before its last page is done.
    pub fn progress(&self, table: &TableFacts, rows_per_second: f64, eta_seconds: Option<f64>) -> run::Progress {
        self.of_rows((table.rows, table.pages), rows_per_second, eta_seconds)
    }

    fn of_rows(&self, table: (i64, i64), rows_per_second: f64, eta_seconds: Option<f64>) -> run::Progress {
        let total = self.rows_total(table);
        let share = i128::from(total) * i128::from(self.done.min(self.bound)) / i128::from(self.bound.max(1));
        let done = i64::try_from(share).unwrap_or(total).max(self.pass_rows);
        let progress = run::Progress::new(done, total, rows_per_second, eta_seconds);
        let most = if self.done < self.bound { 99 } else { 100 };
        run::Progress { rows_percent: progress.rows_percent.map(|percent| percent.min(most)), ..progress }
    }

    /// Returns an estimate of all rows that it goes through, never below those that are filled, for a table that had so many rows and pages.
    fn rows_total(&self, (rows, pages): (i64, i64)) -> i64 {
        if self.bound == 0 {
            return rows.max(self.rows);
        }
        let estimate = i128::from(rows.max(0)) * i128::from(self.bound) / i128::from(pages.max(1));
        let filled = i128::from(self.pass_rows);
        // Statistics that promise fewer rows than were filled are too old: the pages that are to come are taken to be like those that are done.
        let estimate = if filled > estimate && self.done > 0 {
            filled * i128::from(self.bound) / i128::from(self.done.min(self.bound))
        } else {
            estimate
        };
        i64::try_from(estimate).unwrap_or(i64::MAX).max(self.rows)
    }

    /// Returns how far all relations of a run are together; `None` when none has begun.
    pub(crate) fn of(relations: Vec<RelationFill>) -> Option<Self> {
        relations.into_iter().map(Self::from).reduce(Self::and)
    }

    /// Returns the sum of two relations of a run; `self` is the one whose engine reported last.
    fn and(self, other: Self) -> Self {
        Self {
            bound: self.bound + other.bound,
            done: self.done + other.done,
            pass_rows: self.pass_rows + other.pass_rows,
            rows: self.rows + other.rows,
            hot: self.hot + other.hot,
            late: self.late + other.late,
            seconds: self.seconds.max(other.seconds),
            report: self.report.or(other.report),
        }
    }
}

pg::columns!(
    /// How far the backfill of one relation is.
    pub(crate) struct RelationFill {
        pub(super) relation: i16,
        pub(super) bound: i64,
        pub(super) done: i64,
        pass_rows: i64,
        pub(super) rows: i64,
        hot: i64,
        late: i64,
        seconds: f64,
        pub(super) rows_per_second: Option<f64>,
        eta_seconds: Option<f64>,
        held_by: Option<Json<Value>>,
        held_since: Option<DateTime<Utc>>,
        pace: Option<Json<Value>>,
    }
);

impl From<RelationFill> for FillProgress {
    fn from(row: RelationFill) -> Self {
        let RelationFill { bound, done, pass_rows, rows, hot, late, seconds, eta_seconds, held_by, held_since, .. } =
            row;
        let (held_by, pace) = (said(held_by), said(row.pace).unwrap_or_default());
        let report = |rows_per_second| FillReport { rows_per_second, eta_seconds, held_by, held_since, pace };
        Self { bound, done, pass_rows, rows, hot, late, seconds, report: row.rows_per_second.map(report) }
    }
}

/// Returns what an engine says of itself. It is true for some seconds only, so what cannot be read was not said.
fn said<T: DeserializeOwned>(json: Option<Json<Value>>) -> Option<T> {
    serde_json::from_value(json?.0).ok()
}

impl Progress<'_> {
    /// Returns how far the backfill of a run is, all its relations together, or `None` when it has not begun.
    ///
    /// # Errors
    /// The server's error.
    pub async fn fill(self, connection: &mut PgConnection, run: RunId) -> Result<Option<FillProgress>, LedgerError> {
        Ok(FillProgress::of(self.fills(connection, &[run]).await?.all(run)))
    }

    /// Returns how far the backfill of one relation is, or `None` when it has not begun.
    ///
    /// # Errors
    /// The server's error.
    pub async fn fill_of(
        self,
        connection: &mut PgConnection,
        run: RunId,
        relation: RelationId,
    ) -> Result<Option<FillProgress>, LedgerError> {
        let rows = self.fills(connection, &[run]).await?.all(run);
        Ok(rows.into_iter().find(|row| row.relation == number(relation)).map(FillProgress::from))
    }

    /// Returns how far the backfills of these runs are, by relation, the one whose engine reported last first.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn fills(
        self,
        connection: &mut PgConnection,
        runs: &[RunId],
    ) -> Result<ByRun<RelationFill>, sqlx::Error> {
        self.ledger.by_run(connection, include_str!("fill.sql"), runs).await
    }

    /// Lets others see how the backfill of a relation goes, and keeps a sample of it: `rows` filled in all, and the latencies
    /// that were measured since the last call. Of several processes at work, the one that leads speaks for all.
    pub(crate) async fn report(
        self,
        connection: &mut PgConnection,
        (lease, relation): (Lease, RelationId),
        report: &FillReport,
        (rows, latencies): (i64, &Latencies),
    ) -> Result<(), LedgerError> {
        pg::query(&self.ledger.sql(include_str!("report.sql")))
            .bind(lease.run.0)
            .bind(number(relation))
            .bind(lease.epoch)
            .bind(report.rows_per_second)
            .bind(report.eta_seconds)
            .bind(report.held_by.map(Json))
            .bind(Json(&report.pace))
            .bind(rows)
            .bind(&latencies.counts)
            .bind(latencies.over_goal)
            .execute(connection)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_of_a_run_is_the_sum_over_its_relations() {
        let report = |rows_per_second| Some(FillReport { rows_per_second, ..FillReport::default() });
        let fill = |bound, done, rows| FillProgress { bound, done, pass_rows: rows, rows, ..FillProgress::default() };
        let one = FillProgress { hot: 300, late: 1, seconds: 9.0, ..fill(10, 4, 400) };
        let two = FillProgress { hot: 5, late: 0, seconds: 3.0, report: report(7.0), ..fill(5, 5, 50) };
        let both = FillProgress { hot: 305, late: 1, seconds: 9.0, report: report(7.0), ..fill(15, 9, 450) };
        assert_eq!(two.and(one), both);
    }

    #[test]
    fn rows_gone_through_are_no_fewer_than_were_filled() {
        let progress = |table, (bound, done), (pass_rows, rows)| {
            let fill = FillProgress { bound, done, pass_rows, rows, ..FillProgress::default() };
            let progress = fill.of_rows(table, 0.0, None);
            (progress.rows_done, progress.rows_total, progress.rows_percent)
        };
        assert_eq!(progress((1000, 10), (10, 4), (100, 100)), (400, 1000, Some(40)), "most were right before");
        assert_eq!(progress((3, 1), (1, 0), (2, 2)), (2, 3, Some(66)), "two of three rows of a page that is not done");
        assert_eq!(progress((3, 1), (1, 0), (3, 3)), (3, 3, Some(99)), "nobody knows of the page that it is done");
        assert_eq!(progress((3, 1), (1, 1), (3, 3)), (3, 3, Some(100)));
        assert_eq!(progress((100, 10), (10, 5), (300, 300)), (300, 600, Some(50)), "statistics that are too old");
        assert_eq!(progress((1000, 10), (10, 1), (0, 900)), (100, 1000, Some(10)), "a pass over a new file");
        assert_eq!(progress((0, 0), (0, 0), (0, 0)), (0, 0, None));
    }
}
