//! Indexes of a partitioned table, and of single partitions: built in each partition alone, joined in one transaction, and given
//! each other's names there too.

use super::{deferrable, is_primary};
use crate::change::Context;
use crate::ident::TableName;
use crate::run::{Action, IndexFacts, IndexName, PartitionedIndex, RelationId, Step, Target, Undo};
use crate::sql::{LockMode, dollar_quote, quote_ident, quote_literal, with_values};

/// What is built for an index: its mirror or its twin.
pub(super) struct Built<'a> {
    /// Its name.
    pub(super) name: String,
    /// Whether it is unique.
    pub(super) unique: bool,
    /// Its definition behind `ON table `.
    pub(super) tail: &'a str,
    /// Whether it becomes a constraint as the index is one.
    pub(super) constraint: bool,
}

/// Returns the table that an index is on, and whether that is partitioned.
pub(super) fn place<'a>(context: &Context<'a>, index: &'a IndexFacts) -> (&'a TableName, bool) {
    let own = index.partition.as_ref().map(|own| (&own.table, own.partitioned));
    own.unwrap_or((&context.facts.main().name, context.facts.main().partitioned))
}

/// Whether the index is of a partitioned table, or of a partition alone.
pub(super) fn is_divided(context: &Context<'_>, index: &IndexFacts) -> bool {
    context.facts.main().partitioned && (index.partition.is_some() || place(context, index).1)
}

/// Returns `step` with what builds `built`, for an index of a partitioned table or of one of its partitions, there.
pub(super) fn in_partitions(context: &Context<'_>, step: Step, index: &IndexFacts, built: Built<'_>) -> Step {
    let (table, partitioned) = place(context, index);
    let of_key = built.constraint && is_primary(index);
    let undo = Undo::by(drop_built(context, index, &built.name, built.constraint && !of_key));
    let word = if built.unique { "UNIQUE " } else { "" };
    let definition = built.constraint.then(|| unique(built.tail));
    let options = deferrable(index.constraint.as_ref());
    let literal = |text: Option<String>| text.map_or_else(|| "NULL".to_owned(), |text| quote_literal(&text));
    let values = [
        quote_literal(&table.sql()),
        quote_literal(&built.name),
        quote_literal(word),
        quote_literal(built.tail),
        literal(definition.map(|definition| format!("{definition}{options}"))),
        quote_literal(options),
        literal(index.tablespace.clone()),
    ];
    let join = format!("DO {}", dollar_quote(&with_values(include_str!("join.sql"), &values)));
    let whole = PartitionedIndex {
        settings: super::tablespace(index),
        table: table.clone(),
        // What is built for a primary key is joined when it takes the key's place.
        join: if of_key { String::new() } else { join },
        name: built.name,
        unique: built.unique,
        tail: built.tail.to_owned(),
    };
    if !partitioned {
        let index = IndexName { schema: table.schema.clone(), name: whole.name.clone() };
        let statement = whole.build_in(&table.sql(), &whole.name);
        let action = Action::Concurrent { settings: whole.settings, statement, builds: Some(index.clone()) };
        let drop = Action::concurrent(format!("DROP INDEX CONCURRENTLY IF EXISTS {}", index.sql()));
        return Step { action, ..step }.undo(Undo::Actions { needs: vec![], actions: vec![drop] });
    }
    let mode = if of_key { LockMode::ShareUpdateExclusive } else { LockMode::AccessExclusive };
    let targets = vec![Target { relation: RelationId::MAIN, mode }];
    let done_when = if of_key { vec![] } else { step.done_when.clone() };
    Step { targets, done_when, action: Action::BuildInPartitions(whole), ..step }.undo(undo)
}

/// Returns the constraint that an index with this tail belongs to, as ADD CONSTRAINT says it.
fn unique(tail: &str) -> String {
    const NULLS: &str = " NULLS NOT DISTINCT";
    let columns = tail.strip_prefix("USING btree ").unwrap_or(tail);
    // Behind the columns, whose names may hold the same words; only storage parameters follow.
    match columns.rsplit_once(NULLS).filter(|(_, rest)| rest.is_empty() || rest.starts_with(" WITH (")) {
        Some((columns, rest)) => format!("UNIQUE{NULLS} {columns}{rest}"),
        None => format!("UNIQUE {columns}"),
    }
}

/// Returns the statements that drop what was built under this name for `index`, as far as it is built; they may be repeated.
/// `constraint` says whether it is one.
pub(super) fn drop_built(context: &Context<'_>, index: &IndexFacts, name: &str, constraint: bool) -> Vec<String> {
    let (table, partitioned) = place(context, index);
    let quoted = quote_ident(name);
    let whole = if partitioned && constraint {
        format!("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {quoted}", table.sql())
    } else {
        format!("DROP INDEX IF EXISTS {}.{quoted}", quote_ident(&table.schema))
    };
    if !partitioned {
        // An index that is a constraint goes with it.
        let alone =
            constraint.then(|| format!("ALTER TABLE IF EXISTS {} DROP CONSTRAINT IF EXISTS {quoted}", table.sql()));
        return alone.into_iter().chain([whole]).collect();
    }
    let values = [quote_literal(&table.sql()), quote_literal(name)];
    vec![whole, format!("DO {}", dollar_quote(&with_values(include_str!("drop.sql"), &values)))]
}

/// Returns the statement that gives `of` and its parts the names of the index `own` and of its parts, which get the name `parked`.
pub(super) fn exchange(table: &TableName, own: &str, of: &str, parked: &str) -> String {
    let values = [quote_literal(&table.sql()), quote_literal(own), quote_literal(of), quote_literal(parked)];
    format!("DO {}", dollar_quote(&with_values(include_str!("exchange.sql"), &values)))
}

/// Returns the statement that puts a primary key made of what was built under the name `of` in the place of the one there is.
pub(super) fn new_key(context: &Context<'_>, index: &IndexFacts, of: &str) -> String {
    let array = |names: Vec<&str>| {
        let names: Vec<_> = names.into_iter().map(quote_literal).collect();
        format!("ARRAY[{}]::pg_catalog.name[]", names.join(", "))
    };
    let pairs = || super::of(context, index).map(|a| (a.change.old.as_str(), a.change.new.as_str()));
    let values = [
        quote_literal(&context.table().sql()),
        quote_literal(&index.name),
        quote_literal(of),
        quote_literal(deferrable(index.constraint.as_ref())),
        array(pairs().flat_map(|(old, new)| [old, new]).collect()),
        array(pairs().flat_map(|(old, new)| [new, old]).collect()),
    ];
    format!("DO {}", dollar_quote(&with_values(include_str!("key.sql"), &values)))
}

/// Returns what builds, under this name, what the primary key is made of on the way back.
pub(super) fn before_back(context: &Context<'_>, index: &IndexFacts, name: String) -> Action {
    Action::BuildInPartitions(PartitionedIndex {
        settings: super::tablespace(index),
        table: context.table().clone(),
        name,
        unique: true,
        // The old column has the name then that the new one has now.
        tail: index.twin.clone(),
        join: String::new(),
    })
}
