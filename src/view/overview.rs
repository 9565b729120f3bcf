//! All runs of a ledger, for a page.

use super::{RunView, view};
use crate::ledger::LedgerError;
use crate::pg::{self, ErrorClass};
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
        let names = self.ledger.log().names(&mut connection).await?;
        let more = names.len().saturating_sub(limit);
        let mut runs = Vec::new();
        for name in names.into_iter().take(limit) {
            match self.one(&mut connection, &name).await {
                Err(error) if error.class() == ErrorClass::Connection => return Err(error),
                Ok(Some(run)) => runs.push((name, Ok(run))),
                Err(error) => runs.push((name, Err(error.to_string()))),
                // A cleanup has just removed it.
                Ok(None) => {}
            }
        }
        Ok(Overview { database, runs, more })
    }

    async fn one(&self, connection: &mut sqlx::PgConnection, name: &str) -> Result<Option<RunView>, Error> {
        let Some((run, log)) = self.ledger.log().find_listed(connection, name).await? else { return Ok(None) };
        view(&self.ledger, connection, &run, &log).await.map(Some)
    }
}
