//! NOT NULL without a scan under a strong lock: a constraint that is not validated, VALIDATE, then the column's own
//! NOT NULL, which PostgreSQL takes from the valid constraint without reading the table (docs/postgres.md, "NOT NULL
//! without a scan").

use super::fragment::{Proof, Relax, Restore};
use super::{Context, children};
use crate::run::{Action, CompareSpec, Gate, Is, Phase, RelationId, Step, StepKey, Undo, What};
use crate::sql::{LockMode, quote_ident};

/// NOT NULL became a named constraint that can be added without validation.
const NAMED_NOT_NULL: u32 = 180_000;

/// Steps whose conditions name columns by their first names.
pub(super) fn keys() -> impl Iterator<Item = StepKey> {
    [Phase::Verify, Phase::Contract].into_iter().flat_map(|phase| {
        [What::NotNullAdd, What::NotNullValidate, What::NotNullSet].map(|what| StepKey::new(phase, what))
    })
}

/// The steps that make these columns NOT NULL in `phase`.
pub(super) fn prove(context: &Context<'_>, phase: Phase, proofs: &[&Proof]) -> Vec<Step> {
    if proofs.is_empty() {
        return vec![];
    }
    let columns: Vec<_> = proofs.iter().map(|proof| (proof.constraint.as_str(), proof.column.as_str())).collect();
    let [add, validate, set] = proof(context, &columns);
    let table = context.table().sql();
    let each = |statement: &dyn Fn(&str, &str) -> String| {
        columns.iter().map(|(name, column)| statement(&quote_ident(name), &quote_ident(column))).collect::<Vec<_>>()
    };
    let on = RelationId::MAIN;
    let mut drop = each(&|name, _| format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}"));
    drop.extend(columns.iter().filter_map(|(name, _)| children::drop_constraint(context, name)));
    let valid = columns.iter().map(|(name, _)| Is::Constraint { name: (*name).to_owned() }.on(on));
    let mut steps = vec![
        Step::new(phase, What::NotNullAdd, "enforce NOT NULL for new rows", add)
            .locks(on, LockMode::AccessExclusive)
            .undo(Undo::by(drop)),
        Step::new(phase, What::NotNullValidate, "prove NOT NULL for all rows, while writes continue", validate)
            .locks(on, LockMode::ShareUpdateExclusive)
            .done_when(valid)
            .undo(Undo::nothing("dropping the constraint undoes its validation")),
    ];
    if context.facts.server_version < NAMED_NOT_NULL {
        let nullable = each(&|_, column| format!("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL"));
        let is_set = columns.iter().map(|(_, column)| Is::NotNull { column: (*column).to_owned(), is: true }.on(on));
        steps.push(
            Step::new(phase, What::NotNullSet, "set NOT NULL from the proof", set)
                .locks(on, LockMode::AccessExclusive)
                .done_when(is_set)
                .supersedes([StepKey::new(phase, What::NotNullValidate)])
                .undo(Undo::by(nullable)),
        );
    }
    steps
}

/// Returns what adds the constraint `name`, the twin of one with a name, in tables that have declared that one themselves.
fn in_children(context: &Context<'_>, name: &str, column: &str) -> Option<[String; 2]> {
    let mut twins = context.active.iter().filter(|a| !a.change.borrows() && context.tag.not_null(a.position) == name);
    let own = twins.find_map(|a| a.facts.old.not_null_constraint.as_deref())?;
    let constrain = children::constrain(context, own, name, &format!("NOT NULL {column} NOT VALID"))?;
    Some([children::drop_constraint(context, name)?, constrain])
}

/// Add, validate, set; for PostgreSQL 18 the last has nothing left to do.
pub(super) fn proof(context: &Context<'_>, columns: &[(&str, &str)]) -> [Action; 3] {
    let table = context.table().sql();
    let named = context.facts.server_version >= NAMED_NOT_NULL;
    let mut add = Vec::new();
    let mut validate = Vec::new();
    let mut set = Vec::new();
    for plain in columns {
        let (name, column) = (quote_ident(plain.0), quote_ident(plain.1));
        add.push(format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}"));
        add.extend(in_children(context, plain.0, &column).filter(|_| named).into_iter().flatten());
        add.push(if named {
            format!("ALTER TABLE {table} ADD CONSTRAINT {name} NOT NULL {column} NOT VALID")
        } else {
            // IS NOT NULL is another question for a composite value, and the proof of none.
            format!("ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IS DISTINCT FROM NULL) NOT VALID")
        });
        validate.push(format!("VALIDATE CONSTRAINT {name}"));
        if !named {
            set.push(format!("ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL"));
            set.push(format!("ALTER TABLE {table} DROP CONSTRAINT {name}"));
        }
    }
    [
        Action::Transaction(add),
        Action::concurrent(format!("ALTER TABLE {table} {}", validate.join(", "))),
        Action::Transaction(set),
    ]
}

/// Returns the name of the constraint that proves NOT NULL where the plan has none: what PostgreSQL would call it where it
/// stays, and one of ours where it goes once the column is NOT NULL.
pub(super) fn name(context: &Context<'_>, position: usize, by_default: Option<&str>) -> String {
    match by_default {
        Some(name) if context.facts.server_version >= NAMED_NOT_NULL => name.to_owned(),
        _ => context.tag.not_null(position),
    }
}

/// Returns what makes retired columns NOT NULL again: the proof while they are still retired, each action of which may be
/// repeated, and what follows it once they have their names back.
pub(super) fn restore(context: &Context<'_>, columns: &[&Restore]) -> (Vec<Action>, Vec<String>) {
    if columns.is_empty() {
        return (vec![], vec![]);
    }
    let names = |column: fn(&Restore) -> &str| -> Vec<_> {
        columns.iter().map(|r| (r.constraint.as_str(), column(r))).collect()
    };
    let [add, validate, _] = proof(context, &names(|r| &r.retired));
    let [.., set] = proof(context, &names(|r| r.column.as_str()));
    let set = if let Action::Transaction(statements) = set { statements } else { vec![] };
    (vec![add, validate], set)
}

/// Lets the column be empty. Since PostgreSQL 18 a partition, or a table that inherits, may keep NOT NULL when the table loses it.
pub(super) fn dropped(context: &Context<'_>, column: &str) -> Vec<String> {
    let (table, quoted) = (context.table().sql(), quote_ident(column));
    let mut all = vec![format!("ALTER TABLE {table} ALTER COLUMN {quoted} DROP NOT NULL")];
    if context.facts.main().has_members() && context.facts.server_version >= NAMED_NOT_NULL {
        all.push(children::relax(context, column));
    }
    all
}

/// Lets old columns be empty where a value of the new one may have no way back (docs/postgres.md, "NOT NULL on the old
/// column"): at the end of `verify`, before releases that write the new column are deployed.
pub(super) fn relax(context: &Context<'_>, columns: &[&Relax], spec: CompareSpec) -> Option<Step> {
    if columns.is_empty() {
        return None;
    }
    let on = RelationId::MAIN;
    let mut statements: Vec<_> = columns.iter().flat_map(|relax| dropped(context, relax.column.as_str())).collect();
    let guards = || columns.iter().filter_map(|r| r.guard.clone());
    statements.extend(guards().flat_map(|[create, _]| create));
    let names: Vec<_> = columns.iter().map(|r| (r.constraint.as_str(), r.column.as_str())).collect();
    // NOT NULL comes back only where no row would fail it.
    let mut actions: Vec<_> = proof(context, &names).into();
    let removed: Vec<_> = guards().flat_map(|[_, drop]| drop).collect();
    actions.extend((!removed.is_empty()).then_some(Action::Transaction(removed)));
    let undo = Undo::Actions { needs: vec![Gate::NothingOnlyNew { spec, one_way: true }], actions };
    let title = "drop NOT NULL of the old column: a new value may have no way back";
    Some(
        Step::new(Phase::Verify, What::RelaxOld, title, Action::Transaction(statements))
            .locks(on, LockMode::AccessExclusive)
            .done_when(columns.iter().map(|r| Is::NotNull { column: r.column.to_string(), is: false }.on(on)))
            .undo(undo),
    )
}
