//! What a result of a check counts for.

use sqlx::PgConnection;

use crate::ident::RunTag;
use crate::ledger::Ledger;
use crate::names::{FIRST_TRIGGER, LAST_TRIGGER};
use crate::pg;
use crate::run::{Identity, Relation};
use crate::sql::{quote_literal, with_values};

pg::columns!(Identity { started_at, body_hash, relfilenode });

/// Returns the query of [`identify`] with its values, for a script.
pub(crate) fn identity_query(ledger: &Ledger, relation: &Relation, tag: &RunTag) -> String {
    let text = |text: &str| quote_literal(text);
    let others = format!("ARRAY[{}, {}]", text(FIRST_TRIGGER), text(LAST_TRIGGER));
    let (schema, tag) = (text(ledger.schema().as_str()), text(&tag.to_string()));
    let values = [relation.oid.to_string(), schema, tag, text(&relation.table.sql()), others];
    with_values(include_str!("identity.sql"), &values)
}

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
