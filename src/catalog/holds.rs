//! Whether a step's effect is there.

use sqlx::PgConnection;

use super::{CatalogError, query};
use crate::names::LedgerSchema;
use crate::run::{Condition, Relation};

/// Returns for each condition whether it is true of the catalog now, in one statement and so in one snapshot. A table
/// is known by its oid: where it is not there, everything that should be on it is missing. Takes no lock on the table; may be called inside
/// the caller's transaction, and then sees what it did.
///
/// # Errors
/// [`CatalogError`] when the catalog cannot be read.
pub async fn holds(
    conn: &mut PgConnection,
    relations: &[Relation],
    ledger: &LedgerSchema,
    conditions: &[Condition],
) -> Result<Vec<bool>, CatalogError> {
    const WHAT: &str = "look whether a step is done";
    let (mut kinds, mut says, mut tables) = (Vec::new(), Vec::new(), Vec::new());
    for condition in conditions {
        let relation = relations.get(usize::from(condition.on.0));
        tables.push(relation.map_or(0, |relation| relation.oid));
        let value =
            serde_json::to_value(&condition.is).map_err(|source| CatalogError::Answer { what: WHAT, source })?;
        // Written as an object with one key, the kind.
        let entry = value.as_object().and_then(|object| object.iter().next());
        kinds.extend(entry.map(|(kind, _)| kind.clone()));
        says.extend(entry.map(|(_, said)| said.to_string()));
    }
    let query =
        query::fixed(include_str!("holds.sql")).bind(ledger.as_str().to_owned()).bind(kinds).bind(says).bind(tables);
    query::read(conn, WHAT, query).await
}
