//! When a scheduler last asked for a run.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::{Progress, REPEATABLE};
use crate::ident::RunId;
use crate::ledger::{ByRun, LedgerError};
use crate::pg;

/// The last tick of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastTick {
    /// When, by the server's clock.
    pub at: DateTime<Utc>,
    /// On which host, as the process says.
    pub host: String,
    /// How many seconds ago.
    pub seconds_ago: f64,
}

pg::columns!(LastTick { at, host, seconds_ago });

impl Progress<'_> {
    /// Notes that a scheduler on `host` has asked for the run, whatever comes of that. Does not wait for the disk: in a crash of
    /// the server, the last ticks may be forgotten.
    ///
    /// # Errors
    /// The server's error.
    pub async fn note_tick(self, connection: &mut PgConnection, run: RunId, host: &str) -> Result<(), LedgerError> {
        let upsert = self.ledger.sql(
            "INSERT INTO crossfade.tick AS t (run_id, at, host) VALUES ($1, pg_catalog.clock_timestamp(), $2) \
             ON CONFLICT (run_id) DO UPDATE SET at = excluded.at, host = excluded.host",
        );
        pg::transaction(connection, REPEATABLE, async |tx| {
            pg::query(&upsert).bind(run.0).bind(host).execute(tx).await?;
            Ok(())
        })
        .await
    }

    /// Returns the last tick of each run that had one.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn last_ticks(
        self,
        connection: &mut PgConnection,
        runs: &[RunId],
    ) -> Result<ByRun<LastTick>, sqlx::Error> {
        let select = "SELECT run_id, at, host, GREATEST(EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - at)::double precision, 0) AS seconds_ago \
             FROM crossfade.tick WHERE run_id = ANY ($1)";
        self.ledger.by_run(connection, select, runs).await
    }
}
