//! A column that the plan adds: its type and default, as PostgreSQL reads them.

use sqlx::PgConnection;

use super::columns::Column;
use super::conversion::search_path;
use super::query::{attempt, oid, run};
use super::rehearsal::COPY;
use super::{CatalogError, Inspection};
use crate::plan::AddColumn;
use crate::run::AddedColumn;

const WHAT: &str = "rehearse the new column";

/// Adds the column to the copy. Returns what came out; `None` with a refusal where PostgreSQL refuses it.
pub(super) async fn rehearse(
    conn: &mut PgConnection,
    change: &AddColumn,
    user_path: &str,
    found: &mut Inspection,
) -> Result<Option<AddedColumn>, CatalogError> {
    let (name, not_null) = (&change.name, change.not_null);
    if not_null && change.default.is_none() {
        found.refuse(
            "catalog::no_default",
            format!("column \"{name}\" is to be NOT NULL, but the rows that exist would have no value"),
            "give it a `default`; a release may drop it later",
        );
        return Ok(None);
    }
    // The line breaks end comments in the plan's text.
    let default = change.default.as_ref().map(|default| format!(" DEFAULT ({default}\n)")).unwrap_or_default();
    let add = format!("ALTER TABLE {COPY} ADD COLUMN {} {}\n{default}", name.sql(), change.type_name);
    if let Err(objection) = attempt(conn, WHAT, [search_path(user_path), add, search_path("")]).await? {
        run(conn, WHAT, search_path("")).await?;
        found.refuse(
            "catalog::rehearsal",
            format!("PostgreSQL refuses the new column \"{name}\": {}", objection.message),
            "correct its type or default",
        );
        return Ok(None);
    }
    let copy = oid(conn, COPY).await?;
    let columns = Column::read_all(conn, copy).await?;
    let Some(column) = columns.into_iter().find(|column| column.name == name.as_str()) else { return Ok(None) };
    if column.domain_constrained {
        found.refuse(
            "catalog::constrained_domain",
            format!("the new column \"{name}\" has type {}, a domain with constraints", column.type_name),
            "adding such a column rewrites the table; use the domain's base type and a check constraint",
        );
    }
    if column.generated || column.identity {
        found.refuse(
            "catalog::rehearsal",
            format!("the new column \"{name}\" would be generated, or an identity column"),
            "adding such a column rewrites the table",
        );
    }
    let in_catalog = match &column.default {
        None => true,
        Some(default) => {
            let missing = format!(
                "SELECT atthasmissing::text FROM pg_attribute WHERE attrelid = '{COPY}'::regclass AND attnum = {}",
                column.attnum
            );
            let has_missing = matches!(attempt(conn, WHAT, [missing]).await?, Ok(Some(text)) if text == "true");
            // A default of NULL is no default.
            has_missing || !not_null && default.starts_with("NULL::")
        }
    };
    if !in_catalog && !not_null {
        found.warn(
            "catalog::null_or_default",
            format!(
                "the default of the new column \"{name}\" has another value for each row, and the column may be NULL"
            ),
            "a NULL that a release writes before the backfill has passed is filled as well",
        );
    }
    let (type_name, collate) = (column.type_name.clone(), column.collate());
    Ok(Some(AddedColumn { type_name, collate, default: column.default, in_catalog }))
}
