//! `drop_column`: renamed away first, so that whoever still uses it notices while it can be brought back, and dropped after
//! the grace.

use super::fragment::{ByStage, Drops, Fragment, Moves, Restore, Stage};
use super::{Context, indexes};
use crate::plan::DropColumn;
use crate::run::{DroppedColumn, Gate, Is, RelationId};
use crate::sql::quote_ident;

pub(super) fn fragment(context: &Context<'_>, position: usize, change: &DropColumn, facts: &DroppedColumn) -> Fragment {
    let table = context.table().sql();
    let old = change.column.sql();
    let name = context.tag.retired(&change.column);
    let retired = quote_ident(&name);
    let alter = |column: &str, what: &str| format!("ALTER TABLE {table} ALTER COLUMN {column} {what}");
    let mut retire = Moves {
        forth: vec![format!("ALTER TABLE {table} RENAME COLUMN {old} TO {retired}")],
        back: vec![format!("ALTER TABLE {table} RENAME COLUMN {retired} TO {old}")],
    };
    if facts.column.not_null {
        // Rows are inserted without it from now on.
        retire.forth.push(alter(&retired, "DROP NOT NULL"));
    }
    if let Some(default) = facts.column.default.as_ref().filter(|_| facts.unique) {
        retire.forth.push(alter(&retired, "DROP DEFAULT"));
        retire.back.push(alter(&old, &format!("SET DEFAULT {default}")));
    }
    // NOT NULL comes back with a proof, under the constraint's own name where it has one.
    let own = facts.column.not_null_constraint.clone();
    let constraint = own.unwrap_or_else(|| context.tag.old_not_null(position));
    let restore =
        facts.column.not_null.then(|| Restore { column: change.column.clone(), retired: name.clone(), constraint });
    let on_column = |stage| {
        let name = if stage == Stage::Retired { name.clone() } else { change.column.to_string() };
        vec![Is::Column { name, type_name: facts.column.type_name.clone() }]
    };
    // An index of this column and of a renamed one has a twin by now.
    let except = facts.goes_along.iter().cloned().chain(indexes::parked_names(context)).collect();
    let gate = Gate::NoDependants { relation: RelationId::MAIN, column: name.clone(), except };
    let along = match facts.goes_along.as_slice() {
        [] => String::new(),
        [one] => format!(" with its index or constraint {one}"),
        several => format!(" with its indexes and constraints {}", several.join(", ")),
    };
    let drop = Drops {
        goes: Some(format!("column {} (renamed to {name}){along}", change.column)),
        needs: vec![gate],
        statements: vec![format!("ALTER TABLE {table} DROP COLUMN {retired}")],
        gone: vec![Is::NoColumn { name: name.clone() }],
    };
    Fragment { layout: ByStage::new(on_column), retire, restore, drop, ..Fragment::default() }
}
