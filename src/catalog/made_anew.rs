//! What is made anew in a swap, because PostgreSQL does not take it along: whether it can be.

use serde::Deserialize;
use sqlx::PgConnection;

use super::dependants::{Hanging, is_made_anew};
use super::{CatalogError, Inspection, query};
use crate::names::is_our_trigger;

#[derive(Debug, Deserialize)]
struct Above {
    /// The views on the columns, and those on these, as PostgreSQL describes them.
    views: Vec<String>,
    /// What cannot be made anew: description, why, what to do.
    obstacles: Vec<(String, String, String)>,
}

/// Returns what of `hanging` is made anew with columns `attnums` of `table`, as PostgreSQL describes it, in order; refuses what
/// cannot be. Takes no lock on the table.
pub(super) async fn judge(
    conn: &mut PgConnection,
    table: i64,
    attnums: &[i16],
    hanging: &[Hanging],
    found: &mut Inspection,
) -> Result<Vec<String>, CatalogError> {
    let of_them = hanging.iter().filter(|h| attnums.contains(&h.attnum) && is_made_anew(&h.what.kind));
    // Publications are made anew by a statement of their own.
    let of_them = of_them.filter(|h| h.what.kind != "publication");
    let of_them = of_them.filter(|h| h.what.kind != "trigger" || !is_our_trigger(&h.what.name));
    let mut all: Vec<_> = of_them.map(|h| h.what.description.clone()).collect();
    if all.is_empty() {
        return Ok(all);
    }
    let attnums: Vec<_> = attnums.iter().copied().map(i32::from).collect();
    let query = query::fixed(include_str!("made_anew.sql")).bind(table).bind(attnums);
    let above: Above = query::read(conn, "read the views above the column", query).await?;
    for (description, why, help) in above.obstacles {
        found.refuse("catalog::made_anew", format!("{description} {why}"), help);
    }
    all.extend(above.views);
    all.sort();
    all.dedup();
    Ok(all)
}
