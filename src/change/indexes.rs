//! Twins of the old column's indexes, and the indexes that the plan adds.

mod partitions;

use super::fragment::{ByStage, Fragment, Moves, Stage};
use super::{Context, is_exchanged};
use crate::ident::{ColumnName, TableName};
use crate::plan::{AddIndex, Pair};
use crate::run::{
    Action, ConstraintFacts, IndexFacts, IndexName, Is, MirrorIndex, Phase, RelationId, Step, StepKey, Undo, What,
};
use crate::sql::{LockMode, quote_ident, quote_literal};
use partitions::Built;

/// The indexes that have another on new columns, with their number (which is in its name).
fn wanted<'a>(context: &'a Context<'_>) -> impl Iterator<Item = (usize, &'a IndexFacts)> {
    let indexes = &context.plan.indexes;
    // What the table or another one cannot do without.
    let needed = |index: &IndexFacts| {
        is_primary(index) || index.replica_identity || index.unique && !context.facts.main().referring.is_empty()
    };
    let all = context.facts.main().indexes.iter().map(|index| (index.number, index));
    all.filter(move |(_, index)| (indexes.copies(&index.name) || needed(index)) && of(context, index).next().is_some())
}

/// The pairs with a column in the index.
fn of<'a>(context: &'a Context<'_>, index: &'a IndexFacts) -> impl Iterator<Item = &'a super::Active<'a>> {
    context.active.iter().filter(|a| index.changes.contains(&a.position))
}

/// The indexes that get a twin, which takes their place.
fn copied<'a>(context: &'a Context<'_>) -> impl Iterator<Item = (usize, &'a IndexFacts)> {
    wanted(context).filter(|(_, index)| of(context, index).any(|a| !a.change.borrows()))
}

/// The indexes that stay, with what is built on the columns that lend their names, for as long as they do.
fn mirrored<'a>(context: &'a Context<'_>) -> impl Iterator<Item = (usize, &'a IndexFacts, &'a MirrorIndex)> {
    let stays = wanted(context).filter(|(_, index)| of(context, index).all(|a| a.change.borrows()));
    stays.filter_map(|(number, index)| Some((number, index, index.mirror.as_ref()?)))
}

/// Names of the indexes on columns that lend their names, which go with them.
pub(super) fn mirror_names(context: &Context<'_>) -> Vec<String> {
    let tag = &context.tag;
    let of_table = context.facts.main().indexes.iter().map(|index| tag.mirror_index(index.number));
    let of_added = (0..context.plan.indexes.add.len()).map(|position| tag.mirror_of_added(position));
    let of_changes = (0..context.plan.changes.len()).map(|position| tag.mirror_of_new(position));
    of_table.chain(of_added).chain(of_changes).collect()
}

/// Names of the indexes and constraints that go with the old column.
pub(super) fn parked_names(context: &Context<'_>) -> Vec<String> {
    let copied: Vec<_> = copied(context).map(|(number, _)| number).collect();
    let name = |index: &IndexFacts| {
        if copied.contains(&index.number) { context.tag.parked_index(index.number) } else { index.name.clone() }
    };
    context.facts.main().indexes.iter().map(name).collect()
}

/// Drops the exclusion constraints that go with the old column of `a`: PostgreSQL lets no column go that one of their expressions uses.
pub(super) fn drop_exclusions(context: &Context<'_>, a: &super::Active<'_>) -> Vec<String> {
    let table = context.table().sql();
    let drop = |(index, name): (&IndexFacts, String)| {
        let goes = is_exclusion(index) && index.changes.contains(&a.position);
        goes.then(|| format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {}", quote_ident(&name)))
    };
    context.facts.main().indexes.iter().zip(parked_names(context)).filter_map(drop).collect()
}

/// Returns what the indexes contribute: builds early and late, and the exchange of names with their originals.
pub(super) fn fragment(context: &Context<'_>) -> Fragment {
    let steps = builds(context);
    // Its own index goes with the constraint.
    let primary = copied(context).filter(|(_, index)| is_primary(index));
    let before_back = primary.map(|(number, index)| {
        let name = context.tag.parked_index(number);
        if partitions::is_divided(context, index) {
            return partitions::before_back(context, index, name);
        }
        // The old column has the name then that the new one has now.
        let table = partitions::place(context, index).0;
        build_on(
            context,
            table,
            &name,
            (true, &index.twin),
            tablespace(index),
            (What::Build(index.name.clone()), String::new()),
        )
        .action
    });
    Fragment {
        before_back: before_back.collect(),
        dropped: mirrors(&steps),
        steps,
        layout: ByStage::new(|stage| renamed_indexes(context, stage)),
        swap: exchange(context, Stage::Swapped),
        retire: exchange(context, Stage::Retired),
        renamed: copied(context).flat_map(|(_, index)| keys(index)).collect(),
        ..Fragment::default()
    }
}

/// Whether the index is that of the primary key, of which a table has one: the new column's takes its place in the swap.
fn is_primary(index: &IndexFacts) -> bool {
    index.constraint.as_ref().is_some_and(|constraint| constraint.primary)
}

/// Whether its twin is an exclusion constraint, which PostgreSQL builds with its index, and not concurrently.
pub(crate) fn is_exclusion(index: &IndexFacts) -> bool {
    index.constraint.as_ref().is_some_and(|constraint| constraint.exclusion)
}

/// Whether the pair's column is part of the primary key, or of the index by which subscribers find rows: it cannot be empty then.
pub(super) fn in_key(context: &Context<'_>, position: usize) -> bool {
    let is_key = |index: &IndexFacts| is_primary(index) || index.replica_identity;
    copied(context).any(|(_, index)| is_key(index) && index.changes.contains(&position))
}

fn tablespace(index: &IndexFacts) -> Vec<(String, String)> {
    index.tablespace.iter().map(|space| ("default_tablespace".to_owned(), space.clone())).collect()
}

/// When an index may be built: before the backfill, unless it is unique (docs/postgres.md, "Two unique indexes", "Key
/// updates"). If no column is added, there is no old release to disturb.
fn phase(context: &Context<'_>, unique: bool) -> Phase {
    if unique && !context.active.is_empty() { Phase::Verify } else { Phase::Index }
}

fn builds(context: &Context<'_>) -> Vec<Step> {
    let twins = copied(context).flat_map(|(n, index)| {
        // On a partitioned table it is one from the first.
        let later = index.constraint.is_some()
            && !is_primary(index)
            && !is_exclusion(index)
            && !partitions::place(context, index).1;
        let constraint = later.then(|| constraint(context, n, index));
        let first = if is_exclusion(index) { exclusion(context, n, index) } else { twin(context, n, index) };
        std::iter::once(first).chain(constraint)
    });
    let mirrors = mirrored(context).map(|(number, index, mirror)| {
        let name = context.tag.mirror_index(number);
        let step = mirror_of(context, (&index.name, &name), (&mirror.tail, mirror.unique), tablespace(index));
        let built = Built { name, unique: mirror.unique, tail: &mirror.tail, constraint: false };
        if partitions::is_divided(context, index) {
            partitions::in_partitions(context, step, index, built)
        } else {
            step
        }
    });
    let added = context.plan.indexes.add.iter().enumerate();
    twins.chain(mirrors).chain(added.flat_map(|(position, add)| plain(context, position, add))).collect()
}

/// The keys of those of these steps that build on columns that lend their names.
pub(super) fn mirrors(steps: &[Step]) -> Vec<StepKey> {
    let keys = steps.iter().map(|step| step.key.clone());
    keys.filter(|key| matches!(key.what, What::Mirror(_))).collect()
}

/// Builds the mirror of the index `of` on columns that lend their names.
pub(super) fn mirror_of(
    context: &Context<'_>,
    (of, name): (&str, &str),
    (tail, unique): (&str, bool),
    settings: Vec<(String, String)>,
) -> Step {
    let title = format!("build the mirror of index {of}");
    build(context, name, unique, tail, settings, (What::Mirror(of.to_owned()), title))
}

/// Returns the statements that drop the mirror of `index`, as far as it is built; they may be repeated.
pub(super) fn drop_mirror(context: &Context<'_>, index: &IndexFacts) -> Vec<String> {
    partitions::drop_built(context, index, &context.tag.mirror_index(index.number), false)
}

/// Returns the statements that drop what stands beside `index` of a partitioned table, under the name `ours`.
pub(super) fn drop_in_partitions(context: &Context<'_>, index: &IndexFacts, ours: &str) -> Vec<String> {
    partitions::drop_built(context, index, ours, index.constraint.is_some() && !is_primary(index))
}

/// Steps whose conditions name a twin's first name.
fn keys(index: &IndexFacts) -> Vec<StepKey> {
    let phase = match index.unique || is_exclusion(index) {
        // On the way back it goes with the constraint, and so does what needs it.
        _ if is_primary(index) => Phase::Switch,
        true => Phase::Verify,
        false => Phase::Index,
    };
    [What::Build(index.name.clone()), What::Constraint(index.name.clone())].map(|what| StepKey::new(phase, what)).into()
}

fn twin(context: &Context<'_>, position: usize, index: &IndexFacts) -> Step {
    let title = format!("build the twin of index {}", index.name);
    let (name, key) = (context.tag.twin_index(position), What::Build(index.name.clone()));
    let table = partitions::place(context, index).0;
    let mut step = build_on(context, table, &name, (index.unique, &index.twin), tablespace(index), (key, title));
    if partitions::is_divided(context, index) {
        let constraint = index.constraint.is_some();
        let built = Built { name, unique: index.unique, tail: &index.twin, constraint };
        step = partitions::in_partitions(context, step, index, built);
    }
    if is_primary(index) {
        step.key.phase = Phase::Switch;
    }
    step
}

/// Returns the column that an index of the plan is built on: plans name a change's new column, but a change that is made
/// in place has none.
pub(crate) fn column_of_index<'a>(
    column: &'a ColumnName,
    mut in_place: impl Iterator<Item = Pair<'a>>,
) -> &'a ColumnName {
    in_place.find(|change| change.new == column).map_or(column, |change| change.old)
}

/// An index of `indexes.add`, and its mirror for the time in which its column borrows its name.
fn plain(context: &Context<'_>, position: usize, add: &AddIndex) -> Vec<Step> {
    let columns: Vec<_> = add.columns.iter().map(|column| context.column(column).sql()).collect();
    let tail = |columns: &[String]| format!("USING btree ({})", columns.join(", "));
    let what = (What::Build(add.name.to_string()), format!("build index {}", add.name));
    let mut steps = vec![build(context, add.name.as_str(), add.unique, &tail(&columns), vec![], what)];
    let borrows = |column: &ColumnName| context.active.iter().any(|a| a.change.borrows() && a.change.new == column);
    if add.columns.iter().any(borrows) {
        let lent = add.columns.iter().zip(columns);
        let lent: Vec<_> = lent.map(|(name, own)| if borrows(name) { name.sql() } else { own }).collect();
        let name = context.tag.mirror_of_added(position);
        steps.push(mirror_of(context, (add.name.as_str(), &name), (&tail(&lent), add.unique), vec![]));
    }
    steps
}

/// Builds an index concurrently.
pub(super) fn build(
    context: &Context<'_>,
    name: &str,
    unique: bool,
    tail: &str,
    settings: Vec<(String, String)>,
    (key, title): (What, String),
) -> Step {
    build_on(context, context.table(), name, (unique, tail), settings, (key, title))
}

/// As [`build`], on the run's table or one that inherits from it.
fn build_on(
    context: &Context<'_>,
    table: &TableName,
    name: &str,
    (unique, tail): (bool, &str),
    settings: Vec<(String, String)>,
    (key, title): (What, String),
) -> Step {
    let index = IndexName { schema: table.schema.clone(), name: name.to_owned() };
    let drop = Action::concurrent(format!("DROP INDEX CONCURRENTLY IF EXISTS {}", index.sql()));
    let word = if unique { "UNIQUE " } else { "" };
    let statement = format!("CREATE {word}INDEX CONCURRENTLY {} ON {} {tail}", quote_ident(name), table.sql());
    let action = Action::Concurrent { settings, statement, builds: Some(index) };
    Step::new(phase(context, unique), key, title, action)
        .locks(RelationId::MAIN, LockMode::ShareUpdateExclusive)
        .done_when([Is::Index { name: name.to_owned() }.on(RelationId::MAIN)])
        .undo(Undo::Actions { needs: vec![], actions: vec![drop] })
}

fn constraint(context: &Context<'_>, position: usize, index: &IndexFacts) -> Step {
    let table = partitions::place(context, index).0.sql();
    let name = context.tag.twin_index(position);
    let quoted = quote_ident(&name);
    let facts = index.constraint.as_ref();
    let deferrable = deferrable(facts);
    let mut statements =
        vec![format!("ALTER TABLE {table} ADD CONSTRAINT {quoted} UNIQUE USING INDEX {quoted}{deferrable}")];
    if let Some(comment) = facts.and_then(|c| c.comment.as_ref()) {
        statements.push(format!("COMMENT ON CONSTRAINT {quoted} ON {table} IS {}", quote_literal(comment)));
    }
    let title = format!("make the twin of {} a unique constraint", index.name);
    let what = What::Constraint(index.name.clone());
    // Conditions are about the table.
    let is = index.partition.is_none().then(|| Is::Constraint { name }.on(RelationId::MAIN));
    Step::new(phase(context, true), what, title, Action::Transaction(statements))
        .locks(RelationId::MAIN, LockMode::AccessExclusive)
        .done_when(is)
        .undo(Undo::by(vec![format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quoted}")]))
}

/// Builds the twin of an exclusion constraint while the table is locked, for as long as the plan accepts.
fn exclusion(context: &Context<'_>, position: usize, index: &IndexFacts) -> Step {
    let table = context.table().sql();
    let name = context.tag.twin_index(position);
    let quoted = quote_ident(&name);
    // The definition that PostgreSQL deparses does not name it.
    let space = index.tablespace.as_ref();
    let mut statements: Vec<_> =
        space.map(|space| format!("SET LOCAL default_tablespace = {}", quote_literal(space))).into_iter().collect();
    statements.push(format!("ALTER TABLE {table} ADD CONSTRAINT {quoted} {}", index.twin));
    if let Some(comment) = index.constraint.as_ref().and_then(|c| c.comment.as_ref()) {
        statements.push(format!("COMMENT ON CONSTRAINT {quoted} ON {table} IS {}", quote_literal(comment)));
    }
    let title = format!("build the twin of exclusion constraint {}, with the table locked", index.name);
    let what = What::Constraint(index.name.clone());
    Step::new(phase(context, true), what, title, Action::Transaction(statements))
        .locks(RelationId::MAIN, LockMode::AccessExclusive)
        .locked_for(context.plan.indexes.exclusion_lock)
        .done_when([Is::Constraint { name }.on(RelationId::MAIN)])
        .undo(Undo::by(vec![format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quoted}")]))
}

/// Whether the twin takes its original's name in the swap: all its columns keep their names.
fn at_swap(context: &Context<'_>, index: &IndexFacts) -> bool {
    is_exchanged(context.plan, index, Stage::Swapped)
}

/// The twins that stand under their originals' names at `stage`.
fn renamed_indexes(context: &Context<'_>, stage: Stage) -> Vec<Is> {
    let renamed = |index: &IndexFacts| match stage {
        Stage::Soak => false,
        Stage::Swapped => at_swap(context, index),
        Stage::Retired => true,
    };
    let is = |(_, index): (usize, &IndexFacts)| Is::Index { name: index.name.clone() };
    copied(context).filter(|(_, index)| renamed(index)).map(is).collect()
}

/// Gives each twin the name of its original, in the step that ends at `stage`: in the swap where all its columns keep
/// their names, else when the old column is retired.
fn exchange(context: &Context<'_>, stage: Stage) -> Moves {
    let (mut forth, mut back) = (Vec::new(), Vec::new());
    for (position, index) in copied(context) {
        if at_swap(context, index) != (stage == Stage::Swapped) {
            continue;
        }
        let (own, twin, parked) = (&index.name, context.tag.twin_index(position), context.tag.parked_index(position));
        let (place, partitioned) = partitions::place(context, index);
        let (table, schema) = (place.sql(), &place.schema);
        let rename = |from: &str, to: &str| {
            if index.constraint.is_some() {
                format!("ALTER TABLE {table} RENAME CONSTRAINT {} TO {}", quote_ident(from), quote_ident(to))
            } else {
                format!("ALTER INDEX {}.{} RENAME TO {}", quote_ident(schema), quote_ident(from), quote_ident(to))
            }
        };
        if is_primary(index) {
            forth.extend(new_key(context, index, &twin));
            back.extend(new_key(context, index, &parked));
        } else if partitioned {
            forth.push(partitions::exchange(place, own, &twin, &parked));
            let comment = index.constraint.as_ref().and_then(|constraint| constraint.comment.as_ref());
            forth.extend(comment.map(|text| {
                format!("COMMENT ON CONSTRAINT {} ON {table} IS {}", quote_ident(own), quote_literal(text))
            }));
            back.push(partitions::exchange(place, own, &parked, &twin));
        } else {
            forth.extend([rename(own, &parked), rename(&twin, own)]);
            back.extend([rename(own, &twin), rename(&parked, own)]);
        }
        forth.extend(dressed(context, index));
        back.extend(if is_primary(index) { dressed(context, index) } else { marks(context, index).collect() });
    }
    Moves { forth, back }
}

/// Puts a primary key made of the index `of` in the place of the one there is, whose index goes.
fn new_key(context: &Context<'_>, index: &IndexFacts, of: &str) -> Vec<String> {
    let (table, own) = (partitions::place(context, index).0.sql(), quote_ident(&index.name));
    let facts = index.constraint.as_ref();
    let mut all = if partitions::is_divided(context, index) {
        vec![partitions::new_key(context, index, of)]
    } else {
        vec![
            format!("ALTER TABLE {table} DROP CONSTRAINT {own}"),
            format!(
                "ALTER TABLE {table} ADD CONSTRAINT {own} PRIMARY KEY USING INDEX {}{}",
                quote_ident(of),
                deferrable(facts)
            ),
        ]
    };
    let comment = facts.and_then(|constraint| constraint.comment.as_ref());
    all.extend(comment.map(|text| format!("COMMENT ON CONSTRAINT {own} ON {table} IS {}", quote_literal(text))));
    all
}

fn deferrable(constraint: Option<&ConstraintFacts>) -> &'static str {
    match constraint {
        Some(c) if c.deferred => " DEFERRABLE INITIALLY DEFERRED",
        Some(c) if c.deferrable => " DEFERRABLE",
        _ => "",
    }
}

/// Returns what gives an index that was just built, and stands under its own name, what else belongs to it.
pub(super) fn dressed(context: &Context<'_>, index: &IndexFacts) -> Vec<String> {
    let schema = &partitions::place(context, index).0.schema;
    let name = format!("{}.{}", quote_ident(schema), quote_ident(&index.name));
    let comment = index.comment.iter().map(|text| format!("COMMENT ON INDEX {name} IS {}", quote_literal(text)));
    let target =
        |(column, target): &(i16, i32)| format!("ALTER INDEX {name} ALTER COLUMN {column} SET STATISTICS {target}");
    comment.chain(index.statistics.iter().map(target)).chain(marks(context, index)).collect()
}

/// What the table says of the index: that it is clustered by it, and that it is its replica identity.
fn marks(context: &Context<'_>, index: &IndexFacts) -> impl Iterator<Item = String> {
    let (table, name) = (partitions::place(context, index).0.sql(), quote_ident(&index.name));
    let cluster = index.clustered.then(|| format!("ALTER TABLE {table} CLUSTER ON {name}"));
    let identity = index.replica_identity.then(|| format!("ALTER TABLE {table} REPLICA IDENTITY USING INDEX {name}"));
    cluster.into_iter().chain(identity)
}
