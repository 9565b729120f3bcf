//! `change_type`: the column gets another type; for a while it exists in both. Where PostgreSQL only touches the catalog, the
//! type is changed in place.

use super::fragment::{Fragment, Moves};
use super::{Active, Context, made_anew, pair, publications};
use crate::run::{Action, Is, Phase, RelationId, Step, Undo, What};
use crate::sql::LockMode;

pub(super) fn fragment(context: &Context<'_>, a: &Active<'_>) -> Fragment {
    if a.facts.metadata_only { in_place(context, a) } else { pair::fragment(context, a, vec![]) }
}

/// No new column, no backfill, nothing to switch.
fn in_place(context: &Context<'_>, a: &Active<'_>) -> Fragment {
    let (column, facts) = (a.change.old, a.facts);
    let statement = format!(
        "ALTER TABLE {} ALTER COLUMN {} TYPE {}{}",
        context.table().sql(),
        column.sql(),
        facts.new_type,
        facts.new_collate
    );
    let undo = if context.active.is_empty() {
        Undo::PointOfNoReturn(format!(
            "narrowing {column} back to {} would rewrite or scan the table; write a plan for it",
            facts.old.type_name
        ))
    } else {
        Undo::Nothing(format!("{column} keeps the wider type, which holds every value it had"))
    };
    let title = format!("change the type of {column} in place: PostgreSQL only touches the catalog");
    let made_anew = !context.facts.main().made_anew.is_empty();
    let statements = if made_anew {
        let around = made_anew::around(context, &[column.as_str()], true);
        vec![around.before, statement, around.after]
    } else {
        vec![statement]
    };
    let moves = Moves { forth: statements, back: vec![] };
    let statements = publications::surround(context, &[column.as_str()], moves).forth;
    let step = Step::new(Phase::Expand, What::Alter(column.to_string()), title, Action::Transaction(statements))
        .above(made_anew.then(|| column.to_string()))
        .locks(RelationId::MAIN, LockMode::AccessExclusive)
        .done_when([Is::Column { name: column.to_string(), type_name: facts.new_type.clone() }.on(RelationId::MAIN)])
        .undo(undo);
    Fragment { steps: vec![step], ..Fragment::default() }
}
