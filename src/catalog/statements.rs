//! Statements that a changed table breaks.

use sqlx::PgConnection;

use super::query::{attempt, text};
use super::{CatalogError, Inspection};
use crate::ident::TableName;
use crate::sql::{quote_ident, quote_literal};

/// Warns of prepared statements that return all columns (docs/postgres.md, "Prepared statements that return all columns"):
/// by name, where the server keeps statements.
pub(super) async fn warn_of_stars(
    conn: &mut PgConnection,
    table: &TableName,
    found: &mut Inspection,
) -> Result<(), CatalogError> {
    const WHAT: &str = "read pg_stat_statements";
    const HELP: &str = "the error is \"cached plan must not change result type\"; make applications name their columns, or reconnect them after expand, switch and contract";
    let schema = "SELECT (SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements')";
    let mut statements = None;
    if let Some(schema) = text(conn, WHAT, schema.to_owned()).await? {
        // Statements of other users show only to members of pg_read_all_stats.
        let sql = format!(
            "SELECT coalesce(json_agg(query ORDER BY calls DESC), '[]')::text FROM (SELECT left(regexp_replace(query, '\\s+', ' ', 'g'), 120) AS query, \
             sum(calls) AS calls FROM {}.pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             AND query ~* '\\m(select|returning)\\s+(\\w+\\.)?\\*' AND strpos(lower(query), lower({})) > 0 GROUP BY 1 ORDER BY 2 DESC LIMIT 3) s \
             WHERE pg_has_role('pg_read_all_stats', 'USAGE')",
            quote_ident(&schema),
            quote_literal(&table.name)
        );
        if let Ok(Some(json)) = attempt(conn, WHAT, [sql]).await? {
            let may = "SELECT pg_has_role('pg_read_all_stats', 'USAGE')::text".to_owned();
            if text(conn, WHAT, may).await?.as_deref() == Some("true") {
                statements = serde_json::from_str::<Vec<String>>(&json).ok();
            }
        }
    }
    // Where the server keeps none, README.md says it: here it would be said of every plan.
    if let Some(seen) = statements.filter(|seen| !seen.is_empty()) {
        let message = format!("these statements ask for all columns of {table}: {}", seen.join("; "));
        found.warn("catalog::select_star", message, HELP);
    }
    Ok(())
}
