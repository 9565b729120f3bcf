//! What a result of a check counts for.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::ident::{RunTag, TableName};
use crate::ledger::{Ledger, LedgerError};
use crate::pg;

/// The table file and the trigger that a check was made of. DDL that rewrites the table, or another trigger, voids it.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// When the check began, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// SHA-256 of the sync function's source and of the enabled triggers' definitions.
    pub body_hash: String,
    /// `pg_relation_filenode` of the table.
    pub relfilenode: i64,
}

impl Identity {
    /// Returns what is there now.
    ///
    /// # Errors
    /// The server's error.
    pub async fn read(
        ledger: &Ledger,
        connection: &mut PgConnection,
        table: &TableName,
        tag: &RunTag,
    ) -> Result<Self, LedgerError> {
        let query = pg::query_as(include_str!("identity.sql"))
            .bind(table.sql())
            .bind(ledger.schema().as_str().to_owned())
            .bind(format!("sync_{tag}"));
        Ok(query.fetch_one(connection).await?)
    }
}

pg::columns!(Identity { started_at, body_hash, relfilenode });
