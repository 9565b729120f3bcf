//! Queries about several runs at once.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row as _};

use super::Ledger;
use crate::ident::RunId;
use crate::pg;

/// Rows about several runs, those of each run in the order of the query.
#[derive(Debug)]
pub(crate) struct ByRun<T>(BTreeMap<RunId, Vec<T>>);

impl<T> Default for ByRun<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> ByRun<T> {
    /// Takes out the rows about `run`.
    pub(crate) fn all(&mut self, run: RunId) -> Vec<T> {
        self.0.remove(&run).unwrap_or_default()
    }

    /// Returns what `of` makes of each row.
    pub(crate) fn map<U>(self, of: impl Fn(RunId, T) -> U) -> ByRun<U> {
        let each = |(run, rows): (RunId, Vec<T>)| (run, rows.into_iter().map(|row| of(run, row)).collect());
        ByRun(self.0.into_iter().map(each).collect())
    }

    /// Takes out the row about `run`, of which there is one at most; of several, the last.
    pub(crate) fn one(&mut self, run: RunId) -> Option<T> {
        self.all(run).pop()
    }
}

/// A row, and the run that it is about.
pub(super) struct OfRun<T> {
    run: RunId,
    row: T,
}

impl<T> FromIterator<OfRun<T>> for ByRun<T> {
    fn from_iter<I: IntoIterator<Item = OfRun<T>>>(rows: I) -> Self {
        let mut found: BTreeMap<RunId, Vec<T>> = BTreeMap::new();
        for OfRun { run, row } in rows {
            found.entry(run).or_default().push(row);
        }
        Self(found)
    }
}

impl<'r, T: FromRow<'r, PgRow>> FromRow<'r, PgRow> for OfRun<T> {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { run: RunId(row.try_get("run_id")?), row: T::from_row(row)? })
    }
}

impl Ledger {
    /// Sends one query about all of these runs, whose numbers it has as `$1` and whose rows name their run in the column `run_id`.
    ///
    /// # Errors
    /// The server's error.
    pub(super) async fn by_run<T>(
        &self,
        connection: &mut PgConnection,
        sql: &str,
        runs: &[RunId],
    ) -> Result<ByRun<T>, sqlx::Error>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let numbers: Vec<i64> = runs.iter().map(|run| run.0).collect();
        let rows: Vec<OfRun<T>> = pg::query_as(&self.sql(sql)).bind(numbers).fetch_all(connection).await?;
        Ok(rows.into_iter().collect())
    }
}
