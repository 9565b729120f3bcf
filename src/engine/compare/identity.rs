//! What a result of a check counts for.

use sqlx::PgConnection;

use crate::ident::{RunTag, TableName};
use crate::ledger::Ledger;
use crate::pg;
use crate::run::Identity;

pg::columns!(Identity { started_at, body_hash, relfilenode });

/// Returns the clock, the table's file and the sync trigger as they are now.
///
/// # Errors
/// The server's error.
pub async fn identify(
    ledger: &Ledger,
    connection: &mut PgConnection,
    table: &TableName,
    tag: &RunTag,
) -> Result<Identity, sqlx::Error> {
    pg::query_as(include_str!("identity.sql"))
        .bind(table.sql())
        .bind(ledger.schema().as_str().to_owned())
        .bind(tag.sync_function())
        .fetch_one(connection)
        .await
}
