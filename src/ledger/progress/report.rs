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
    /// Since when it stands still for that, by the server's clock. The ledger knows it, and nobody tells it that.
    pub held_since: Option<DateTime<Utc>>,
    /// How fast it is, and the latency that an application sees.
    pub pace: PaceReport,
}

impl FillProgress {
    /// Returns how far the backfill is: rows gone through by pages, for those that were right before it came count too.
    pub fn progress(&self, table: &TableFacts, rows_per_second: f64, eta_seconds: Option<f64>) -> run::Progress {
        let total = self.rows_total(table);
        let share = i128::from(total) * i128::from(self.done.min(self.bound)) / i128::from(self.bound.max(1));
        run::Progress::new(i64::try_from(share).unwrap_or(total), total, rows_per_second, eta_seconds)
    }

    /// Returns an estimate of all rows that it goes through, never below those that are filled.
    fn rows_total(&self, table: &TableFacts) -> i64 {
        if self.bound == 0 {
            return table.rows.max(self.rows);
        }
        let estimate = i128::from(table.rows.max(0)) * i128::from(self.bound) / i128::from(table.pages.max(1));
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
        let RelationFill { bound, done, rows, hot, late, seconds, eta_seconds, held_by, held_since, .. } = row;
        let (held_by, pace) = (said(held_by), said(row.pace).unwrap_or_default());
        let report = |rows_per_second| FillReport { rows_per_second, eta_seconds, held_by, held_since, pace };
        Self { bound, done, rows, hot, late, seconds, report: row.rows_per_second.map(report) }
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
        let one = FillProgress { bound: 10, done: 4, rows: 400, hot: 300, late: 1, seconds: 9.0, report: None };
        let two = FillProgress { bound: 5, done: 5, rows: 50, hot: 5, late: 0, seconds: 3.0, report: report(7.0) };
        let both = FillProgress { bound: 15, done: 9, rows: 450, hot: 305, late: 1, seconds: 9.0, report: report(7.0) };
        assert_eq!(two.and(one), both);
    }
}
