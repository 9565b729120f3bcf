//! Plan and facts become steps. A pure function: no connection, no clock, no randomness, so that the dry run prints
//! exactly what a run would do.

mod conversion;
mod indexes;
mod not_null;
mod sync_trigger;
mod trial;

pub(crate) use indexes::column_of_index;
pub(crate) use sync_trigger::REPAIR_SETTING;

use crate::ident::{RunTag, StepId, TableName};
use crate::names::LedgerSchema;
use crate::plan::{BuildIndexes, Change, Plan};
use crate::run::{Action, ChangeFacts, CompareSpec, Condition, Facts, FillSpec, Gate, Phase, Program, Step, Undo};
use crate::sql::{LockMode, quote_ident, quote_literal};

pub(crate) use trial::{Trial, TrialColumn};

/// Which names the columns have, as the run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Both columns under the plan's names.
    Soak,
    /// Changes that keep the name have swapped it.
    Swapped,
    /// The old columns are renamed away.
    Retired,
}

/// Everything the parts of the compiler need.
struct Context<'a> {
    plan: &'a Plan,
    facts: &'a Facts,
    ledger: &'a LedgerSchema,
    tag: RunTag,
    /// The changes that need a new column, with their position in the plan.
    active: Vec<Active<'a>>,
}

/// A change that needs a new column.
#[derive(Clone, Copy)]
struct Active<'a> {
    position: usize,
    change: &'a Change,
    facts: &'a ChangeFacts,
}

impl Active<'_> {
    /// The names of (old, new), not quoted, at `stage`.
    fn names(&self, tag: &RunTag, stage: Stage) -> (String, String) {
        let (old, new) = (self.change.old.to_string(), self.change.new.to_string());
        match stage {
            Stage::Swapped if self.change.keeps_name() => (new, old),
            Stage::Soak | Stage::Swapped => (old, new),
            Stage::Retired => (self.retired_name(tag), self.change.final_name().to_string()),
        }
    }

    fn retired_name(&self, tag: &RunTag) -> String {
        tag.name(&format!("old_{}", self.change.old))
    }
}

impl<'a> Context<'a> {
    fn new(plan: &'a Plan, facts: &'a Facts, ledger: &'a LedgerSchema) -> Self {
        let active = plan.changes.iter().zip(&facts.changes).enumerate();
        let active = active.filter(|(_, (_, facts))| !facts.metadata_only);
        let active = active.map(|(position, (change, facts))| Active { position, change, facts }).collect();
        Self { plan, facts, ledger, tag: plan.tag(), active }
    }

    fn table(&self) -> &TableName {
        &self.plan.table
    }

    fn any_keeps_name(&self) -> bool {
        self.active.iter().any(|a| a.change.keeps_name())
    }

    fn verify_spec(&self, stage: Stage) -> CompareSpec {
        let key = if self.facts.key.is_empty() {
            vec!["ctid".to_owned()]
        } else {
            self.facts.key.iter().map(|column| quote_ident(column)).collect()
        };
        let pairs = self.active.iter().map(|a| conversion::pair(self, a, stage)).collect();
        CompareSpec { table: self.table().clone(), key, pairs }
    }

    fn backfill_spec(&self) -> FillSpec {
        let fills = self.active.iter().map(|a| conversion::fill(self, a)).collect();
        FillSpec { table: self.table().clone(), fills }
    }

    /// The facts that hold between expand and the next renaming.
    fn layout(&self, stage: Stage) -> Vec<Condition> {
        let mut facts = Vec::new();
        for a in &self.active {
            let (old, new) = a.names(&self.tag, stage);
            facts.push(Condition::Column { name: old, type_name: a.facts.old.type_name.clone() });
            facts.push(Condition::Column { name: new, type_name: a.facts.new_type.clone() });
        }
        facts.push(sync_trigger::function_fact(self, stage));
        facts.extend(sync_trigger::trigger_names(self).into_iter().map(|name| Condition::Trigger { name }));
        facts.extend(indexes::renamed_facts(self, stage));
        facts
    }
}

/// Returns the whole run of `plan` on the table that `facts` describe.
pub fn compile(plan: &Plan, facts: &Facts, ledger: &LedgerSchema) -> Program {
    let context = Context::new(plan, facts, ledger);
    let mut phases = Phase::ALL.to_vec();
    if plan.indexes.build == BuildIndexes::AfterBackfill {
        phases.swap(1, 2);
    }
    let mut steps = alter_in_place(&context);
    if context.active.is_empty() {
        steps.extend(indexes::added(&context));
    } else {
        steps.push(expand(&context));
        steps.extend(indexes::early(&context));
        steps.extend(backfill(&context));
        steps.extend(verify(&context));
        steps.extend(switch(&context));
        steps.extend(contract(&context));
    }
    // A stable sort: the order inside a phase stays.
    steps.sort_by_key(|step| phases.iter().position(|phase| *phase == step.phase));
    Program { table: plan.table.clone(), tag: plan.tag(), phases, steps }
}

fn step_id(phase: Phase, what: &str) -> StepId {
    StepId(format!("{phase}.{what}"))
}

/// Changes for which PostgreSQL only touches the catalog: no new column, no backfill, nothing to switch.
fn alter_in_place(context: &Context<'_>) -> Vec<Step> {
    let in_place = context.plan.changes.iter().zip(&context.facts.changes).filter(|(_, facts)| facts.metadata_only);
    let step = |(change, facts): (&Change, &ChangeFacts)| Step {
        id: step_id(Phase::Expand, &format!("alter.{}", change.old)),
        phase: Phase::Expand,
        title: format!("change the type of {} in place: PostgreSQL only touches the catalog", change.old),
        apply: Action::Transaction {
            guards: vec![],
            statements: vec![format!(
                "ALTER TABLE {} ALTER COLUMN {} TYPE {}{}",
                context.table().sql(),
                change.old.sql(),
                facts.new_type,
                facts.new_collate
            )],
        },
        probe: vec![Condition::Column { name: change.old.to_string(), type_name: facts.new_type.clone() }],
        supersedes: vec![],
        undo: if context.active.is_empty() {
            Undo::PointOfNoReturn(format!(
                "narrowing {} back to {} would rewrite or scan the table; make a plan for it",
                change.old, facts.old.type_name
            ))
        } else {
            Undo::Nothing(format!("{} keeps the wider type, which holds every value it had", change.old))
        },
        lock: LockMode::AccessExclusive,
    };
    in_place.map(step).collect()
}

/// Column, helper functions and triggers in one transaction: a commit in between would leave writes unsynced.
fn expand(context: &Context<'_>) -> Step {
    let table = context.table().sql();
    let mut statements = Vec::new();
    for a in &context.active {
        let new = a.change.new.sql();
        statements.push(format!("ALTER TABLE {table} ADD COLUMN {new} {}{}", a.facts.new_type, a.facts.new_collate));
        statements.extend(column_attributes(&table, a));
    }
    statements.extend(sync_trigger::create(context));
    let mut undo = sync_trigger::drop(context);
    undo.extend(
        context.active.iter().map(|a| format!("ALTER TABLE {table} DROP COLUMN IF EXISTS {}", a.change.new.sql())),
    );
    Step {
        id: step_id(Phase::Expand, "columns"),
        phase: Phase::Expand,
        title: "add the new column, its sync trigger and the write counters".to_owned(),
        apply: Action::Transaction { guards: vec![], statements },
        probe: context.layout(Stage::Soak),
        supersedes: vec![],
        undo: Undo::Actions(vec![Action::Transaction {
            guards: vec![Gate::NothingOnlyNew {
                spec: context.verify_spec(Stage::Soak),
                one_way: context.active.iter().any(|a| !a.facts.reverse.is_total()),
            }],
            statements: undo,
        }]),
        lock: LockMode::AccessExclusive,
    }
}

/// What ALTER would have kept on the column: traps E2 and E5. A rename keeps everything, a type change resets storage
/// and compression.
fn column_attributes(table: &str, a: &Active<'_>) -> Vec<String> {
    let old = &a.facts.old;
    let new = a.change.new.sql();
    let alter = format!("ALTER TABLE {table} ALTER COLUMN {new}");
    let mut statements = Vec::new();
    if matches!(a.change.kind, crate::plan::ChangeKind::Rename) {
        statements.extend(old.storage.iter().map(|word| format!("{alter} SET STORAGE {word}")));
        statements.extend(old.compression.iter().map(|word| format!("{alter} SET COMPRESSION {word}")));
    }
    statements.extend(old.statistics.map(|target| format!("{alter} SET STATISTICS {target}")));
    if !old.options.is_empty() {
        statements.push(format!("{alter} SET ({})", old.options.join(", ")));
    }
    statements
        .extend(old.comment.iter().map(|text| format!("COMMENT ON COLUMN {table}.{new} IS {}", quote_literal(text))));
    statements.extend(old.grants.iter().map(|(grantee, privilege, grantable)| {
        let option = if *grantable { " WITH GRANT OPTION" } else { "" };
        format!("GRANT {privilege} ({new}) ON {table} TO {grantee}{option}")
    }));
    statements
}

fn backfill(context: &Context<'_>) -> Vec<Step> {
    let columns: Vec<_> = context.active.iter().map(|a| a.change.new.sql()).collect();
    let rows = Step {
        id: step_id(Phase::Backfill, "rows"),
        phase: Phase::Backfill,
        title: "fill the rows that existed before the trigger".to_owned(),
        apply: Action::Backfill(context.backfill_spec()),
        probe: vec![],
        supersedes: vec![],
        undo: Undo::Nothing("the filled column goes when expand is undone".to_owned()),
        lock: LockMode::RowExclusive,
    };
    let analyze = Step {
        id: step_id(Phase::Backfill, "analyze"),
        phase: Phase::Backfill,
        title: "gather statistics, so that the first plans over the new column are good ones".to_owned(),
        apply: Action::Concurrent {
            settings: vec![],
            statement: format!("ANALYZE {} ({})", context.table().sql(), columns.join(", ")),
            builds: None,
        },
        probe: vec![],
        supersedes: vec![],
        undo: Undo::Nothing("statistics go with the column".to_owned()),
        lock: LockMode::ShareUpdateExclusive,
    };
    vec![rows, analyze]
}

fn verify_step(context: &Context<'_>, phase: Phase, stage: Stage, title: &str) -> Step {
    let what = if phase == Phase::Verify { "rows" } else { "verify" };
    Step {
        id: step_id(phase, what),
        phase,
        title: title.to_owned(),
        apply: Action::Verify(context.verify_spec(stage)),
        probe: vec![],
        supersedes: vec![],
        undo: Undo::Nothing("a check changes nothing".to_owned()),
        lock: LockMode::AccessShare,
    }
}

fn verify(context: &Context<'_>) -> Vec<Step> {
    let mut steps = vec![verify_step(context, Phase::Verify, Stage::Soak, "compare old and new column of every row")];
    steps.extend(indexes::late(context));
    steps.extend(not_null::prove(context, Phase::Verify, Stage::Soak));
    steps.extend(not_null::relax_old(context));
    steps
}

fn switch(context: &Context<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    if context.any_keeps_name() {
        steps.push(swap(context));
    }
    let quiet = context.plan.contract.quiet;
    steps.push(Step {
        id: step_id(Phase::Switch, "quiet"),
        phase: Phase::Switch,
        title: "wait until nobody writes through the old column".to_owned(),
        apply: Action::AwaitQuiet { quiet },
        probe: vec![],
        supersedes: vec![],
        undo: Undo::Nothing("waiting changes nothing".to_owned()),
        lock: LockMode::None,
    });
    steps.push(verify_step(
        context,
        Phase::Switch,
        Stage::Swapped,
        "compare every row again before the old column goes",
    ));
    steps
}

/// Exchanges the names of old and new column, with defaults and names of indexes and constraints.
fn swap(context: &Context<'_>) -> Step {
    let table = context.table().sql();
    let keepers: Vec<_> = context.active.iter().filter(|a| a.change.keeps_name()).collect();
    let mut statements = Vec::new();
    let mut undo = Vec::new();
    for a in &keepers {
        let (old, new) = (a.change.old.sql(), a.change.new.sql());
        let between = quote_ident(&context.tag.name(&format!("swap_{}", a.position)));
        let exchange = [
            format!("ALTER TABLE {table} RENAME COLUMN {old} TO {between}"),
            format!("ALTER TABLE {table} RENAME COLUMN {new} TO {old}"),
            format!("ALTER TABLE {table} RENAME COLUMN {between} TO {new}"),
        ];
        // The exchange is its own inverse.
        undo.extend(exchange.clone());
        statements.extend(exchange);
        // After the exchange the old column has the new one's name.
        let (forth, back) = default_moves(&table, a, &new, &old, &old, &new);
        statements.extend(forth);
        undo.extend(back);
    }
    let (forth, back) = indexes::exchange(context, Stage::Swapped);
    statements.extend(forth);
    undo.extend(back);
    let (forth, back) = not_null::exchange(context, Stage::Swapped);
    statements.extend(forth);
    undo.extend(back);
    statements.push(sync_trigger::function(context, Stage::Swapped));
    undo.push(sync_trigger::function(context, Stage::Soak));
    let touch: Vec<_> = context
        .facts
        .functions_to_touch
        .iter()
        .map(|function| format!("ALTER FUNCTION {} COST {}", function.signature, function.cost))
        .collect();
    statements.extend(touch.clone());
    undo.extend(touch);
    Step {
        id: step_id(Phase::Switch, "swap"),
        phase: Phase::Switch,
        title: "exchange the names of old and new column".to_owned(),
        apply: Action::Transaction {
            guards: vec![Gate::Verified { max_age: context.plan.verify.max_age }],
            statements,
        },
        probe: context.layout(Stage::Swapped),
        supersedes: renamed_steps(context).into_iter().chain([step_id(Phase::Verify, "relax_old")]).collect(),
        undo: Undo::Actions(vec![Action::Transaction { guards: vec![], statements: undo }]),
        lock: LockMode::AccessExclusive,
    }
}

/// Steps whose probes name columns, indexes or constraints that a renaming step gives other names.
fn renamed_steps(context: &Context<'_>) -> Vec<StepId> {
    let mut ids = vec![step_id(Phase::Expand, "columns")];
    ids.extend(indexes::twin_step_ids(context));
    ids.extend(not_null::step_ids());
    ids
}

/// Returns the statements that move the default from the old column to the new one, and those that move it back.
/// `old` and `new` are the names at the moment of the move, `old_before` and `new_before` those before the step.
fn default_moves(
    table: &str,
    a: &Active<'_>,
    old: &str,
    new: &str,
    old_before: &str,
    new_before: &str,
) -> (Vec<String>, Vec<String>) {
    let Some(default) = &a.facts.old.default else { return (vec![], vec![]) };
    let new_default = a.facts.new_default.as_ref().unwrap_or(default);
    let alter = |column: &str, what: String| format!("ALTER TABLE {table} ALTER COLUMN {column} {what}");
    (
        vec![alter(old, "DROP DEFAULT".to_owned()), alter(new, format!("SET DEFAULT {new_default}"))],
        vec![alter(new_before, "DROP DEFAULT".to_owned()), alter(old_before, format!("SET DEFAULT {default}"))],
    )
}

fn contract(context: &Context<'_>) -> Vec<Step> {
    let mut steps = not_null::prove(context, Phase::Contract, Stage::Swapped);
    steps.push(retire(context));
    let grace = context.plan.contract.grace;
    if !grace.is_zero() {
        steps.push(Step {
            id: step_id(Phase::Contract, "grace"),
            phase: Phase::Contract,
            title: "keep the retired column, still in sync, for a while".to_owned(),
            apply: Action::AwaitGrace { grace },
            probe: vec![],
            supersedes: vec![],
            undo: Undo::Nothing("waiting changes nothing".to_owned()),
            lock: LockMode::None,
        });
    }
    steps.push(verify_step(context, Phase::Contract, Stage::Retired, "compare every row a last time"));
    steps.push(drop_old(context));
    steps
}

/// Renames the old column away. It stays in sync, so that the way back is one short transaction.
fn retire(context: &Context<'_>) -> Step {
    let table = context.table().sql();
    let before = Stage::Swapped;
    let mut statements = Vec::new();
    let mut undo = Vec::new();
    for a in &context.active {
        let (old, new) = a.names(&context.tag, before);
        let retired = a.retired_name(&context.tag);
        let (old, new, retired) = (quote_ident(&old), quote_ident(&new), quote_ident(&retired));
        statements.push(format!("ALTER TABLE {table} RENAME COLUMN {old} TO {retired}"));
        undo.push(format!("ALTER TABLE {table} RENAME COLUMN {retired} TO {old}"));
        if !a.change.keeps_name() {
            let (forth, back) = default_moves(&table, a, &retired, &new, &old, &new);
            statements.extend(forth);
            undo.extend(back);
        }
    }
    let (forth, back) = indexes::exchange(context, Stage::Retired);
    statements.extend(forth);
    undo.extend(back);
    let (forth, back) = not_null::exchange(context, Stage::Retired);
    statements.extend(forth);
    undo.extend(back);
    statements.push(sync_trigger::function(context, Stage::Retired));
    undo.push(sync_trigger::function(context, before));
    let mut supersedes = renamed_steps(context);
    supersedes.push(step_id(Phase::Switch, "swap"));
    supersedes.push(step_id(Phase::Verify, "relax_old"));
    let plan = context.plan;
    Step {
        id: step_id(Phase::Contract, "retire"),
        phase: Phase::Contract,
        title: "rename the old column away; it stays in sync".to_owned(),
        apply: Action::Transaction {
            guards: vec![Gate::Verified { max_age: plan.verify.max_age }, Gate::Quiet { quiet: plan.contract.quiet }],
            statements,
        },
        probe: context.layout(Stage::Retired),
        supersedes,
        undo: Undo::Actions(vec![Action::Transaction { guards: vec![], statements: undo }]),
        lock: LockMode::AccessExclusive,
    }
}

/// Drops the retired column, triggers and helpers. Never CASCADE: an unknown dependant must stop it.
fn drop_old(context: &Context<'_>) -> Step {
    let table = context.table().sql();
    let mut guards = vec![Gate::Verified { max_age: context.plan.verify.max_age }];
    let mut statements = sync_trigger::drop(context);
    let mut probe = Vec::new();
    for a in &context.active {
        let retired = a.retired_name(&context.tag);
        guards.push(Gate::NoDependants { column: retired.clone(), except: indexes::parked_names(context) });
        statements.push(format!("ALTER TABLE {table} DROP COLUMN {}", quote_ident(&retired)));
        probe.push(Condition::NoColumn { name: retired });
        probe.push(Condition::Column { name: a.change.final_name().to_string(), type_name: a.facts.new_type.clone() });
    }
    probe.push(Condition::NoFunction { name: sync_trigger::function_name(&context.tag) });
    Step {
        id: step_id(Phase::Contract, "drop"),
        phase: Phase::Contract,
        title: "drop the old column, the triggers and the helpers".to_owned(),
        apply: Action::Transaction { guards, statements },
        probe,
        supersedes: vec![step_id(Phase::Contract, "retire")],
        undo: Undo::PointOfNoReturn("the old column is gone".to_owned()),
        lock: LockMode::AccessExclusive,
    }
}
