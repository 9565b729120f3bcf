//! The way back of a run whose table or one of whose columns is gone: whatever is ours goes, found by its name, and of each
//! pair the column that is left stays.

use super::fragment::Stage;
use super::{Context, publications, sync_trigger};
use crate::ident::TableName;
use crate::names::LedgerSchema;
use crate::plan::Plan;
use crate::run::Facts;
use crate::sql::quote_ident;

/// What is left of the table of a run and of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ruin {
    /// The table's name; `None` if it is gone.
    pub(crate) table: Option<TableName>,
    /// The pairs by their positions, with the names that their old and their new column have.
    pub(crate) pairs: Vec<(usize, Option<String>, Option<String>)>,
}

/// What is left of a run's own objects, by name; functions with their arguments, quoted.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Leftovers {
    triggers: Vec<String>,
    constraints: Vec<String>,
    indexes: Vec<String>,
    functions: Vec<String>,
    sequences: Vec<String>,
}

/// Returns the statements that remove what is ours, for one transaction, and what a person should know.
pub(crate) fn removal(
    plan: &Plan,
    facts: &Facts,
    stage: Option<Stage>,
    (ruin, left): (&Ruin, &Leftovers),
    ledger: &LedgerSchema,
) -> (Vec<String>, Vec<String>) {
    let context = Context::new(plan, facts, ledger);
    let (mut statements, mut kept) = (vec![sync_trigger::take_back(&context)], Vec::new());
    if let Some(name) = &ruin.table {
        let table = name.sql();
        statements
            .extend(left.triggers.iter().map(|t| format!("DROP TRIGGER IF EXISTS {} ON {table}", quote_ident(t))));
        let drop = |c: &String| format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {}", quote_ident(c));
        statements.extend(left.constraints.iter().map(drop));
        let drop = |i: &String| format!("DROP INDEX IF EXISTS {}.{}", quote_ident(&name.schema), quote_ident(i));
        statements.extend(left.indexes.iter().map(drop));
        for (position, old, new) in &ruin.pairs {
            let Some(a) = context.active.iter().find(|a| a.position == *position) else { continue };
            let alter = |what: String| format!("ALTER TABLE {table} {what}");
            let own = a.change.old.to_string();
            kept.extend(super::adopt::replaced(a).iter().map(|trigger| {
                format!(
                    "trigger \"{trigger}\" of {name}, made by hand, stays disabled: it may write a column that is gone"
                )
            }));
            let moved = stage.is_some_and(|stage| super::has_moved(&a.change, stage));
            let default = |column: &str, default: &Option<String>| {
                let set =
                    |default: &String| alter(format!("ALTER COLUMN {} SET DEFAULT {default}", quote_ident(column)));
                default.as_ref().map(set)
            };
            match (old, new) {
                (Some(old), new) => {
                    statements.extend(new.iter().map(|new| alter(format!("DROP COLUMN {}", quote_ident(new)))));
                    if *old != own {
                        let (from, to) = (quote_ident(old), quote_ident(&own));
                        statements.push(alter(format!("RENAME COLUMN {from} TO {to}")));
                    }
                    statements.extend(default(&own, &a.facts.old.default).filter(|_| moved));
                }
                // The only one that has the values.
                (None, Some(new)) => {
                    let last = a.change.new.to_string();
                    // Its own name is for the time after the retirement only.
                    let is_mirror = a.change.borrows() && *new != last;
                    let (from, to) = (quote_ident(new), quote_ident(&last));
                    statements.extend(is_mirror.then(|| alter(format!("RENAME COLUMN {from} TO {to}"))));
                    let new = if is_mirror { &last } else { new };
                    kept.push(format!(
                        "column \"{own}\" of {name} is gone, so column \"{new}\" stays: it has the values"
                    ));
                    statements.extend(default(new, &a.facts.new_default).filter(|_| !moved));
                }
                (None, None) => {}
            }
        }
        statements.extend(publications::widen(&context));
    }
    statements.extend(left.functions.iter().map(|function| format!("DROP FUNCTION IF EXISTS {function}")));
    statements.extend(left.sequences.iter().map(|name| format!("DROP SEQUENCE IF EXISTS {}", ledger.qualify(name))));
    (statements, kept)
}
