//! What a backfill did cost.

use sqlx::PgConnection;

use super::Progress;
use crate::ident::RunId;
use crate::ledger::LedgerError;
use crate::pg;
use crate::run::Filled;

pg::columns!(Filled {
    rows,
    hot,
    seconds,
    paused_seconds,
    wal_bytes,
    heap_before,
    heap_after,
    toast_before,
    toast_after,
    indexes_before,
    indexes_after,
});

impl Progress<'_> {
    /// Returns what came of the backfill of a run so far, all its relations together, or `None` when it has not begun.
    ///
    /// # Errors
    /// The server's error.
    pub async fn filled(self, connection: &mut PgConnection, run: RunId) -> Result<Option<Filled>, LedgerError> {
        let select = self.ledger.sql(include_str!("filled.sql"));
        Ok(pg::query_as(&select).bind(run.0).fetch_optional(connection).await?)
    }
}
