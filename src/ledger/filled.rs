//! What a run was predicted to cost, and what its backfill did cost.

use sqlx::{PgConnection, Row};

use super::{Ledger, LedgerError};
use crate::ident::RunId;
use crate::pg;
use crate::run::{Estimates, Filled};

impl Ledger {
    /// Keeps what a run was predicted to cost. The first prediction counts.
    ///
    /// # Errors
    /// The server's error.
    pub async fn store_prediction(
        &self,
        connection: &mut PgConnection,
        run: RunId,
        estimates: &Estimates,
    ) -> Result<(), LedgerError> {
        let insert = self.sql(
            "INSERT INTO crossfade.prediction (run_id, estimates) VALUES ($1, $2::jsonb) ON CONFLICT (run_id) DO NOTHING",
        );
        let json = serde_json::to_string(estimates).map_err(|error| unreadable(run, error))?;
        pg::query(&insert).bind(run.0).bind(json).execute(connection).await?;
        Ok(())
    }

    /// Returns the cost that was predicted when the run was registered; `None` if there was no prediction.
    ///
    /// # Errors
    /// [`LedgerError::Unreadable`] when what is stored is damaged.
    pub async fn prediction(
        &self,
        connection: &mut PgConnection,
        run: RunId,
    ) -> Result<Option<Estimates>, LedgerError> {
        let select = self.sql("SELECT estimates::text FROM crossfade.prediction WHERE run_id = $1");
        let Some(row) = pg::query(&select).bind(run.0).fetch_optional(connection).await? else { return Ok(None) };
        let text: String = row.try_get(0)?;
        serde_json::from_str(&text).map(Some).map_err(|error| unreadable(run, error))
    }

    /// Returns the outcome of the backfill so far, or `None` if it has not begun.
    ///
    /// # Errors
    /// The server's error.
    pub async fn filled(
        &self,
        connection: &mut PgConnection,
        run: RunId,
        table_oid: i64,
    ) -> Result<Option<Filled>, LedgerError> {
        let query = self.sql(include_str!("filled.sql"));
        let row = pg::query(&query).bind(run.0).bind(table_oid).fetch_optional(connection).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Filled {
            rows: row.try_get(0)?,
            hot: row.try_get(1)?,
            seconds: row.try_get(2)?,
            paused_seconds: row.try_get(3)?,
            wal_bytes: row.try_get(4)?,
            heap_before: row.try_get(5)?,
            heap_after: row.try_get(6)?,
            toast_before: row.try_get(7)?,
            toast_after: row.try_get(8)?,
            indexes_before: row.try_get(9)?,
            indexes_after: row.try_get(10)?,
        }))
    }
}

fn unreadable(run: RunId, error: serde_json::Error) -> LedgerError {
    LedgerError::Unreadable { what: "prediction", run, error }
}
