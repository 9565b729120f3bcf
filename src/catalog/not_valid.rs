//! Constraints that are NOT VALID: a row that breaks one of them cannot be updated by anybody, and would stop the backfill.

use serde::Deserialize;
use sqlx::PgConnection;

use super::{CatalogError, Inspection, query};
use crate::ident::TableName;

const WHAT: &str = "look for rows that break a constraint";
/// Pages that are read: 128 MiB, about a second.
const PAGES: i64 = 16_384;

#[derive(Debug, Deserialize)]
struct NotValid {
    name: String,
    /// What holds for new rows.
    holds: String,
    pages: i64,
}

/// Refuses a plan that updates every row where one of the first breaks such a constraint; warns where that is not known of all rows.
/// Runs the constraint's code as the table's owner.
pub(super) async fn judge(
    conn: &mut PgConnection,
    table: &TableName,
    oid: i64,
    found: &mut Inspection,
) -> Result<(), CatalogError> {
    let all: Vec<NotValid> = query::read(conn, WHAT, query::fixed(include_str!("not_valid.sql")).bind(oid)).await?;
    for NotValid { name, holds, pages } in all {
        let broken = format!("SELECT count(*) FROM {} WHERE NOT {holds}", table.sql());
        let look = format!(
            "SELECT (count(*) > 0)::text FROM (SELECT FROM {} WHERE ctid < '({PAGES},0)'::tid AND NOT {holds} LIMIT 1) AS broken",
            table.sql()
        );
        let help = format!(
            "`{broken}` counts such rows: correct them, or drop the constraint for the run and add it again afterwards"
        );
        match query::ask(conn, WHAT, &look, query::LIMITS).await? {
            Ok(Some(any)) if any == "true" => found.refuse(
                "catalog::not_valid",
                format!("constraint \"{name}\" of {table} is NOT VALID, and there are rows that break it: PostgreSQL lets nobody update them, and the backfill has to"),
                help,
            ),
            Ok(_) if pages <= PAGES => {}
            _ => found.warn(
                "catalog::not_valid",
                format!("constraint \"{name}\" of {table} is NOT VALID: if a row breaks it, the backfill stops there, because PostgreSQL lets nobody update such a row"),
                help,
            ),
        }
    }
    Ok(())
}
