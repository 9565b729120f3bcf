//! Twins of the CHECK constraints and foreign keys on columns that get another type.

use super::foreign_keys::{self, Divided};
use super::fragment::{Fragment, Moves, Stage};
use super::{Active, Context, children, has_last_names};
use crate::plan::Plan;
use crate::run::{Action, CarriedConstraint, Facts, Is, Phase, RelationId, Step, StepKey, Undo, What};
use crate::sql::{LockMode, quote_ident, quote_literal};

const ON: RelationId = RelationId::MAIN;

/// The constraints that get a twin.
pub(super) fn carried<'a>(context: &'a Context<'_>) -> impl Iterator<Item = &'a CarriedConstraint> {
    let all = context.facts.main().constraints.iter();
    all.filter(|constraint| of(context, constraint).any(|a| !a.change.borrows()))
}

/// The pairs with a column in the constraint.
fn of<'a>(context: &'a Context<'_>, constraint: &'a CarriedConstraint) -> impl Iterator<Item = &'a Active<'a>> {
    context.active.iter().filter(|a| constraint.changes.contains(&a.position))
}

/// Names of the constraints that go with old columns.
pub(super) fn parked_names(context: &Context<'_>) -> Vec<String> {
    carried(context).map(|constraint| context.tag.parked_constraint(constraint.number)).collect()
}

/// The other tables of foreign keys that go with old columns.
pub(super) fn referenced(context: &Context<'_>) -> Vec<RelationId> {
    each_other(carried(context).filter_map(|constraint| constraint.references))
}

/// Each of these tables once, without the plan's own.
pub(super) fn each_other(relations: impl Iterator<Item = RelationId>) -> Vec<RelationId> {
    let mut all: Vec<_> = relations.filter(|relation| *relation != ON).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether a CHECK has to wait until nobody writes the old column: a value that does not convert as it should must not make a
/// write fail. (A foreign key finds no fault with a value that is not there.)
fn is_late(facts: &Facts, constraint: &CarriedConstraint) -> bool {
    let converts = |position: &usize| facts.pair(*position).is_none_or(|pair| pair.forward.is_total());
    !constraint.foreign_key && !constraint.changes.iter().all(converts)
}

/// Whether the twin of a constraint has its name at `stage`.
pub(crate) fn is_carried(plan: &Plan, facts: &Facts, constraint: &CarriedConstraint, stage: Stage) -> bool {
    let early = stage == Stage::Retired || !is_late(facts, constraint);
    early && has_last_names(plan, &constraint.changes, stage)
}

/// Returns what the constraints contribute: the twins, and the exchange of names with their originals.
pub(super) fn fragment(context: &Context<'_>) -> Fragment {
    let steps: Vec<_> = carried(context).flat_map(|constraint| twin(context, constraint)).collect();
    Fragment {
        renamed: steps.iter().map(|step| step.key.clone()).collect(),
        steps,
        swap: exchange(context, Stage::Swapped),
        retire: exchange(context, Stage::Retired),
        ..Fragment::default()
    }
}

/// Returns the twin of a foreign key of a partitioned table.
fn divided<'a>(context: &Context<'_>, constraint: &'a CarriedConstraint) -> Option<Divided<'a>> {
    let name = context.tag.twin_constraint(constraint.number);
    let other = constraint.references.filter(|_| foreign_keys::is_partitioned(context, constraint.place()))?;
    Some(Divided {
        table: constraint.place(),
        other,
        called: name.clone(),
        own: name,
        definition: &constraint.soak,
        validated: constraint.validated,
        comment: constraint.comment.as_deref(),
    })
}

/// Returns the statements that drop the constraint of this name, a twin or an original.
pub(super) fn drop(context: &Context<'_>, constraint: &CarriedConstraint, name: &str) -> Vec<String> {
    let table = foreign_keys::place(context, constraint.place());
    if divided(context, constraint).is_some() {
        return foreign_keys::drop(&table, name);
    }
    let own = format!("ALTER TABLE IF EXISTS {table} DROP CONSTRAINT IF EXISTS {}", quote_ident(name));
    std::iter::once(own).chain(children::drop_constraint(context, name)).collect()
}

/// New rows are checked from the first step on, all rows in the second.
fn twin(context: &Context<'_>, constraint: &CarriedConstraint) -> Vec<Step> {
    let late = is_late(context.facts, constraint);
    let (phase, definition) =
        if late { (Phase::Contract, &constraint.last) } else { (Phase::Verify, &constraint.soak) };
    let on = constraint.place();
    let (table, own) = (foreign_keys::place(context, on), &constraint.name);
    let name = context.tag.twin_constraint(constraint.number);
    if let Some(divided) = divided(context, constraint) {
        let title = format!("the twin of foreign key {own}");
        let named = (own.as_str(), title.as_str());
        let promise = divided.promised(context, phase, named);
        let mut finish = divided.finished(context, phase, named);
        if let Some(join) = finish.pop() {
            finish.push(join.undo(Undo::by(drop(context, constraint, &name))));
        }
        return std::iter::once(promise).chain(finish).collect();
    }
    let quoted = quote_ident(&name);
    let definition = format!("{definition} NOT VALID");
    let mut add: Vec<_> = children::constrain_like(context, constraint, &name, &definition).into_iter().collect();
    add.push(format!("ALTER TABLE {table} ADD CONSTRAINT {quoted} {definition}"));
    add.extend(comment(&table, &quoted, constraint));
    let key = What::Constraint(own.clone());
    let title = format!("add the twin of constraint {own}, for new rows only");
    // A foreign key locks both tables, the one that refers first, as the checks of applications do.
    let mode = if constraint.foreign_key { LockMode::ShareRowExclusive } else { LockMode::AccessExclusive };
    let mut promise = Step::new(phase, key.clone(), title, Action::Transaction(add))
        .locks(on, mode)
        .done_when([Is::SomeConstraint { name: name.clone() }.on(on)])
        .undo(Undo::by(drop(context, constraint, &name)));
    if let Some(other) = constraint.references.filter(|other| *other != on) {
        promise = promise.locks(other, mode);
    }
    let title = format!("prove the twin of constraint {own} for all rows, while writes continue");
    let prove = constraint.validated.then(|| {
        let validate = Action::concurrent(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {quoted}"));
        Step::new(phase, What::Validate(own.clone()), title, validate)
            .locks(on, LockMode::ShareUpdateExclusive)
            .done_when([Is::Constraint { name }.on(on)])
            .supersedes([StepKey::new(phase, key)])
            .undo(Undo::nothing("a validated constraint goes when it is dropped"))
    });
    std::iter::once(promise).chain(prove).collect()
}

fn comment(table: &str, name: &str, constraint: &CarriedConstraint) -> Option<String> {
    let text = constraint.comment.as_ref()?;
    Some(format!("COMMENT ON CONSTRAINT {name} ON {table} IS {}", quote_literal(text)))
}

/// Gives each twin the name of its original, in the step that ends at `stage`.
fn exchange(context: &Context<'_>, stage: Stage) -> Moves {
    let mut moves = Moves::default();
    for constraint in carried(context) {
        let table = foreign_keys::place(context, constraint.place());
        let rename = |from: &str, to: &str| {
            format!("ALTER TABLE {table} RENAME CONSTRAINT {} TO {}", quote_ident(from), quote_ident(to))
        };
        let at_swap = is_carried(context.plan, context.facts, constraint, Stage::Swapped);
        if at_swap != (stage == Stage::Swapped) {
            continue;
        }
        let own = constraint.own_name();
        let (twin, parked) =
            (context.tag.twin_constraint(constraint.number), context.tag.parked_constraint(constraint.number));
        if foreign_keys::has_parts(
            context,
            [constraint.references.and(Some(constraint.place())), constraint.references],
        ) {
            moves.forth.push(foreign_keys::exchange(&table, own, &twin, &parked));
            moves.back.push(foreign_keys::exchange(&table, own, &parked, &twin));
            continue;
        }
        moves.forth.extend([rename(own, &parked), rename(&twin, own)]);
        moves.back.extend([rename(own, &twin), rename(&parked, own)]);
    }
    moves
}
