//! The runs of a ledger for monitoring.

use chrono::{DateTime, Utc};

use super::{RunView, all};
use crate::pg;
use crate::runner::{Error, Tool, server_clock};

/// For how many days runs that have ended are still listed. After that they are only counted, so that a ledger of many
/// years has no more to show than what it works on.
const ENDED_DAYS: i32 = 30;

/// What monitoring is told of a ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// The database.
    pub database: String,
    /// When this was read, by the server's clock.
    pub at: DateTime<Utc>,
    /// The version of this program.
    pub version: &'static str,
    /// How many runs are done, ever.
    pub done: i64,
    /// How many runs were rolled back, ever.
    pub rolled_back: i64,
    /// The runs that have not ended, and of each plan the latest if it ended in the last 30 days; newest first.
    pub runs: Vec<RunView>,
}

impl Tool {
    /// Returns the runs of the ledger for monitoring. Changes nothing, and reads no row of the applications' tables.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn metrics(&self) -> Result<Metrics, Error> {
        let mut connection = self.connect().await?;
        let database = "SELECT pg_catalog.current_database()::text";
        let database = pg::query_scalar(database).fetch_one(&mut connection).await?;
        let at = server_clock(&mut connection).await?;
        let (done, rolled_back) = self.ledger.log().ended(&mut connection).await?;
        let watched = self.ledger.log().watched(&mut connection, ENDED_DAYS).await?;
        let runs = all(&self.ledger, &mut connection, &watched).await?;
        let runs = runs.into_iter().map(|(_, run)| run).collect::<Result<_, _>>()?;
        Ok(Metrics { database, at, version: env!("CARGO_PKG_VERSION"), done, rolled_back, runs })
    }
}
