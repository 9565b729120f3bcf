//! A column that the plan adds: its type and default, as PostgreSQL reads them.

use sqlx::PgConnection;

use super::columns::Column;
use super::copy::COPY;
use super::query::{attempt, attempt_under, oid};
use super::rehearsal::DUPLICATE_COLUMN;
use super::unqualified::Expression;
use super::{CatalogError, Inspection, not_null};
use crate::ident::TableName;
use crate::plan::AddColumn;
use crate::run::AddedColumn;

const WHAT: &str = "rehearse the new column";
const NO_DEFAULT: &str = "give it a `default`; a release may drop it later";
const SERIAL: [&str; 6] = ["smallserial", "serial2", "serial", "serial4", "bigserial", "serial8"];

/// Adds the column to the copy. Returns what came out; `None` with a refusal where PostgreSQL refuses it. `taken` are names
/// of constraints that the plan needs.
pub(super) async fn rehearse(
    conn: &mut PgConnection,
    (change, table): (&AddColumn, &TableName),
    user_path: &str,
    taken: &mut Vec<String>,
    found: &mut Inspection,
) -> Result<Option<AddedColumn>, CatalogError> {
    let (name, not_null) = (&change.name, change.not_null);
    if not_null && change.default.is_none() {
        found.refuse(
            "catalog::no_default",
            format!("column \"{name}\" is to be NOT NULL, but the rows that exist would have no value"),
            NO_DEFAULT,
        );
        return Ok(None);
    }
    let subject = format!("the new column \"{name}\"");
    let Some(of_type) = plain_type(conn, change, user_path, &subject, found).await? else { return Ok(None) };
    // The line breaks end comments in the plan's text.
    let default = change.default.as_ref().map(|default| format!(" DEFAULT ({default}\n)")).unwrap_or_default();
    let add = format!("ALTER TABLE {COPY} ADD COLUMN {} {}\n{default}", name.sql(), change.type_name);
    if let Err(objection) = attempt_under(conn, WHAT, Some(user_path), [add]).await? {
        if objection.code != DUPLICATE_COLUMN {
            found.refuse(
                "catalog::rehearsal",
                format!("PostgreSQL refuses the new column \"{name}\": {}", objection.message),
                "correct its type or default",
            );
        }
        return Ok(None);
    }
    if let Some(default) = &change.default {
        Expression::default(format!("`default` of {subject}"), (name, &of_type), default, user_path)
            .read(conn, found)
            .await?
            .ok();
    }
    let copy = oid(conn, COPY).await?;
    let columns = Column::read_all(conn, copy).await?;
    let Some(column) = columns.into_iter().find(|column| column.name == name.as_str()) else { return Ok(None) };
    // PostgreSQL keeps some defaults of NULL, and forgets others.
    let is_null = column.default.as_ref().is_none_or(|default| default.starts_with("NULL::"));
    if not_null && is_null {
        let message = format!("{subject} is to be NOT NULL, and its default is NULL");
        found.refuse("catalog::no_default", message, NO_DEFAULT);
        return Ok(None);
    }
    let missing = format!(
        "SELECT atthasmissing::text FROM pg_attribute WHERE attrelid = '{COPY}'::regclass AND attnum = {}",
        column.attnum
    );
    let in_catalog = is_null || matches!(attempt(conn, WHAT, [missing]).await?, Ok(Some(text)) if text == "true");
    let not_null_name = if not_null { Some(not_null::name(conn, table, name.as_str(), taken).await?) } else { None };
    taken.extend(not_null_name.clone());
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
    Ok(Some(AddedColumn { type_name, collate, default: column.default, in_catalog, not_null_name }))
}

/// Returns a column of the plan's type, if that is a type and nothing more, or refuses it.
async fn plain_type(
    conn: &mut PgConnection,
    change: &AddColumn,
    user_path: &str,
    subject: &str,
    found: &mut Inspection,
) -> Result<Option<Column>, CatalogError> {
    let written = change.type_name.trim().to_lowercase();
    if SERIAL.iter().any(|serial| written.trim_start_matches("pg_catalog.") == *serial) {
        found.refuse(
            "catalog::serial",
            format!("{subject} has type {written}, a column with a sequence of its own"),
            "create the sequence, and write: type: bigint, default: nextval('the_sequence')",
        );
        return Ok(None);
    }
    let Some(column) = super::conversion::plain_type(conn, &change.type_name, subject, user_path, found).await? else {
        return Ok(None);
    };
    if column.domain_constrained {
        found.refuse(
            "catalog::constrained_domain",
            format!("{subject} has type {}, a domain with constraints", column.type_name),
            "adding such a column rewrites the table; use the domain's base type and a check constraint",
        );
    }
    Ok(Some(column).filter(|column| !column.domain_constrained))
}
