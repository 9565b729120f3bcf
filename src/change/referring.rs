//! Foreign keys, of any table, that refer to a column which gets another type: each gets a twin that refers to the new column, and in
//! the swap the twin takes its place. (PostgreSQL drops an index of a key only when no foreign key needs it.)
//!
//! A partitioned table has no key of new columns to refer to before the swap. So what refers to one is made anew in it, for new rows
//! only: no row can have come that the old foreign key would have refused. It is proved right behind the swap, while writes continue.

use super::foreign_keys::{self, Divided, is_partitioned, place};
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

/// What a step calls it: names of constraints are those of their tables.
fn called(context: &Context<'_>, key: &ReferringKey) -> String {
    let table = context.facts.tables.get(usize::from(key.table.0));
    table.map_or_else(String::new, |table| format!("{}.{}", table.name, key.name))
}

/// What it is called in words.
fn titled(context: &Context<'_>, key: &ReferringKey) -> String {
    format!("foreign key {} of {}", key.name, place(context, key.table))
}

/// Whether it can be made only once the new column has the old one's name.
fn is_late(context: &Context<'_>) -> bool {
    is_partitioned(context, ON)
}

/// Returns the twin, with these names, of a foreign key of a partitioned table.
fn divided<'a>(context: &Context<'_>, key: &'a ReferringKey, (called, own): (String, String)) -> Option<Divided<'a>> {
    is_partitioned(context, key.table).then(|| Divided {
        table: key.table,
        other: ON,
        called,
        own,
        definition: &key.twin,
        validated: key.validated,
        comment: key.comment.as_deref(),
    })
}

/// Returns what drops the twin of the foreign key that a step calls so, if it is one of these.
pub(super) fn without_twin(context: &Context<'_>, name: &str) -> Option<Vec<String>> {
    let key = context.facts.main().referring.iter().find(|key| called(context, key) == name)?;
    let (table, twin) = (place(context, key.table), context.tag.twin_key(key.number));
    if is_partitioned(context, key.table) {
        return Some(foreign_keys::drop(&table, &twin));
    }
    Some(vec![format!("ALTER TABLE IF EXISTS {table} DROP CONSTRAINT IF EXISTS {}", quote_ident(&twin))])
}

/// What the swap does with them. It comes before what happens to the keys that they refer to.
pub(super) fn in_swap(context: &Context<'_>) -> Fragment {
    let mut swap = Moves::default();
    for key in &context.facts.main().referring {
        let (table, own) = (place(context, key.table), quote_ident(&key.name));
        let [twin, old] = [context.tag.twin_key(key.number), context.tag.old_key(key.number)];
        let drop = |name: &str| format!("ALTER TABLE {table} DROP CONSTRAINT {name}");
        if is_late(context) {
            swap.forth.push(drop(&own));
            // It may not be that of the whole again yet.
            swap.back.push(format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {own}"));
            swap.back.extend(foreign_keys::drop(&table, &twin));
        } else if is_partitioned(context, key.table) {
            let exchange = |of: &str, parked: &str| foreign_keys::exchange(&table, &key.name, of, parked);
            swap.forth.extend([exchange(&twin, &old), drop(&quote_ident(&old))]);
            swap.back.extend([exchange(&old, &twin), drop(&quote_ident(&twin))]);
        } else {
            let rename = |from: &str| format!("ALTER TABLE {table} RENAME CONSTRAINT {} TO {own}", quote_ident(from));
            swap.forth.extend([drop(&own), rename(&twin)]);
            swap.back.extend([drop(&own), rename(&old)]);
        }
    }
    Fragment { swap, ..Fragment::default() }
}

/// What the swap makes anew once there are keys to refer to, and the steps behind it and behind its undoing.
pub(super) fn behind_keys(context: &Context<'_>) -> Fragment {
    let mut fragment = Fragment::default();
    for key in context.facts.main().referring.iter().filter(|_| is_late(context)) {
        let made = made_late(context, key);
        fragment.swap.extend(Moves { forth: made.clone(), back: made });
        let (step, behind) = late(context, key);
        fragment.steps.push(step);
        fragment.after_swap.extend(behind);
    }
    fragment
}

/// Returns a foreign key that refers to a partitioned table, with its name while it is made, if it is one of a partitioned table itself.
fn late_divided<'a>(context: &Context<'_>, key: &'a ReferringKey) -> Option<Divided<'a>> {
    divided(context, key, (context.tag.twin_key(key.number), key.name.clone()))
}

fn made_late(context: &Context<'_>, key: &ReferringKey) -> Vec<String> {
    match late_divided(context, key) {
        Some(divided) => vec![divided.promise(context)],
        None => added(context, key, &quote_ident(&key.name)),
    }
}

/// Returns the step before the swap, whose undoing proves it again, and those behind the swap.
fn late(context: &Context<'_>, key: &ReferringKey) -> (Step, Vec<Step>) {
    let (what, title) = (called(context, key), titled(context, key));
    let undone = || Undo::nothing("the undoing of the swap makes it anew");
    let (finish, behind) = match late_divided(context, key) {
        Some(divided) => {
            let steps = divided.finished(context, Phase::Switch, (&what, &title));
            (divided.finish(context), steps.into_iter().map(|step| step.undo(undone())).collect())
        }
        None if key.validated => {
            let table = place(context, key.table);
            let validate =
                Action::concurrent(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {}", quote_ident(&key.name)));
            let words = format!("prove {title} for all rows, while writes continue");
            let step = Step::new(Phase::Switch, What::Validate(what.clone()), words, validate.clone())
                .locks(key.table, LockMode::ShareUpdateExclusive)
                .done_when([Is::Constraint { name: key.name.clone() }.on(key.table)])
                .undo(undone());
            (vec![validate], vec![step])
        }
        None => (vec![], vec![]),
    };
    let words = format!("nothing yet: once the swap is undone, a rollback proves {title} again");
    let mut step = Step::new(Phase::Switch, What::Promise(what), words, Action::Transaction(vec![]))
        .locks(key.table, LockMode::AccessShare)
        .undo(Undo::Actions { needs: vec![], actions: finish });
    if key.table != ON {
        step = step.locks(ON, LockMode::AccessShare);
    }
    (step, behind)
}

/// The twins, once the new column has an index to refer to; and what the way back of the swap needs first.
pub(super) fn fragment(context: &Context<'_>) -> Fragment {
    if is_late(context) {
        return Fragment::default();
    }
    let keys = &context.facts.main().referring;
    let steps: Vec<_> = keys.iter().flat_map(|key| twin(context, key)).collect();
    let back = keys.iter().flat_map(|key| {
        let table = place(context, key.table);
        let name = context.tag.old_key(key.number);
        // The old column has the name then that the new one has now.
        if let Some(divided) = divided(context, key, (name.clone(), name.clone())) {
            let mut add = foreign_keys::drop(&table, &name);
            add.push(divided.promise(context));
            return std::iter::once(Action::Transaction(add)).chain(divided.finish(context)).collect::<Vec<_>>();
        }
        let old = quote_ident(&name);
        let mut add = vec![format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {old}")];
        add.extend(added(context, key, &old));
        let validate = Action::concurrent(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {old}"));
        std::iter::once(Action::Transaction(add)).chain(key.validated.then_some(validate)).collect()
    });
    Fragment {
        renamed: steps.iter().map(|step| step.key.clone()).collect(),
        before_back: back.collect(),
        steps,
        ..Fragment::default()
    }
}

fn added(context: &Context<'_>, key: &ReferringKey, name: &str) -> Vec<String> {
    let table = place(context, key.table);
    let comment =
        key.comment.iter().map(|text| format!("COMMENT ON CONSTRAINT {name} ON {table} IS {}", quote_literal(text)));
    let add = format!("ALTER TABLE {table} ADD CONSTRAINT {name} {} NOT VALID", key.twin);
    std::iter::once(add).chain(comment).collect()
}

fn twin(context: &Context<'_>, key: &ReferringKey) -> Vec<Step> {
    let table = place(context, key.table);
    let name = context.tag.twin_key(key.number);
    let what = called(context, key);
    let title = format!("the twin of {}", titled(context, key));
    if let Some(divided) = divided(context, key, (name.clone(), name.clone())) {
        let named = (what.as_str(), title.as_str());
        let promise = divided.promised(context, Phase::Switch, named);
        let mut finish = divided.finished(context, Phase::Switch, named);
        if let Some(join) = finish.pop() {
            finish.push(join.undo(Undo::by(foreign_keys::drop(&table, &name))));
        }
        return std::iter::once(promise).chain(finish).collect();
    }
    let quoted = quote_ident(&name);
    let add_key = What::Constraint(what.clone());
    let words = format!("add {title}, for new rows only");
    let mut promise =
        Step::new(Phase::Switch, add_key.clone(), words, Action::Transaction(added(context, key, &quoted)))
            .locks(key.table, LockMode::ShareRowExclusive)
            .done_when([Is::SomeConstraint { name: name.clone() }.on(key.table)])
            .undo(Undo::by(vec![format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quoted}")]));
    if key.table != ON {
        promise = promise.locks(ON, LockMode::ShareRowExclusive);
    }
    let words = format!("prove {title} for all rows, while writes continue");
    let prove = key.validated.then(|| {
        let validate = Action::concurrent(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {quoted}"));
        Step::new(Phase::Switch, What::Validate(what), words, validate)
            .locks(key.table, LockMode::ShareUpdateExclusive)
            .done_when([Is::Constraint { name }.on(key.table)])
            .supersedes([StepKey::new(Phase::Switch, add_key)])
            .undo(Undo::nothing("a validated constraint goes when it is dropped"))
    });
    std::iter::once(promise).chain(prove).collect()
}
