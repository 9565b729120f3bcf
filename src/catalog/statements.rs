//! Statements that a changed table breaks, or makes mean something else.

use sqlx::PgConnection;

use super::query::{attempt, text};
use super::{CatalogError, Inspection, clients};
use crate::ident::TableName;
use crate::plan::Plan;
use crate::sql::{quote_ident, quote_literal};

/// Warns of statements that the plan breaks, or makes mean something else.
pub(super) async fn warn(
    conn: &mut PgConnection,
    plan: &Plan,
    adds_columns: bool,
    found: &mut Inspection,
) -> Result<(), CatalogError> {
    warn_of_stars(conn, &plan.table, found).await?;
    if adds_columns {
        warn_of_positions(conn, &plan.table, found).await?;
        clients::warn(conn, plan, found).await?;
    }
    Ok(())
}

/// Warns of statements that go by the order of the columns (docs/postgres.md, "Statements that count columns"): by name where
/// the server keeps statements, else in general.
async fn warn_of_positions(
    conn: &mut PgConnection,
    table: &TableName,
    found: &mut Inspection,
) -> Result<(), CatalogError> {
    const HELP: &str = "name the columns in such statements before the run";
    const EFFECT: &str =
        "from expand on, such a COPY fails (22P04), and such an INSERT may fail or write to the wrong columns";
    // In front of the keyword may stand a comment; the name may be qualified or quoted.
    let name = format!("([\\w\"]+\\.)?\"?{}\"?", regular(&table.name));
    let copy = format!("\\mcopy\\s+{name}\\s+from\\M");
    let insert = format!("\\minsert\\s+into\\s+{name}\\s+(values|select|with)\\M");
    match statements_like(conn, &format!("{copy}|{insert}")).await? {
        Some(seen) if seen.is_empty() => {}
        Some(seen) => {
            let message = format!("these statements name no columns of {table}: {}; {EFFECT}", seen.join("; "));
            found.warn("catalog::positions", message, HELP);
        }
        None => found.warn(
            "catalog::positions",
            format!("from expand on, COPY and INSERT without a list of columns may fail or write to the wrong columns of {table}"),
            HELP,
        ),
    }
    Ok(())
}

/// Returns `text` as a regular expression that finds it.
fn regular(text: &str) -> String {
    text.chars().flat_map(|c| (!c.is_alphanumeric() && c != '_').then_some('\\').into_iter().chain([c])).collect()
}

/// Returns the most frequent statements of this database that match; `None` where the server keeps none, or this role may not
/// see those of others.
async fn statements_like(conn: &mut PgConnection, pattern: &str) -> Result<Option<Vec<String>>, CatalogError> {
    const WHAT: &str = "read pg_stat_statements";
    let schema = "SELECT (SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements')";
    let Some(schema) = text(conn, WHAT, schema.to_owned()).await? else { return Ok(None) };
    let may = "SELECT pg_has_role('pg_read_all_stats', 'USAGE')::text".to_owned();
    if text(conn, WHAT, may).await?.as_deref() != Some("true") {
        return Ok(None);
    }
    let sql = format!(
        "SELECT coalesce(json_agg(query ORDER BY calls DESC), '[]')::text FROM (SELECT left(regexp_replace(query, '\\s+', ' ', 'g'), 120) AS query, \
         sum(calls) AS calls FROM {}.pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND query ~* {} GROUP BY 1 ORDER BY 2 DESC LIMIT 3) s",
        quote_ident(&schema),
        quote_literal(pattern)
    );
    let seen = attempt(conn, WHAT, [sql]).await?.ok().flatten();
    Ok(seen.and_then(|json| serde_json::from_str(&json).ok()))
}

/// Warns of prepared statements that return all columns (docs/postgres.md, "Prepared statements that return all columns"):
/// by name where the server keeps statements, else in general.
async fn warn_of_stars(conn: &mut PgConnection, table: &TableName, found: &mut Inspection) -> Result<(), CatalogError> {
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
