//! What depends on a column.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::{CatalogError, Inspection, query};
use crate::ident::TableName;
use crate::names::{FIRST_TRIGGER, LAST_TRIGGER, is_our_trigger};
use crate::plan::Pair;
use crate::sql::{quote_literal, with_values};

/// An object that would be dropped with a column, or would prevent the drop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependant {
    /// Its own name, without schema and table.
    pub name: String,
    /// `index`, `unique`, `view`, `trigger`, `foreign_key`, ... or `other`.
    pub kind: String,
    /// What and where it is, as PostgreSQL describes it: `view app.v_orders`.
    pub description: String,
}

/// An object on one of several columns.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Hanging {
    pub(super) attnum: i16,
    pub(super) validated: Option<bool>,
    #[serde(flatten)]
    pub(super) what: Dependant,
}

/// Returns everything that would be dropped with the column, or would prevent the drop: all but its own default, its own
/// NOT NULL and crossfade's triggers. Empty if there is no such column. Takes no lock on the table.
///
/// # Errors
/// [`CatalogError`] when the catalog cannot be read.
pub async fn dependants(
    conn: &mut PgConnection,
    table: &TableName,
    column: &str,
) -> Result<Vec<Dependant>, CatalogError> {
    let place: Option<(i64, i32)> = query::read(
        conn,
        "look for a column",
        query::fixed(include_str!("place.sql"))
            .bind(table.schema.clone())
            .bind(table.name.clone())
            .bind(column.to_owned()),
    )
    .await?;
    let Some((table, attnum)) = place else { return Ok(vec![]) };
    let hanging = read(conn, table, &[attnum]).await?;
    let ours = |what: &Dependant| what.kind == "trigger" && is_our_trigger(&what.name);
    Ok(hanging.into_iter().map(|h| h.what).filter(|what| what.kind != "not_null" && !ours(what)).collect())
}

/// Returns the condition that nothing would be dropped with the column, or would prevent the drop, but what [`dependants`]
/// leaves out and what has one of the names in `except`.
pub(crate) fn no_dependants(table: &TableName, column: &str, except: &[String]) -> String {
    let oid = format!("pg_catalog.to_regclass({})::oid", quote_literal(&table.sql()));
    let attnums = format!(
        "(ARRAY(SELECT a.attnum::int FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = {oid} AND a.attname = {} AND NOT a.attisdropped))",
        quote_literal(column)
    );
    let hanging = with_values(include_str!("dependants.sql"), &[format!("({oid})"), attnums]);
    let except: Vec<_> = except.iter().map(|name| quote_literal(name)).collect();
    format!(
        "NOT EXISTS (SELECT FROM pg_catalog.json_array_elements(({hanging}\n)::json) AS h (what) \
         WHERE h.what ->> 'kind' <> 'not_null' \
         AND NOT (h.what ->> 'kind' = 'trigger' AND (pg_catalog.starts_with(h.what ->> 'name', {}) \
                                                    OR pg_catalog.starts_with(h.what ->> 'name', {}))) \
         AND NOT (h.what ->> 'name' = ANY (ARRAY[{}]::text[])))",
        quote_literal(FIRST_TRIGGER),
        quote_literal(LAST_TRIGGER),
        except.join(", ")
    )
}

pub(super) async fn read(conn: &mut PgConnection, table: i64, attnums: &[i32]) -> Result<Vec<Hanging>, CatalogError> {
    let query = query::fixed(include_str!("dependants.sql")).bind(table).bind(attnums.to_vec());
    query::read(conn, "read what depends on the column", query).await
}

/// Whether what hangs on a column that gets another type, and is of this kind, is made anew in the swap.
pub(super) fn is_made_anew(kind: &str) -> bool {
    matches!(
        kind,
        "view"
            | "materialized_view"
            | "policy"
            | "trigger"
            | "statistics"
            | "sequence"
            | "identity"
            | "publication"
            | "function"
            | "rule_on_delete"
    )
}

/// What becomes of what hangs on a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bond {
    /// It follows the column, which stays.
    Follows,
    /// It is carried to the column that gets the name.
    Carried,
    /// Only what a twin is built of is carried: another column goes on under another name.
    Goes,
}

impl Bond {
    /// Returns the fate of what hangs on the old column of a pair.
    pub(super) fn of(change: &Pair<'_>) -> Self {
        if change.borrows() {
            Self::Follows
        } else if change.keeps_name() {
            Self::Carried
        } else {
            Self::Goes
        }
    }
}

/// Refuses everything that can neither follow its column nor be carried yet, by name. `column` gives an old column's name by
/// its number, and what becomes of what hangs on it.
pub(super) fn judge(hanging: &[Hanging], column: impl Fn(i16) -> (String, Bond), found: &mut Inspection) {
    const LATER: &str =
        "crossfade cannot carry it yet: before the run, drop it or change it so that it does not use the column";
    for h in hanging {
        let Dependant { name, kind, description } = &h.what;
        let (column, fate) = column(h.attnum);
        let follows = fate == Bond::Follows;
        let carried = fate == Bond::Carried;
        let (code, says, help) = match kind.as_str() {
            "rule_on_write" if follows => (
                "catalog::rule",
                "uses",
                "a rule sees what a statement names, and a statement may name the other column: turn it into a trigger",
            ),
            "trigger" if is_our_trigger(name) => (
                "catalog::other_run",
                "watches",
                "another run is working on the column (`crossfade status` lists the runs): finish it or roll it back first",
            ),
            "function_of_rows" => (
                "catalog::function",
                "returns rows of the table, and its body would not fit them while the table has a second column; it uses",
                "give it a body in quotes (AS $$ ... $$) before the run: PostgreSQL reads such a body again when the table changes",
            ),
            "primary_key" if follows => {
                found.warn(
                    "catalog::key",
                    format!("{description} contains column \"{column}\", and the new name is not known for a key until `contract`"),
                    "meanwhile a new release cannot GROUP BY the new name alone beside other columns, nor use ON CONFLICT (...) with it \
                     before `verify` has ended (ON CONFLICT ON CONSTRAINT works); tools that ask the catalog for the key see the old name",
                );
                continue;
            }
            _ if follows => continue,
            kind if carried && is_made_anew(kind) => continue,
            // Carried: each gets a twin.
            "primary_key" | "referenced" if carried => continue,
            "index" | "unique" | "not_null" if h.validated != Some(false) => continue,
            // The column itself is refused if it is an identity column. An exclusion constraint gets a twin where the plan accepts the lock, which
            // is asked once it is known what becomes of the column.
            "check" | "foreign_key" | "identity" | "exclusion" => continue,
            "generated_column" if carried => (
                "catalog::generated_column",
                "is generated from",
                "PostgreSQL refuses it too (cannot alter type of a column used by a generated column): drop the generated column before the \
                 run, and add it again once the column has the new type",
            ),
            "generated_column" => ("catalog::generated_column", "is generated from", LATER),
            "sequence" => (
                "catalog::sequence",
                "is owned by",
                "a sequence is dropped with its column; not supported yet (ALTER SEQUENCE ... OWNED BY NONE detaches it)",
            ),
            "primary_key" => ("catalog::primary_key", "contains", "primary keys are not supported yet"),
            "referenced" => ("catalog::foreign_key", "is a foreign key to", LATER),
            "temporal" => (
                "catalog::exclusion",
                "WITHOUT OVERLAPS contains",
                "crossfade cannot carry it: drop the constraint before the run, and add it again afterwards",
            ),
            "view" => ("catalog::view", "reads", LATER),
            "materialized_view" => ("catalog::materialized_view", "reads", LATER),
            "rule_on_write" if carried => (
                "catalog::rule",
                "uses",
                "PostgreSQL refuses to change the type of a column that a rule uses, and a rule sees nothing of the other column while a table \
                 has both: turn it into a trigger",
            ),
            "rule" | "rule_on_write" | "rule_on_delete" => ("catalog::rule", "uses", LATER),
            "policy" => ("catalog::policy", "uses", LATER),
            "statistics" => ("catalog::statistics", "covers", LATER),
            "publication" => (
                "catalog::publication",
                "names",
                "list or filter by other columns for the run, or let the new column keep the name",
            ),
            "function" => ("catalog::function", "uses", LATER),
            "trigger" => ("catalog::trigger", "names", LATER),
            _ => ("catalog::dependant", "depends on", LATER),
        };
        found.refuse(code, format!("{description} {says} column \"{column}\""), help);
    }
}
