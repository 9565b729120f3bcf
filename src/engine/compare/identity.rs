//! What a result of a check counts for.

use sqlx::PgConnection;

use crate::ident::RunTag;
use crate::ledger::Ledger;
use crate::names::{FIRST_TRIGGER, LAST_TRIGGER};
use crate::pg;
use crate::run::{Identity, Relation};

pg::columns!(Identity { started_at, body_hash, relfilenode });

/// Returns the clock, the table's file (0 where another table has its name), its triggers and the run's functions as they are
/// now.
///
/// # Errors
/// The server's error.
pub async fn identify(
    ledger: &Ledger,
    connection: &mut PgConnection,
    relation: &Relation,
    tag: &RunTag,
) -> Result<Identity, sqlx::Error> {
    pg::query_as(include_str!("identity.sql"))
        .bind(relation.oid)
        .bind(ledger.schema().as_str().to_owned())
        .bind(tag.to_string())
        .bind(relation.table.sql())
        .bind(vec![FIRST_TRIGGER, LAST_TRIGGER])
        .fetch_one(connection)
        .await
}
