//! Rows that fit on their page, and would not with one more column. Values of a fixed length cannot be moved to the TOAST table.

use serde::Deserialize;
use sqlx::PgConnection;

use super::{CatalogError, Finding, query};
use crate::ident::TableName;
use crate::pg::{self, Owner};
use crate::run::{ChangeFacts, Facts};

const WHAT: &str = "look for rows that are too long";
/// Bytes of a row's header; with NULLs, a bit for each column is added.
const HEADER: i64 = 24;
/// Bytes of what stands in the row for a value in the TOAST table.
const TOAST_POINTER: i64 = 18;
/// Arguments that a function can have.
const MOST_ARGUMENTS: usize = 90;

#[derive(Deserialize)]
struct Fixed {
    columns: Vec<(String, i64)>,
    added: Vec<i64>,
    most: i64,
}

/// Returns why rows of the table would not fit on a page with the columns that are added; reads the table only where its
/// columns are so many that this is possible.
///
/// # Errors
/// The server's.
pub async fn rows_too_long(
    conn: &mut PgConnection,
    table: &TableName,
    facts: &Facts,
) -> Result<Option<Finding>, CatalogError> {
    const LIMITS: pg::Limits =
        pg::Limits { lock: std::time::Duration::from_secs(2), statement: std::time::Duration::ZERO, durable: true };
    let failed = |source| CatalogError::Database { what: WHAT, source };
    let types: Vec<String> = facts.changes.iter().filter_map(added_type).collect();
    let oid = facts.main().oid;
    let read = query::fixed(include_str!("fixed.sql")).bind(oid).bind(types);
    let Fixed { columns, added, most } = query::read(&mut *conn, WHAT, read).await?;
    let more: i64 = added.iter().map(|len| if *len > 0 { *len } else { TOAST_POINTER }).sum();
    let whole: i64 = columns.iter().map(|(_, len)| len).sum();
    if more == 0 || HEADER + whole + more <= most {
        return Ok(None);
    }
    let mut lengths: Vec<i64> = columns.iter().map(|(_, len)| *len).collect();
    lengths.sort_unstable();
    lengths.dedup();
    let terms: Vec<String> = lengths
        .iter()
        .flat_map(|len| {
            let of_it: Vec<_> = columns.iter().filter(|(_, own)| own == len).map(|(name, _)| name.as_str()).collect();
            let term =
                |some: &[&str]| format!("({len} OPERATOR(pg_catalog.*) pg_catalog.num_nonnulls({}))", some.join(", "));
            of_it.chunks(MOST_ARGUMENTS).map(term).collect::<Vec<_>>()
        })
        .collect();
    let count = format!(
        "SELECT pg_catalog.count(*)::pg_catalog.text FROM ONLY {} AS t WHERE ({}) OPERATOR(pg_catalog.>) {}",
        table.sql(),
        terms.join(" OPERATOR(pg_catalog.+) "),
        most - HEADER - more
    );
    let owner = Owner::enter(&mut *conn, oid).await.map_err(failed)?;
    let said =
        pg::rolled_back(conn, LIMITS, async |tx| pg::texts(tx, &owner.ask(&count)).await).await.map_err(failed)?;
    let rows: i64 = said.first().and_then(|rows| rows.parse().ok()).unwrap_or_default();
    Ok((rows > 0).then(|| {
        Finding::new(
            "catalog::row_too_long",
            format!("{rows} row(s) of {table} fill their page and would not fit on it with {more} bytes more"),
            "values of a fixed length cannot be stored elsewhere; drop columns first, or move some to another table",
        )
    }))
}

/// The type of the column that a change adds.
fn added_type(facts: &ChangeFacts) -> Option<String> {
    match facts {
        ChangeFacts::Pair(pair) if !pair.metadata_only => Some(pair.new_base_type.clone()),
        ChangeFacts::AddColumn(added) => Some(added.type_name.clone()),
        _ => None,
    }
}
