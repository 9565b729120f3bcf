//! All runs of a ledger, for a page.

use super::{RunView, all};
use crate::ledger::LedgerError;
use crate::pg;
use crate::runner::{Error, Tool};

/// The runs of a ledger.
#[derive(Debug)]
pub(crate) struct Overview {
    /// The database.
    pub(crate) database: String,
    /// The latest run of each plan, newest first, with its state or why that cannot be read.
    pub(crate) runs: Vec<(String, Result<RunView, String>)>,
    /// How many more there are.
    pub(crate) more: usize,
}

impl Tool {
    /// Returns the latest run of each plan, `limit` of them at most. Changes nothing, and reads no row of the applications' tables. A run that
    /// cannot be read does not hide the others.
    ///
    /// # Errors
    /// The server's, when it cannot be reached; the ledger's, when it has no list of runs.
    pub(crate) async fn overview(&self, limit: usize) -> Result<Overview, Error> {
        let mut connection = self.connect().await?;
        let database = "SELECT pg_catalog.current_database()::text";
        let database = pg::query_scalar(database).fetch_one(&mut connection).await.map_err(LedgerError::from)?;
        let mut latest = self.ledger.log().latest(&mut connection).await?;
        let more = latest.len().saturating_sub(limit);
        latest.truncate(limit);
        let runs = all(&self.ledger, &mut connection, &latest).await?;
        let runs = runs.into_iter().map(|(name, run)| (name, run.map_err(|error| error.to_string()))).collect();
        Ok(Overview { database, runs, more })
    }
}
