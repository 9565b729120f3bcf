//! NOT NULL without a scan under a strong lock: a constraint that is not validated, VALIDATE, then the column's own
//! NOT NULL, which PostgreSQL takes from the valid constraint without reading the table (traps C1).

use super::{Active, Context, Stage, step_id};
use crate::ident::StepId;
use crate::run::{Action, Condition, Gate, Phase, Step, Undo};
use crate::sql::{LockMode, quote_ident};

/// NOT NULL became a named constraint that can be added without validation.
const NAMED_NOT_NULL: u32 = 180_000;

fn constraint_name(context: &Context<'_>, a: &Active<'_>) -> String {
    context.tag.name(&format!("nn{}", a.position + 1))
}

/// Where the proof belongs: with the check of all rows, unless a value that does not convert would then make an
/// application's write fail; such a column is proved once nobody writes through the old one.
fn proof_phase(a: &Active<'_>) -> Phase {
    if a.facts.forward.is_total() { Phase::Verify } else { Phase::Contract }
}

/// Steps whose probes name columns by their first names.
pub(super) fn step_ids() -> Vec<StepId> {
    [Phase::Verify, Phase::Contract]
        .into_iter()
        .flat_map(|phase| ["add", "validate", "set"].map(|what| step_id(phase, &format!("not_null_{what}"))))
        .collect()
}

/// The steps that make the new columns NOT NULL in `phase`, under their names at `stage`.
pub(super) fn prove(context: &Context<'_>, phase: Phase, stage: Stage) -> Vec<Step> {
    let columns: Vec<_> = context
        .active
        .iter()
        .filter(|a| a.facts.old.not_null && proof_phase(a) == phase)
        .map(|a| (constraint_name(context, a), a.names(&context.tag, stage).1))
        .collect();
    if columns.is_empty() {
        return vec![];
    }
    let named = context.facts.server_version >= NAMED_NOT_NULL;
    let [add, validate, set] = proof(context, &columns);
    let step = |what: &str, title: &str, apply, probe, undo, lock| Step {
        id: step_id(phase, &format!("not_null_{what}")),
        phase,
        title: title.to_owned(),
        apply,
        probe,
        supersedes: vec![],
        undo,
        lock,
    };
    let constraints = || columns.iter().map(|(name, _)| Condition::Constraint { name: name.clone() });
    let table = context.table().sql();
    let drop =
        columns.iter().map(|(name, _)| format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {}", quote_ident(name)));
    let drop = Undo::Actions(vec![Action::Transaction { guards: vec![], statements: drop.collect() }]);
    let mut steps = vec![
        step("add", "promise NOT NULL for new rows", add, vec![], drop, LockMode::AccessExclusive),
        step(
            "validate",
            "prove NOT NULL for all rows, while writers go on",
            validate,
            constraints().collect(),
            Undo::Nothing("a validated constraint goes when it is dropped".to_owned()),
            LockMode::ShareUpdateExclusive,
        ),
    ];
    if !named {
        let nullable = columns
            .iter()
            .map(|(_, column)| format!("ALTER TABLE {table} ALTER COLUMN {} DROP NOT NULL", quote_ident(column)));
        let nullable = Undo::Actions(vec![Action::Transaction { guards: vec![], statements: nullable.collect() }]);
        let is_set =
            columns.iter().map(|(_, column)| Condition::NotNull { column: column.clone(), is: true }).collect();
        steps.push(Step {
            supersedes: vec![step_id(phase, "not_null_validate")],
            ..step("set", "set NOT NULL from the proof", set, is_set, nullable, LockMode::AccessExclusive)
        });
    }
    steps
}

/// Add, validate, set; for PostgreSQL 18 the last has nothing left to do.
fn proof(context: &Context<'_>, columns: &[(String, String)]) -> [Action; 3] {
    let table = context.table().sql();
    let named = context.facts.server_version >= NAMED_NOT_NULL;
    let mut add = Vec::new();
    let mut validate = Vec::new();
    let mut set = Vec::new();
    for (name, column) in columns {
        let (name, column) = (quote_ident(name), quote_ident(column));
        add.push(format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}"));
        add.push(if named {
            format!("ALTER TABLE {table} ADD CONSTRAINT {name} NOT NULL {column} NOT VALID")
        } else {
            format!("ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IS NOT NULL) NOT VALID")
        });
        validate.push(format!("VALIDATE CONSTRAINT {name}"));
        if !named {
            set.push(format!("ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL"));
            set.push(format!("ALTER TABLE {table} DROP CONSTRAINT {name}"));
        }
    }
    [
        Action::Transaction { guards: vec![], statements: add },
        Action::Concurrent {
            settings: vec![],
            statement: format!("ALTER TABLE {table} {}", validate.join(", ")),
            builds: None,
        },
        Action::Transaction { guards: vec![], statements: set },
    ]
}

/// Whether a write through the new column may leave the old one empty, so that the old one cannot stay NOT NULL.
fn must_relax(a: &Active<'_>) -> bool {
    a.facts.old.not_null && !a.facts.reverse.is_total()
}

/// Lets the old columns be empty where a value of the new one may have no way back (traps S10): at the end of `verify`,
/// when the releases that write the new column may come.
pub(super) fn relax_old(context: &Context<'_>) -> Option<Step> {
    let table = context.table().sql();
    let columns: Vec<_> = context.active.iter().filter(|a| must_relax(a)).collect();
    if columns.is_empty() {
        return None;
    }
    let statements = columns
        .iter()
        .map(|a| format!("ALTER TABLE {table} ALTER COLUMN {} DROP NOT NULL", a.change.old.sql()))
        .collect();
    let names: Vec<_> = columns
        .iter()
        .map(|a| {
            // PostgreSQL 18 dropped the named constraint; it comes back under its own name.
            let own = a.facts.old.not_null_constraint.clone();
            (own.unwrap_or_else(|| context.tag.name(&format!("nn_old{}", a.position + 1))), a.change.old.to_string())
        })
        .collect();
    let [mut add, validate, set] = proof(context, &names);
    if let Action::Transaction { guards, .. } = &mut add {
        // NOT NULL comes back only where no row would fail it.
        guards.push(Gate::NothingOnlyNew { spec: context.verify_spec(Stage::Soak), one_way: true });
    }
    Some(Step {
        id: step_id(Phase::Verify, "relax_old"),
        phase: Phase::Verify,
        title: "let the old column be empty: a new value may have no way back".to_owned(),
        apply: Action::Transaction { guards: vec![], statements },
        probe: columns.iter().map(|a| Condition::NotNull { column: a.change.old.to_string(), is: false }).collect(),
        supersedes: vec![],
        undo: Undo::Actions(vec![add, validate, set]),
        lock: LockMode::AccessExclusive,
    })
}

/// PostgreSQL 18 keeps a NOT NULL constraint's name through a rename: gives the new column's the old one's name, in the
/// swap where the column keeps its name and its proof is there already, else when the old column is retired. Returns
/// the statements forth and back.
pub(super) fn exchange(context: &Context<'_>, stage: Stage) -> (Vec<String>, Vec<String>) {
    let table = context.table().sql();
    let (mut forth, mut back) = (Vec::new(), Vec::new());
    for a in &context.active {
        let at_swap = a.change.keeps_name() && proof_phase(a) == Phase::Verify;
        let Some(own) = a.facts.old.not_null_constraint.as_ref().filter(|_| at_swap == (stage == Stage::Swapped))
        else {
            continue;
        };
        let twin = constraint_name(context, a);
        let parked = context.tag.name(&format!("old_nn{}", a.position + 1));
        let rename = |from: &str, to: &str| {
            format!("ALTER TABLE {table} RENAME CONSTRAINT {} TO {}", quote_ident(from), quote_ident(to))
        };
        // A relaxed column has no constraint to park.
        let parks = !must_relax(a);
        forth.extend(parks.then(|| rename(own, &parked)));
        forth.push(rename(&twin, own));
        back.push(rename(own, &twin));
        back.extend(parks.then(|| rename(&parked, own)));
    }
    (forth, back)
}
