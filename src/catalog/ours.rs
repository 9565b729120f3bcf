//! Everything of crossfade in a database, whatever run it is of.

use sqlx::PgConnection;

use super::{CatalogError, query};
use crate::change::Ours;
use crate::names::LedgerSchema;

/// Reads what is crossfade's in the database, inside the open transaction, whose `search_path` has `pg_catalog` only. `made` are the
/// names of what every ledger has.
///
/// # Errors
/// The server's error.
pub(crate) async fn ours(
    conn: &mut PgConnection,
    ledger: &LedgerSchema,
    made: &[String],
) -> Result<Ours, CatalogError> {
    let query = query::fixed(include_str!("ours.sql")).bind(ledger.as_str().to_owned()).bind(made.to_vec());
    query::read(conn, "look for what is crossfade's", query).await
}
