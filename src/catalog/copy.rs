//! The empty temporary copy of a plan's table on which its changes are made as plain ALTER TABLE would.

use super::columns::Column;
use super::conversion::Retyped;
use crate::change::column_of_index;
use crate::ident::ColumnName;
use crate::plan::Pair;
use crate::run::Conversion;

pub(super) const COPY: &str = "pg_temp.crossfade_copy";

/// A change with its old column and, for a type change, what the new one is.
pub(super) struct Part<'a> {
    pub(super) change: Pair<'a>,
    pub(super) old: &'a Column,
    pub(super) retyped: Option<Retyped>,
}

/// The outcome for one change.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) new_default: Option<String>,
    pub(super) new_default_is_repeatable: bool,
    pub(super) default_is_repeatable: bool,
    pub(super) metadata_only: bool,
}

impl Part<'_> {
    /// The number of the old column, and whether it stays.
    pub(super) fn side(&self) -> (i16, bool) {
        (self.old.attnum, self.change.borrows())
    }
}

/// Returns columns for SQL. Plans name a change's new column; a change that is made in place has none.
pub(super) fn list(columns: &[ColumnName], in_place: &[Pair<'_>]) -> String {
    let name = |column| column_of_index(column, in_place.iter().copied()).sql();
    columns.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// The statements that give columns of the copy that only borrow their new names the old ones back.
pub(super) fn give_back<'a>(changes: impl IntoIterator<Item = Pair<'a>>) -> Vec<String> {
    let borrowed = changes.into_iter().filter(Pair::borrows);
    borrowed.map(|c| format!("ALTER TABLE {COPY} RENAME COLUMN {} TO {}", c.new.sql(), c.old.sql())).collect()
}

/// The statements that make one change as plain ALTER would, and leave the new column under its first name.
pub(super) fn change_one(part: &Part<'_>, metadata_only: bool) -> Vec<String> {
    let (old, new) = (part.change.old.sql(), part.change.new.sql());
    let mut statements = Vec::new();
    if let Some(retyped) = &part.retyped {
        let using = match &retyped.forward {
            _ if metadata_only => String::new(),
            Conversion::Identity | Conversion::None => String::new(),
            Conversion::InfallibleCast => format!(" USING CAST({old} AS {})", retyped.column.base_type),
            Conversion::Expression { sql, .. } => format!(" USING ({sql})"),
        };
        // The old default need not be one of the new type.
        let given = retyped.default.as_ref().filter(|_| !metadata_only);
        let of_column = |what: &str| format!("ALTER TABLE {COPY} ALTER COLUMN {old} {what}");
        statements.extend(given.map(|_| of_column("DROP DEFAULT")));
        statements.push(alter_type(part, retyped, &using));
        statements.extend(given.map(|default| of_column(&format!("SET DEFAULT {default}"))));
    }
    if !metadata_only {
        statements.push(format!("ALTER TABLE {COPY} RENAME COLUMN {old} TO {new}"));
    }
    statements
}

pub(super) fn alter_type(part: &Part<'_>, retyped: &Retyped, using: &str) -> String {
    let column = &retyped.column;
    format!(
        "ALTER TABLE {COPY} ALTER COLUMN {} TYPE {}{}{using}",
        part.change.old.sql(),
        column.type_name,
        column.collate()
    )
}

pub(super) fn all_changes(parts: &[Part<'_>], outcomes: &[Outcome]) -> Vec<String> {
    parts.iter().zip(outcomes).flat_map(|(part, outcome)| change_one(part, outcome.metadata_only)).collect()
}
