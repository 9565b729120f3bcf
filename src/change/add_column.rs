//! `add_column`: with a default that PostgreSQL keeps in the catalog no row is touched; one that differs from row to row is
//! filled in batches, and NOT NULL is proved afterwards, while writers go on.

use super::Context;
use super::fragment::{Fragment, Proof};
use crate::plan::AddColumn;
use crate::run::{Action, AddedColumn, Fill, FillValue, Is, Phase, RelationId, Step, Undo, What};
use crate::sql::LockMode;

pub(super) fn fragment(context: &Context<'_>, position: usize, change: &AddColumn, facts: &AddedColumn) -> Fragment {
    let (table, name) = (context.table().sql(), change.name.sql());
    let AddedColumn { type_name, collate, default, in_catalog } = facts;
    let add = format!("ALTER TABLE {table} ADD COLUMN {name} {type_name}{collate}");
    let statements = match default {
        None => vec![add],
        Some(default) if *in_catalog => {
            // With a value in the catalog, PostgreSQL need not look at the rows for NOT NULL either.
            let not_null = if change.not_null { " NOT NULL" } else { "" };
            vec![format!("{add} DEFAULT {default}{not_null}")]
        }
        // Rows that are inserted from now on have it.
        Some(default) => vec![add, format!("ALTER TABLE {table} ALTER COLUMN {name} SET DEFAULT {default}")],
    };
    let on = RelationId::MAIN;
    let what = What::AddColumn(change.name.to_string());
    let step = Step::new(Phase::Expand, what, format!("add column {}", change.name), Action::Transaction(statements))
        .locks(on, LockMode::AccessExclusive)
        .done_when([Is::Column { name: change.name.to_string(), type_name: type_name.clone() }.on(on)])
        .undo(Undo::by(vec![format!("ALTER TABLE {table} DROP COLUMN IF EXISTS {name}")]));
    let filled = default.as_ref().filter(|_| !in_catalog);
    let fill = filled.map(|default| Fill {
        column: name.clone(),
        total: FillValue { value: default.clone(), missing: format!("t.{name} IS NULL") },
        strict: None,
    });
    let constraint = context.tag.not_null(position);
    let proof = Proof { constraint, column: change.name.to_string(), late: false };
    let not_null = (change.not_null && filled.is_some()).then_some(proof);
    Fragment { steps: vec![step], fill, not_null: not_null.into_iter().collect(), ..Fragment::default() }
}
