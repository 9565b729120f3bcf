//! Whether the sync trigger stands where it must, beside BEFORE triggers that others may create at any time.

use serde::Deserialize;
use sqlx::PgConnection;

use super::{CatalogError, query};
use crate::ident::RunTag;
use crate::names::{FIRST_TRIGGER, LAST_TRIGGER};
use crate::run::Relation;

/// Other triggers that fire before a row is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Others {
    /// All of them.
    pub names: Vec<String>,
    /// Those that fire before the first or after the last of crossfade's.
    pub outside: Vec<String>,
    /// Whether the sync trigger of the run stands around them.
    pub surrounded: bool,
}

/// Returns the BEFORE triggers that others have on the table now. Takes no lock.
///
/// # Errors
/// [`CatalogError`] when the catalog cannot be read.
pub async fn others(conn: &mut PgConnection, relation: &Relation, tag: &RunTag) -> Result<Others, CatalogError> {
    let query = query::fixed(include_str!("surround.sql"))
        .bind(relation.oid)
        .bind(FIRST_TRIGGER.to_owned())
        .bind(LAST_TRIGGER.to_owned())
        .bind(tag.last_trigger("1_named"));
    query::read(conn, "look for other triggers", query).await
}
