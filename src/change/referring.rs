//! Foreign keys, of any table, that refer to a column which gets another type: each gets a twin that refers to the new column, and in
//! the swap the twin takes its place. (PostgreSQL drops an index of a key only when no foreign key needs it.)

use super::fragment::{Fragment, Moves};
use super::{Context, constraints};
use crate::run::{Action, Is, Phase, ReferringKey, RelationId, Step, StepKey, Undo, What};
use crate::sql::{LockMode, quote_ident, quote_literal};

const ON: RelationId = RelationId::MAIN;

/// The tables other than the plan's own that the swap locks, before that one: as the checks of applications do.
pub(super) fn tables(context: &Context<'_>) -> Vec<RelationId> {
    let all = context.facts.main().referring.iter().map(|key| key.table);
    constraints::each_other(all)
}

fn place(context: &Context<'_>, key: &ReferringKey) -> String {
    context.facts.tables.get(usize::from(key.table.0)).map_or_else(String::new, |table| table.name.sql())
}

/// What a step calls it: names of constraints are those of their tables.
fn called(context: &Context<'_>, key: &ReferringKey) -> String {
    let table = context.facts.tables.get(usize::from(key.table.0));
    table.map_or_else(String::new, |table| format!("{}.{}", table.name, key.name))
}

/// Returns what drops the twin of the foreign key that a step calls so, if it is one of these.
pub(super) fn without_twin(context: &Context<'_>, name: &str) -> Option<Vec<String>> {
    let key = context.facts.main().referring.iter().find(|key| called(context, key) == name)?;
    let twin = quote_ident(&context.tag.twin_key(key.number));
    Some(vec![format!("ALTER TABLE IF EXISTS {} DROP CONSTRAINT IF EXISTS {twin}", place(context, key))])
}

/// What the swap does with them. It comes before what happens to the keys that they refer to.
pub(super) fn in_swap(context: &Context<'_>) -> Fragment {
    let mut swap = Moves::default();
    for key in &context.facts.main().referring {
        let (table, own) = (place(context, key), quote_ident(&key.name));
        let [twin, old] = [context.tag.twin_key(key.number), context.tag.old_key(key.number)];
        let drop = format!("ALTER TABLE {table} DROP CONSTRAINT {own}");
        let rename = |from: &str| format!("ALTER TABLE {table} RENAME CONSTRAINT {} TO {own}", quote_ident(from));
        swap.forth.extend([drop.clone(), rename(&twin)]);
        swap.back.extend([drop, rename(&old)]);
    }
    Fragment { swap, ..Fragment::default() }
}

/// The twins, once the new column has an index to refer to; and what the way back of the swap needs first.
pub(super) fn fragment(context: &Context<'_>) -> Fragment {
    let keys = &context.facts.main().referring;
    let steps: Vec<_> = keys.iter().flat_map(|key| twin(context, key)).collect();
    let back = keys.iter().flat_map(|key| {
        let table = place(context, key);
        let old = quote_ident(&context.tag.old_key(key.number));
        // The old column has the name then that the new one has now.
        let mut add = vec![format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {old}")];
        add.extend(added(context, key, &old));
        let validate = Action::concurrent(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {old}"));
        std::iter::once(Action::Transaction(add)).chain(key.validated.then_some(validate))
    });
    Fragment {
        renamed: steps.iter().map(|step| step.key.clone()).collect(),
        before_back: back.collect(),
        steps,
        ..Fragment::default()
    }
}

fn added(context: &Context<'_>, key: &ReferringKey, name: &str) -> Vec<String> {
    let table = place(context, key);
    let comment =
        key.comment.iter().map(|text| format!("COMMENT ON CONSTRAINT {name} ON {table} IS {}", quote_literal(text)));
    let add = format!("ALTER TABLE {table} ADD CONSTRAINT {name} {} NOT VALID", key.twin);
    std::iter::once(add).chain(comment).collect()
}

fn twin(context: &Context<'_>, key: &ReferringKey) -> Vec<Step> {
    let (table, own) = (place(context, key), format!("{} of {}", key.name, place(context, key)));
    let name = context.tag.twin_key(key.number);
    let quoted = quote_ident(&name);
    let what = called(context, key);
    let add_key = What::Constraint(what.clone());
    let title = format!("add the twin of foreign key {own}, for new rows only");
    let mut promise =
        Step::new(Phase::Switch, add_key.clone(), title, Action::Transaction(added(context, key, &quoted)))
            .locks(key.table, LockMode::ShareRowExclusive)
            .done_when([Is::SomeConstraint { name: name.clone() }.on(key.table)])
            .undo(Undo::by(vec![format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quoted}")]));
    if key.table != ON {
        promise = promise.locks(ON, LockMode::ShareRowExclusive);
    }
    let title = format!("prove the twin of foreign key {own} for all rows, while writes continue");
    let prove = key.validated.then(|| {
        let validate = Action::concurrent(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {quoted}"));
        Step::new(Phase::Switch, What::Validate(what), title, validate)
            .locks(key.table, LockMode::ShareUpdateExclusive)
            .done_when([Is::Constraint { name }.on(key.table)])
            .supersedes([StepKey::new(Phase::Switch, add_key)])
            .undo(Undo::nothing("a validated constraint goes when it is dropped"))
    });
    std::iter::once(promise).chain(prove).collect()
}
