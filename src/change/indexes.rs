//! Twins of the old column's indexes, and the indexes that the plan adds.

use super::{Context, Stage, step_id};
use crate::ident::{ColumnName, StepId};
use crate::plan::{AddIndex, Change, CopyIndexes};
use crate::run::{Action, Condition, IndexFacts, IndexName, Phase, Step, Undo};
use crate::sql::{LockMode, quote_ident, quote_literal};

/// The indexes that get a twin, with their position (which is in the twin's name).
fn copied<'a>(context: &'a Context<'_>) -> impl Iterator<Item = (usize, &'a IndexFacts)> {
    let all = context.plan.indexes.copy == CopyIndexes::All;
    let active = |index: &IndexFacts| index.changes.iter().any(|i| context.active.iter().any(|a| a.position == *i));
    context.facts.indexes.iter().enumerate().filter(move |(_, index)| all && active(index))
}

fn twin_name(context: &Context<'_>, position: usize) -> String {
    context.tag.name(&format!("ix{}", position + 1))
}

/// The old index's name once the twin has taken its own.
fn parked_name(context: &Context<'_>, position: usize) -> String {
    context.tag.name(&format!("old_ix{}", position + 1))
}

/// Names of the indexes and constraints that go with the old column.
pub(super) fn parked_names(context: &Context<'_>) -> Vec<String> {
    let copied_positions: Vec<_> = copied(context).map(|(position, _)| position).collect();
    let name = |(position, index): (usize, &IndexFacts)| {
        if copied_positions.contains(&position) { parked_name(context, position) } else { index.name.clone() }
    };
    context.facts.indexes.iter().enumerate().map(name).collect()
}

/// Indexes that may stand before the backfill: all but the unique ones (traps I1, B6).
pub(super) fn early(context: &Context<'_>) -> Vec<Step> {
    let twins =
        copied(context).filter(|(_, index)| !index.unique).map(|(n, index)| twin(context, Phase::Index, n, index));
    let added = context.plan.indexes.add.iter().filter(|add| !add.unique).map(|add| plain(context, Phase::Index, add));
    twins.chain(added).collect()
}

/// Unique indexes, and the constraints over them, as late as they can be: while both columns are unique, an
/// `INSERT ... ON CONFLICT (old)` of the old release can fail on the new index (traps I1).
pub(super) fn late(context: &Context<'_>) -> Vec<Step> {
    let twins = copied(context).filter(|(_, index)| index.unique).flat_map(|(n, index)| {
        let constraint = index.constraint.is_some().then(|| constraint(context, n, index));
        [Some(twin(context, Phase::Verify, n, index)), constraint].into_iter().flatten()
    });
    let added = context.plan.indexes.add.iter().filter(|add| add.unique).map(|add| plain(context, Phase::Verify, add));
    twins.chain(added).collect()
}

/// The plan's own indexes where no column is added: all in the index phase.
pub(super) fn added(context: &Context<'_>) -> Vec<Step> {
    context.plan.indexes.add.iter().map(|add| plain(context, Phase::Index, add)).collect()
}

/// Steps whose probes name a twin's first name.
pub(super) fn twin_step_ids(context: &Context<'_>) -> Vec<StepId> {
    copied(context)
        .flat_map(|(_, index)| {
            let phase = if index.unique { Phase::Verify } else { Phase::Index };
            [step_id(phase, &index.name), step_id(phase, &format!("{}.constraint", index.name))]
        })
        .collect()
}

fn twin(context: &Context<'_>, phase: Phase, position: usize, index: &IndexFacts) -> Step {
    let name = twin_name(context, position);
    let settings = index.tablespace.iter().map(|space| ("default_tablespace".to_owned(), space.clone())).collect();
    build(
        context,
        phase,
        &index.name,
        &name,
        index.unique,
        &index.twin,
        settings,
        format!("build the twin of index {}", index.name),
    )
}

/// Returns the column that an index of the plan is built on: plans name a change's new column, but a change that is made
/// in place has none.
pub(crate) fn column_of_index<'a>(
    column: &'a ColumnName,
    mut in_place: impl Iterator<Item = &'a Change>,
) -> &'a ColumnName {
    in_place.find(|change| change.new == *column).map_or(column, |change| &change.old)
}

fn plain(context: &Context<'_>, phase: Phase, add: &AddIndex) -> Step {
    let changes = context.plan.changes.iter().zip(&context.facts.changes);
    let in_place = || changes.clone().filter(|(_, facts)| facts.metadata_only).map(|(change, _)| change);
    let columns: Vec<_> = add.columns.iter().map(|column| column_of_index(column, in_place()).sql()).collect();
    let tail = format!("USING btree ({})", columns.join(", "));
    let title = format!("build index {}", add.name);
    build(context, phase, add.name.as_str(), add.name.as_str(), add.unique, &tail, vec![], title)
}

#[expect(clippy::too_many_arguments, reason = "two callers, and a struct would only repeat the step's fields")]
fn build(
    context: &Context<'_>,
    phase: Phase,
    id: &str,
    name: &str,
    unique: bool,
    tail: &str,
    settings: Vec<(String, String)>,
    title: String,
) -> Step {
    let index = IndexName { schema: context.table().schema.clone(), name: name.to_owned() };
    let unique = if unique { "UNIQUE " } else { "" };
    let drop = Action::Concurrent {
        settings: vec![],
        statement: format!("DROP INDEX CONCURRENTLY IF EXISTS {}", index.sql()),
        builds: None,
    };
    Step {
        id: step_id(phase, id),
        phase,
        title,
        apply: Action::Concurrent {
            settings,
            statement: format!(
                "CREATE {unique}INDEX CONCURRENTLY {} ON {} {tail}",
                quote_ident(name),
                context.table().sql()
            ),
            builds: Some(index),
        },
        probe: vec![Condition::Index { name: name.to_owned() }],
        supersedes: vec![],
        undo: Undo::Actions(vec![drop]),
        lock: LockMode::ShareUpdateExclusive,
    }
}

fn constraint(context: &Context<'_>, position: usize, index: &IndexFacts) -> Step {
    let table = context.table().sql();
    let name = twin_name(context, position);
    let quoted = quote_ident(&name);
    let facts = index.constraint.as_ref();
    let deferrable = match facts {
        Some(c) if c.deferred => " DEFERRABLE INITIALLY DEFERRED",
        Some(c) if c.deferrable => " DEFERRABLE",
        _ => "",
    };
    let mut statements =
        vec![format!("ALTER TABLE {table} ADD CONSTRAINT {quoted} UNIQUE USING INDEX {quoted}{deferrable}")];
    if let Some(comment) = facts.and_then(|c| c.comment.as_ref()) {
        statements.push(format!("COMMENT ON CONSTRAINT {quoted} ON {table} IS {}", quote_literal(comment)));
    }
    Step {
        id: step_id(Phase::Verify, &format!("{}.constraint", index.name)),
        phase: Phase::Verify,
        title: format!("make the twin of {} a unique constraint", index.name),
        apply: Action::Transaction { guards: vec![], statements },
        probe: vec![Condition::Constraint { name }],
        supersedes: vec![],
        undo: Undo::Actions(vec![Action::Transaction {
            guards: vec![],
            statements: vec![format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quoted}")],
        }]),
        lock: LockMode::AccessExclusive,
    }
}

/// Whether the twin takes its original's name in the swap: all its columns keep their names.
fn at_swap(context: &Context<'_>, index: &IndexFacts) -> bool {
    let keeps = |i: &usize| context.active.iter().any(|a| a.position == *i && a.change.keeps_name());
    index.changes.iter().all(keeps)
}

/// The twins that stand under their originals' names at `stage`.
pub(super) fn renamed_facts(context: &Context<'_>, stage: Stage) -> Vec<Condition> {
    let renamed = |index: &IndexFacts| match stage {
        Stage::Soak => false,
        Stage::Swapped => at_swap(context, index),
        Stage::Retired => true,
    };
    let fact = |(_, index): (usize, &IndexFacts)| Condition::Index { name: index.name.clone() };
    copied(context).filter(|(_, index)| renamed(index)).map(fact).collect()
}

/// Gives each twin the name of its original, in the step that ends at `stage`: in the swap where all its columns keep
/// their names, else when the old column is retired. Returns the statements forth and back.
pub(super) fn exchange(context: &Context<'_>, stage: Stage) -> (Vec<String>, Vec<String>) {
    let table = context.table().sql();
    let schema = &context.table().schema;
    let (mut forth, mut back) = (Vec::new(), Vec::new());
    for (position, index) in copied(context) {
        if at_swap(context, index) != (stage == Stage::Swapped) {
            continue;
        }
        let (own, twin, parked) = (&index.name, twin_name(context, position), parked_name(context, position));
        let rename = |from: &str, to: &str| {
            if index.constraint.is_some() {
                format!("ALTER TABLE {table} RENAME CONSTRAINT {} TO {}", quote_ident(from), quote_ident(to))
            } else {
                format!("ALTER INDEX {}.{} RENAME TO {}", quote_ident(schema), quote_ident(from), quote_ident(to))
            }
        };
        forth.extend([rename(own, &parked), rename(&twin, own)]);
        back.extend([rename(own, &twin), rename(&parked, own)]);
        let qualified = format!("{}.{}", quote_ident(schema), quote_ident(own));
        forth.extend(
            index.comment.iter().map(|text| format!("COMMENT ON INDEX {qualified} IS {}", quote_literal(text))),
        );
        forth.extend(
            index.statistics.iter().map(|(column, target)| {
                format!("ALTER INDEX {qualified} ALTER COLUMN {column} SET STATISTICS {target}")
            }),
        );
        if index.clustered {
            let cluster = format!("ALTER TABLE {table} CLUSTER ON {}", quote_ident(own));
            forth.push(cluster.clone());
            back.push(cluster);
        }
    }
    (forth, back)
}
