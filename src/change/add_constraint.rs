//! `add_constraint`: added without a look at the rows that exist, which are proved while writes continue; a unique one is
//! made of an index that was built concurrently.

use super::fragment::{Fragment, Proof, Stage};
use super::{Context, indexes, not_null};
use crate::plan::{AddConstraint, Rule};
use crate::run::{Action, AddedConstraint, Is, Phase, RelationId, Step, StepKey, Undo, What};
use crate::sql::{LockMode, quote_ident};

const ON: RelationId = RelationId::MAIN;

pub(super) fn fragment(
    context: &Context<'_>,
    position: usize,
    change: &AddConstraint,
    facts: &AddedConstraint,
) -> Fragment {
    match (&change.rule, &change.name) {
        (Rule::NotNull(column), name) => {
            let own = || not_null::name(context, position, facts.not_null_name.as_deref());
            let constraint = name.as_ref().map_or_else(own, ToString::to_string);
            // While releases write the old column of a pair, a NULL there is not theirs to answer for.
            let pair = context.active.iter().find(|a| a.change.new == column);
            let proof = match pair {
                Some(a) => {
                    let (old, new) = a.names(&context.tag, Stage::Swapped);
                    Proof { constraint, column: if a.change.borrows() { old } else { new }, late: true }
                }
                None => Proof { constraint, column: context.column(column).to_string(), late: false },
            };
            Fragment { not_null: vec![proof], ..Fragment::default() }
        }
        (Rule::Unique { columns, nulls_not_distinct, deferrable }, Some(name)) => {
            let columns: Vec<_> = columns.iter().map(|column| context.column(column).sql()).collect();
            let nulls = if *nulls_not_distinct { " NULLS NOT DISTINCT" } else { "" };
            let tail = format!("USING btree ({}){nulls}", columns.join(", "));
            let what = (What::Build(name.to_string()), format!("build the index of constraint {name}"));
            let build = indexes::build(context, name.as_str(), true, &tail, vec![], what);
            let add = using_index(context, build.key.phase, name.as_str(), deferrable.sql());
            Fragment { steps: vec![build, add], ..Fragment::default() }
        }
        (_, Some(name)) => Fragment { steps: proved(context, name.as_str(), facts).into(), ..Fragment::default() },
        // The plan's form asks for the name of every other constraint.
        (_, None) => Fragment::default(),
    }
}

fn using_index(context: &Context<'_>, phase: Phase, name: &str, deferrable: &str) -> Step {
    let (table, quoted) = (context.table().sql(), quote_ident(name));
    let add = format!("ALTER TABLE {table} ADD CONSTRAINT {quoted} UNIQUE USING INDEX {quoted}{deferrable}");
    let title = format!("make the index a unique constraint {name}");
    Step::new(phase, What::Constraint(name.to_owned()), title, Action::Transaction(vec![add]))
        .locks(ON, LockMode::AccessExclusive)
        .done_when([Is::Constraint { name: name.to_owned() }.on(ON)])
        .undo(Undo::by(vec![format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quoted}")]))
}

/// Two steps: new rows are checked from the first on, all rows in the second (docs/postgres.md, "Locks by statement").
fn proved(context: &Context<'_>, name: &str, facts: &AddedConstraint) -> [Step; 2] {
    let (table, quoted) = (context.table().sql(), quote_ident(name));
    let add = format!("ALTER TABLE {table} ADD CONSTRAINT {quoted} {} NOT VALID", facts.definition);
    let key = What::Constraint(name.to_owned());
    let title = format!("add constraint {name}, for new rows only");
    // A foreign key locks both tables, the one that refers first, as the checks of applications do.
    let mode = if facts.references.is_some() { LockMode::ShareRowExclusive } else { LockMode::AccessExclusive };
    let mut promise = Step::new(Phase::Verify, key.clone(), title, Action::Transaction(vec![add]))
        .locks(ON, mode)
        .done_when([Is::SomeConstraint { name: name.to_owned() }.on(ON)])
        .undo(Undo::by(vec![format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quoted}")]));
    if let Some(other) = facts.references.filter(|other| *other != ON) {
        promise = promise.locks(other, mode);
    }
    let validate = Action::concurrent(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {quoted}"));
    let title = format!("prove constraint {name} for all rows, while writes continue");
    let prove = Step::new(Phase::Verify, What::Validate(name.to_owned()), title, validate)
        .locks(ON, LockMode::ShareUpdateExclusive)
        .done_when([Is::Constraint { name: name.to_owned() }.on(ON)])
        .supersedes([StepKey::new(Phase::Verify, key)])
        .undo(Undo::nothing("a validated constraint goes when it is dropped"));
    [promise, prove]
}
