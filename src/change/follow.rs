//! What others have changed in the middle of a run, followed: what was done so far is adapted, and the rest is compiled anew.

use super::alike::alike;
use super::fragment::Stage;
use super::{
    Active, Context, beside_text, compile, constraints, foreign_keys, has_moved, indexes, is_exchanged, referring,
    sync_trigger,
};
use crate::ident::TableName;
use crate::names::LedgerSchema;
use crate::plan::Plan;
use crate::run::{
    CarriedConstraint, Child, ColumnFacts, Compiled, Facts, IndexFacts, PairFacts, Phase, Program, RelationId, State,
    Step, StepKey, TableFacts, What,
};
use crate::sql::{quote_ident, quote_literal};

/// How a run goes on.
#[derive(Debug)]
pub(crate) struct Followed {
    /// What has changed, for people.
    pub(crate) changes: Vec<String>,
    /// What adapts what was done so far, in one transaction.
    pub(crate) statements: Vec<String>,
    /// Steps whose effect these statements take back.
    pub(crate) undone: Vec<StepKey>,
    /// What the run goes on with.
    pub(crate) compiled: Compiled,
}

/// The column of a pair that is not the one whose changes are followed.
#[derive(Debug)]
pub(crate) struct Other {
    column: ColumnFacts,
    /// The storage of its type.
    type_storage: String,
}

impl Other {
    pub(crate) fn new(column: ColumnFacts, type_storage: String) -> Self {
        Self { column, type_storage }
    }
}

/// Returns how a run in `state` of a `program` that was compiled from `was` follows to `now`; `None` if nothing has changed.
///
/// # Errors
/// What would have to be done before a step that is done already.
pub(crate) fn follow(
    plan: &Plan,
    (was, now): (&Facts, &Facts),
    others: &[(usize, Other)],
    (program, state): (&Program, &State),
    ledger: &LedgerSchema,
) -> Result<Option<Followed>, Vec<String>> {
    if same(was, now) {
        return Ok(None);
    }
    let changes = differences(was, now);
    let fresh = compile(plan, now, ledger);
    let (before, after) = (Context::new(plan, was, ledger), Context::new(plan, now, ledger));
    let nullable = |facts: &Facts, at| facts.pair(at).map(|pair| pair.old.not_null);
    let null_changed = (0..was.changes.len()).any(|at| nullable(was, at) != nullable(now, at));
    let constraint = |facts: &Facts, name: &str| {
        facts.main().constraints.iter().find(|c| c.name == *name).map(|c| (c.number, c.validated))
    };
    let rebuilt = |key: &StepKey| match &key.what {
        What::Promise(name) | What::Constraint(name) | What::Validate(name)
            if constraint(was, name).is_some() || constraint(now, name).is_some() =>
        {
            constraint(was, name) != constraint(now, name)
        }
        What::Build(name) | What::Mirror(name) | What::Constraint(name) => {
            let number = |facts: &Facts| facts.main().indexes.iter().find(|i| i.name == *name).map(|i| i.number);
            number(was) != number(now)
        }
        What::Listen => was.main().listeners != now.main().listeners,
        // One step for the columns of all pairs; each can be done again.
        What::NotNullAdd | What::NotNullValidate | What::NotNullSet | What::RelaxOld => {
            null_changed && program.step(key).map(|step| &step.action) != fresh.step(key).map(|step| &step.action)
        }
        _ => false,
    };
    let begun = state.done.iter().chain(&state.maybe_ran);
    let undone: Vec<_> = begun.filter(|key| fresh.step(key).is_none() || rebuilt(key)).cloned().collect();
    let Some(reached) = state.stage() else {
        return Ok(Some(Followed {
            changes,
            statements: vec![],
            undone,
            compiled: Compiled { facts: now.clone(), program: fresh },
        }));
    };
    if reached > Stage::Soak {
        let is_new = |step: &&Step| program.step(&step.key).is_none() && !state.is_done(&step.key);
        let late: Vec<_> =
            fresh.steps.iter().filter(is_new).map(|step| format!("it is too late to {}", step.title)).collect();
        if !late.is_empty() {
            return Err([changes, late].concat());
        }
    }
    let come = now.main().children.iter().filter(|child| !was.main().children.contains(child));
    let come: Vec<_> =
        come.filter(|_| reached == Stage::Retired).map(|child| too_late_to_inherit(&child.table)).collect();
    if !come.is_empty() {
        return Err(come);
    }
    let mut statements = Vec::new();
    let drop = Taken { context: &before, stage: reached };
    statements.extend(undone.iter().rev().flat_map(|key| drop.back(key)));
    for a in &after.active {
        let Some(old) = before.active.iter().find(|b| b.position == a.position) else { continue };
        let other = others.iter().find(|(position, _)| *position == a.position);
        if let Some((_, other)) = other {
            statements.extend(mirrored(&after, a, reached, old.facts, other));
        }
    }
    statements.extend(texts(&before, &after, reached, state));
    let filled = state.is_done(&StepKey::new(Phase::Backfill, What::Fill(RelationId::MAIN)));
    statements.extend(sync_trigger::of_children(&before, &after, filled));
    statements.extend(sync_trigger::adapted(&before, &after, reached, filled));
    Ok(Some(Followed { changes, statements, undone, compiled: Compiled { facts: now.clone(), program: fresh } }))
}

/// A table that inherits from the run's since the old name was taken away.
fn too_late_to_inherit(table: &TableName) -> String {
    format!(
        "table {table} inherits from the run's table since the column got its name, too late for a sync trigger: take it out (ALTER TABLE \
         {table} NO INHERIT ...) until the run has ended"
    )
}

/// The undoing of steps whose reason is gone.
struct Taken<'a> {
    context: &'a Context<'a>,
    stage: Stage,
}

impl Taken<'_> {
    fn constraint(&self, name: &str) -> Option<&CarriedConstraint> {
        self.context.facts.main().constraints.iter().find(|constraint| constraint.name == name)
    }

    fn back(&self, key: &StepKey) -> Vec<String> {
        let table = self.context.table();
        let index = |name: &str| self.context.facts.main().indexes.iter().find(|index| index.name == name);
        match &key.what {
            What::Mirror(name) => {
                index(name).map(|index| indexes::drop_mirror(self.context, index)).unwrap_or_default()
            }
            What::Promise(name) | What::Constraint(name) if self.constraint(name).is_some() => {
                let Some(constraint) = self.constraint(name) else { return vec![] };
                // Once the twin has its name, what others have dropped was the twin.
                let exchanged = constraints::is_carried(self.context.plan, self.context.facts, constraint, self.stage);
                let (tag, number) = (&self.context.tag, constraint.number);
                let ours = if exchanged { tag.parked_constraint(number) } else { tag.twin_constraint(number) };
                constraints::drop(self.context, constraint, &ours)
            }
            What::Promise(name) | What::Constraint(name) if referring::without_twin(self.context, name).is_some() => {
                referring::without_twin(self.context, name).unwrap_or_default()
            }
            What::Build(name) | What::Constraint(name) => {
                let Some(index) = index(name) else { return vec![] };
                // Once the twin has its name, what others have dropped was the twin.
                let tag = &self.context.tag;
                let exchanged = is_exchanged(self.context.plan, index, self.stage);
                let number = index.number;
                let ours = if exchanged { tag.parked_index(number) } else { tag.twin_index(number) };
                if self.context.facts.main().partitioned {
                    return indexes::drop_in_partitions(self.context, index, &ours);
                }
                let ours = quote_ident(&ours);
                let table = index.partition.as_ref().map_or(table, |own| &own.table);
                match key.what {
                    What::Constraint(_) => {
                        vec![format!("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {ours}", table.sql())]
                    }
                    _ if index.constraint.is_some() && exchanged => vec![],
                    _ => vec![format!("DROP INDEX IF EXISTS {}.{ours}", quote_ident(&table.schema))],
                }
            }
            // What becomes of NOT NULL is mirrored.
            _ => vec![],
        }
    }
}

/// Comments and statistics targets of the other index, and comments of the other constraint, of each pair that exists.
fn texts(was: &Context<'_>, now: &Context<'_>, reached: Stage, state: &State) -> Vec<String> {
    let (table, tag) = (now.table(), &now.tag);
    let literal = |text: &Option<String>| text.as_ref().map_or_else(|| "NULL".to_owned(), |text| quote_literal(text));
    let mut all = Vec::new();
    for constraint in &now.facts.main().constraints {
        let same = |was: &&CarriedConstraint| was.number == constraint.number && was.comment != constraint.comment;
        let changed = was.facts.main().constraints.iter().any(|was| same(&was));
        if changed && state.done.iter().any(|key| key.what == What::Constraint(constraint.name.clone())) {
            let exchanged = constraints::is_carried(now.plan, now.facts, constraint, reached);
            let number = constraint.number;
            let name = if exchanged { tag.parked_constraint(number) } else { tag.twin_constraint(number) };
            let (name, text) = (quote_ident(&name), literal(&constraint.comment));
            let place = foreign_keys::place(now, constraint.place());
            all.push(format!("COMMENT ON CONSTRAINT {name} ON {place} IS {text}"));
        }
    }
    for index in &now.facts.main().indexes {
        let Some(before) = was.facts.main().indexes.iter().find(|i| i.number == index.number) else { continue };
        let exchanged = is_exchanged(now.plan, index, reached);
        let comment = |index: &IndexFacts| index.constraint.as_ref().and_then(|constraint| constraint.comment.clone());
        let done = state.done.iter().any(|key| key.what == What::Constraint(index.name.clone()));
        if comment(before) != comment(index) && done {
            let name = if exchanged { tag.parked_index(index.number) } else { tag.twin_index(index.number) };
            let (name, text) = (quote_ident(&name), literal(&comment(index)));
            let place = index.partition.as_ref().map_or(table, |own| &own.table);
            all.push(format!("COMMENT ON CONSTRAINT {name} ON {} IS {text}", place.sql()));
        }
        // Before, the twin gets both with its name.
        if exchanged && state.done.iter().any(|key| key.what == What::Build(index.name.clone())) {
            let parked = format!("{}.{}", quote_ident(&table.schema), quote_ident(&tag.parked_index(index.number)));
            if before.comment != index.comment {
                all.push(format!("COMMENT ON INDEX {parked} IS {}", literal(&index.comment)));
            }
            let gone =
                before.statistics.iter().filter(|(column, _)| !index.statistics.iter().any(|(c, _)| c == column));
            let set = |(column, target): (i16, i32)| {
                format!("ALTER INDEX {parked} ALTER COLUMN {column} SET STATISTICS {target}")
            };
            all.extend(gone.map(|(column, _)| set((*column, -1))));
            let new = index.statistics.iter().filter(|target| !before.statistics.contains(target));
            all.extend(new.map(|target| set(*target)));
        }
    }
    all
}

/// Gives the other column what `a`'s column has got since `was`.
fn mirrored(context: &Context<'_>, a: &Active<'_>, stage: Stage, facts: &PairFacts, other: &Other) -> Vec<String> {
    let was = &facts.old;
    let table = context.table().sql();
    let moved = has_moved(&a.change, stage);
    let (old, new) = a.names(&context.tag, stage);
    let column = quote_ident(if moved { &old } else { &new });
    let now = &a.facts.old;
    let alter = |what: &str| format!("ALTER TABLE {table} ALTER COLUMN {column} {what}");
    let mut all = alike((&table, &column), (was, now), (&other.column, &other.type_storage));
    let beside =
        |facts| beside_text(facts).map_or_else(|| "DROP DEFAULT".to_owned(), |text| format!("SET DEFAULT {text}"));
    if !moved && beside(facts) != beside(a.facts) {
        all.push(alter(&beside(a.facts)));
    }
    if was.not_null && !now.not_null {
        if !moved {
            let proof = quote_ident(&context.tag.not_null(a.position));
            all.push(format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {proof}"));
        }
        all.push(alter("DROP NOT NULL"));
        let [_, without_guard] = sync_trigger::never_empty(context, a);
        all.extend(without_guard);
    }
    all
}

/// Whether the same program comes of both: estimates are of no interest.
fn same(was: &Facts, now: &Facts) -> bool {
    let comparable = |facts: &Facts| {
        let mut facts = facts.clone();
        // Another minor version compiles nothing else.
        facts.server_version /= 10_000;
        for table in &mut facts.tables {
            *table = TableFacts { rows: 0, pages: 0, index_count: 0, index_bytes: 0, ..table.clone() };
        }
        facts
    };
    comparable(was) == comparable(now)
}

/// What is not the same, for people.
fn differences(was: &Facts, now: &Facts) -> Vec<String> {
    let mut all = Vec::new();
    if was.main().name != now.main().name {
        all.push(format!("table {} is called {} now", was.main().name, now.main().name));
    }
    let (old, new) = (&was.main().children, &now.main().children);
    let name = &now.main().name;
    let but = |all: &[Child], others: &[Child]| {
        all.iter().filter(|child| !others.contains(child)).map(|child| child.table.clone()).collect::<Vec<_>>()
    };
    all.extend(but(old, new).iter().map(|table| format!("table {table} no longer inherits from {name}")));
    all.extend(but(new, old).iter().map(|table| format!("table {table} inherits from {name} now")));
    for (number, (a, b)) in was.changes.iter().zip(&now.changes).enumerate() {
        match (was.pair(number), now.pair(number)) {
            (Some(was), Some(now)) if was.old != now.old => all.extend(of_column(&was.old, &now.old)),
            _ if a != b => all.push(format!("what change {} of the plan depends on", number + 1)),
            _ => {}
        }
    }
    let (old, new) = (&was.main().indexes, &now.main().indexes);
    for index in old {
        match new.iter().find(|other| other.name == index.name) {
            None => all.push(format!("index {} was dropped", index.name)),
            Some(other) if other.definition != index.definition || other.number != index.number => {
                all.push(format!("index {} was changed to {}", index.name, other.definition));
            }
            Some(other) if other != index => {
                all.push(format!("settings or comment of index {} were changed", index.name));
            }
            Some(_) => {}
        }
    }
    let added = new.iter().filter(|index| !old.iter().any(|other| other.name == index.name));
    all.extend(added.map(|index| format!("index {} was created", index.name)));
    if was.main().key != now.main().key {
        all.push("the primary key was changed".to_owned());
    }
    let (old, new) = (&was.main().constraints, &now.main().constraints);
    for constraint in old {
        match new.iter().find(|other| other.name == constraint.name) {
            None => all.push(format!("constraint {} was dropped", constraint.name)),
            Some(other) if other != constraint => {
                all.push(format!("constraint {} was changed to {}", constraint.name, other.definition));
            }
            Some(_) => {}
        }
    }
    let added = new.iter().filter(|constraint| !old.iter().any(|other| other.name == constraint.name));
    all.extend(added.map(|constraint| format!("constraint {} was created", constraint.name)));
    let (old, new) = (&was.main().referring, &now.main().referring);
    let gone = old.iter().filter(|key| !new.iter().any(|other| other.number == key.number));
    all.extend(gone.map(|key| format!("foreign key {}, which refers to the column, was dropped or changed", key.name)));
    let added = new.iter().filter(|key| !old.iter().any(|other| other.number == key.number));
    all.extend(added.map(|key| format!("foreign key {}, which refers to the column, was created", key.name)));
    let (old, new) = (&was.main().made_anew, &now.main().made_anew);
    all.extend(old.iter().filter(|what| !new.contains(what)).map(|what| format!("{what} is not there any more")));
    all.extend(new.iter().filter(|what| !old.contains(what)).map(|what| format!("{what} was created")));
    if was.main().publications != now.main().publications {
        all.push("the publications of the table were changed".to_owned());
    }
    if was.functions != now.functions {
        all.push("a function that gets another body was changed".to_owned());
    }
    if was.main().functions_to_touch != now.main().functions_to_touch {
        all.push("functions that use the table were created, changed or dropped".to_owned());
    }
    all
}

fn of_column(was: &ColumnFacts, now: &ColumnFacts) -> Vec<String> {
    let says = |what: &str, text: Option<String>| {
        format!("the column's {what}: {}", text.unwrap_or_else(|| "none".to_owned()))
    };
    let mut all = Vec::new();
    if was.effective_default() != now.effective_default() {
        all.push(says("default", now.effective_default().map(ToOwned::to_owned)));
    }
    if was.not_null != now.not_null {
        all.push(if now.not_null { "the column is NOT NULL" } else { "the column may be NULL" }.to_owned());
    }
    if was.comment != now.comment {
        all.push(says("comment", now.comment.clone()));
    }
    if was.statistics != now.statistics {
        all.push(says("statistics target", now.statistics.map(|target| target.to_string())));
    }
    if was.options != now.options {
        all.push(says("options", (!now.options.is_empty()).then(|| now.options.join(", "))));
    }
    if (&was.storage, &was.compression) != (&now.storage, &now.compression) {
        all.push(says("storage", now.storage.clone().or_else(|| now.compression.clone())));
    }
    let grant = |(to, privilege, _): &(String, String, bool)| format!("{privilege} to {to}");
    if was.grants != now.grants {
        let grants: Vec<_> = now.grants.iter().map(grant).collect();
        all.push(says("grants", (!grants.is_empty()).then(|| grants.join(", "))));
    }
    all
}
