//! What a result of a check counts for.

use sqlx::PgConnection;

use crate::ident::{RunTag, TableName};
use crate::ledger::Ledger;
use crate::pg;
use crate::run::Identity;
use crate::sql::{quote_literal, with_values};

pg::columns!(Identity { started_at, body_hash, relfilenode });

/// Returns the query of [`identify`] with its values, for a script.
pub(crate) fn identity_query(ledger: &Ledger, table: &TableName, tag: &RunTag) -> String {
    let values = [table.sql(), ledger.schema().as_str().to_owned(), tag.sync_function()];
    with_values(include_str!("identity.sql"), &values.map(|value| quote_literal(&value)))
}

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
