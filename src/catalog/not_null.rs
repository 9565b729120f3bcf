//! The name that PostgreSQL 18 gives to a NOT NULL constraint: plain ALTER would, so a run must.

use sqlx::PgConnection;

use super::CatalogError;
use super::query;
use crate::ident::{MAX_IDENT_BYTES, TableName};

/// Returns the name for this column; `taken` are names that the plan gives, or that were returned before.
pub(super) async fn name(
    conn: &mut PgConnection,
    table: &TableName,
    column: &str,
    taken: &[String],
) -> Result<String, CatalogError> {
    let known = query::fixed(
        "SELECT coalesce(json_agg(k.conname), '[]')::text FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace \
         WHERE n.nspname = $1 AND k.conname LIKE '%not_null%'",
    );
    let known: Vec<String> =
        query::read(conn, "read the names of constraints", known.bind(table.schema.clone())).await?;
    let free = |name: &String| !known.contains(name) && !taken.contains(name);
    // PostgreSQL counts up as long.
    let label = |n: usize| if n == 0 { "not_null".to_owned() } else { format!("not_null{n}") };
    let mut names = (0..).map(|n| object_name(&table.name, column, &label(n)));
    Ok(names.find(free).unwrap_or_default())
}

/// `makeObjectName` of PostgreSQL: the longer of the two names is cut until all of it fits.
fn object_name(table: &str, column: &str, label: &str) -> String {
    let room = MAX_IDENT_BYTES - label.len() - 2;
    let (mut first, mut second) = (table.len(), column.len());
    while first + second > room {
        if first > second { first -= 1 } else { second -= 1 }
    }
    format!("{}_{}_{label}", cut(table, first), cut(column, second))
}

/// Never in the middle of a character.
fn cut(text: &str, mut end: usize) -> &str {
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_as_postgresql_cuts_them() {
        assert_eq!(object_name("vehicles", "vin", "not_null"), "vehicles_vin_not_null");
        let (table, column) = ("t".repeat(60), "c".repeat(30));
        let name = object_name(&table, &column, "not_null");
        assert_eq!(name, format!("{}_{}_not_null", "t".repeat(27), "c".repeat(26)));
        assert_eq!(object_name(&table, "c", "not_null"), format!("{}_c_not_null", "t".repeat(52)));
        assert!(object_name(&"ä".repeat(31), &column, "not_null").starts_with(&"ä".repeat(13)));
    }
}
