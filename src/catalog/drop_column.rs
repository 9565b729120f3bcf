//! A column that the plan drops: what goes along with it, and what keeps it from going.

use super::Inspection;
use super::columns::Column;
use super::copy::COPY;
use super::dependants::Hanging;
use super::index::Index;
use crate::ident::TableName;
use crate::plan::DropColumn;
use crate::run::DroppedColumn;

/// Returns the statement that drops the column of the copy.
pub(super) fn from_copy(change: &DropColumn) -> String {
    // Generated columns of it go too: each is refused by its name.
    format!("ALTER TABLE {COPY} DROP COLUMN {} CASCADE", change.column.sql())
}

/// Returns the column with what PostgreSQL would drop along with it.
pub(super) fn facts(
    change: &DropColumn,
    table: &TableName,
    columns: &[Column],
    (hanging, indexes): (&[Hanging], &[Index]),
    default_is_repeatable: bool,
    found: &mut Inspection,
) -> Option<DroppedColumn> {
    let column = columns.iter().find(|column| column.name == change.column.as_str())?;
    if column.identity.is_some() {
        found.refuse(
            "catalog::identity",
            format!("column \"{}\" of {table} is an identity column", change.column),
            "drop its identity first (ALTER COLUMN ... DROP IDENTITY): rows could not be inserted without it",
        );
    }
    if column.inherited {
        found.refuse(
            "catalog::inheritance",
            format!("column \"{}\" of {table} is inherited", change.column),
            "PostgreSQL drops an inherited column with that of the table that it comes from",
        );
    }
    for h in hanging.iter().filter(|h| h.attnum == column.attnum) {
        let what = &h.what;
        let help = match what.kind.as_str() {
            // The sequence of an identity column is refused with it.
            "index" | "unique" | "not_null" | "statistics" | "foreign_key" | "identity" => continue,
            "primary_key" => "a primary key cannot do without its column; replace the key first",
            "check" | "exclusion" | "temporal" => {
                "a row that does not name the column could fail it: drop the constraint first"
            }
            "sequence" => "the sequence would go too: ALTER SEQUENCE ... OWNED BY NONE, or drop the default first",
            _ => "drop it, or change it so that it does without the column, before the run",
        };
        let message = format!("{} depends on column \"{}\"", what.description, change.column);
        found.refuse("catalog::dependant", message, help);
    }
    found.warn(
        "catalog::drop_column",
        format!("crossfade cannot tell whether a release still uses column \"{}\" of {table}", change.column),
        "when it is retired, statements that name it fail; until the drop, crossfade rollback brings it back",
    );
    let mentions = |index: &&Index| index.mentions(column.attnum);
    if let Some(index) = indexes.iter().filter(mentions).find(|index| index.nulls_not_distinct) {
        found.refuse(
            "catalog::nulls_not_distinct",
            format!("in the unique index \"{}\" of {table}, two rows without column \"{}\" are equal", index.name, change.column),
            "once the column is retired, the second row inserted without it would fail: drop the index (or its constraint) first",
        );
    }
    let goes_along = hanging.iter().filter(|h| h.attnum == column.attnum).map(|h| h.what.name.clone()).collect();
    let unique = indexes.iter().filter(mentions).any(|index| index.unique);
    let mut facts = column.facts(default_is_repeatable);
    // Rows that do not name a generated column have its value all the same.
    facts.not_null &= column.generated.is_none();
    Some(DroppedColumn { column: facts, goes_along, unique: unique && column.generated.is_none() })
}
