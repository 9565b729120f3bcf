//! Turns plan and facts into steps. A pure function: no connection, no clock, no randomness, so the dry run prints exactly
//! what a run would do.
//!
//! Each kind of change is a file that returns a `Fragment`; `planner` joins the fragments into a program.

mod add_column;
mod add_constraint;
mod add_index;
mod adopt;
mod alike;
mod bodies;
mod change_type;
mod children;
mod cleanup;
mod constraints;
mod conversion;
mod draft;
mod drop_column;
mod drop_index;
mod first_write;
mod follow;
mod foreign_keys;
mod fragment;
mod generated;
mod indexes;
mod listening;
mod made_anew;
mod not_null;
mod pair;
mod planner;
mod publications;
mod referring;
mod removal;
mod rename_column;
mod script;
mod sync_default;
mod sync_function;
mod sync_trigger;
mod trial;

pub(crate) use bodies::{given_in, replace};
pub(crate) use cleanup::Ours;
pub(crate) use constraints::is_carried;
pub(crate) use draft::{Instead, Side, Way, instead, ways};
pub(crate) use first_write::{FirstWrite, ROW};
pub(crate) use follow::{Followed, Other, follow};
pub(crate) use indexes::column_of_index;
pub(crate) use made_anew::lock_views;
pub(crate) use removal::{Leftovers, Ruin, removal};
pub(crate) use script::{refused, script};
pub(crate) use sync_default::{beside_text, knows_null};
pub(crate) use trial::{Trial, TrialColumn};

use fragment::{Fragment, Stage};

use crate::ident::{ColumnName, RunTag, TableName};
use crate::names::LedgerSchema;
use crate::plan::{self, Change, Plan};
use crate::run::{self, ChangeFacts, CompareSpec, Facts, IndexFacts, PairFacts, Program, RelationId};
use crate::sql::quote_ident;

/// Everything the parts of the compiler need.
struct Context<'a> {
    plan: &'a Plan,
    facts: &'a Facts,
    ledger: &'a LedgerSchema,
    tag: RunTag,
    /// The pairs that need a new column.
    active: Vec<Active<'a>>,
}

/// A rename or a type change.
#[derive(Clone, Copy)]
struct Active<'a> {
    /// Its position in the plan.
    position: usize,
    change: plan::Pair<'a>,
    facts: &'a PairFacts,
}

impl Active<'_> {
    /// The names of (old, new), not quoted, at `stage`.
    fn names(&self, tag: &RunTag, stage: Stage) -> (String, String) {
        names_at(&self.change, tag, stage)
    }

    fn retired_name(&self, tag: &RunTag) -> String {
        tag.retired(self.change.old)
    }

    /// Whether a write to the new column may leave the old one empty, so that the old one cannot stay NOT NULL.
    fn must_relax(&self) -> bool {
        self.facts.old.not_null && !self.facts.reverse.is_total()
    }

    /// Whether neither column is NOT NULL for a while, so that a trigger has to keep one of them filled.
    fn may_lose_both(&self) -> bool {
        self.must_relax() && !self.facts.forward.is_total()
    }
}

/// The names of (old, new), not quoted, at `stage`.
pub(crate) fn names_at(change: &plan::Pair<'_>, tag: &RunTag, stage: Stage) -> (String, String) {
    let (old, new) = (change.old.to_string(), change.new.to_string());
    match stage {
        Stage::Swapped if change.keeps_name() => (new, old),
        Stage::Soak | Stage::Swapped => (old, new),
        Stage::Retired if change.trades_names => (new, old),
        Stage::Retired if change.borrows() => (new, tag.mirror(change.new)),
        Stage::Retired => (tag.retired(change.old), change.final_name().to_string()),
    }
}

/// Whether the new column has taken the place of the old one at `stage`: what others change under the column's name, they
/// change on the new one.
pub(crate) fn has_moved(change: &plan::Pair<'_>, stage: Stage) -> bool {
    match stage {
        Stage::Soak => false,
        Stage::Swapped => change.keeps_name(),
        Stage::Retired => !change.borrows(),
    }
}

/// Whether the twin of an index has the name of its original at `stage`. One on borrowed columns alone has no twin.
pub(crate) fn is_exchanged(plan: &Plan, index: &IndexFacts, stage: Stage) -> bool {
    has_last_names(plan, &index.changes, stage)
}

/// Whether what is on the columns of these changes is on their last columns, under their last names, at `stage`; not where all
/// columns stay.
fn has_last_names(plan: &Plan, changes: &[usize], stage: Stage) -> bool {
    let of_it = || plan.pairs().filter(|(position, _)| changes.contains(position)).map(|(_, change)| change);
    let has_last_name =
        |change: plan::Pair<'_>| change.borrows() && stage == Stage::Retired || has_moved(&change, stage);
    of_it().any(|change| !change.borrows()) && of_it().all(has_last_name)
}

impl<'a> Context<'a> {
    fn new(plan: &'a Plan, facts: &'a Facts, ledger: &'a LedgerSchema) -> Self {
        let active = pairs(plan, facts).filter(|a| !a.facts.metadata_only).collect();
        Self { plan, facts, ledger, tag: plan.tag(), active }
    }

    fn table(&self) -> &TableName {
        &self.facts.main().name
    }

    /// Returns the tables that need a trigger each: the plan's own, and those that inherit from it. Partitions get clones.
    fn with_children(&self) -> impl Iterator<Item = &TableName> {
        std::iter::once(self.table()).chain(self.facts.main().children.iter().map(|child| &child.table))
    }

    /// Returns the column that an index or a constraint of the plan is on.
    fn column(&self, column: &'a ColumnName) -> &'a ColumnName {
        let stays = pairs(self.plan, self.facts).filter(|a| a.facts.metadata_only || a.change.borrows());
        column_of_index(column, stays.map(|a| a.change))
    }

    fn compare_spec(&self, pairs: Vec<run::Pair>) -> CompareSpec {
        let key = &self.facts.main().key;
        let key = if key.is_empty() {
            vec!["ctid".to_owned()]
        } else {
            key.iter().map(|column| quote_ident(column)).collect()
        };
        CompareSpec { relation: RelationId::MAIN, table: self.table().clone(), key, pairs }
    }
}

/// The renames and type changes of a plan.
fn pairs<'a>(plan: &'a Plan, facts: &'a Facts) -> impl Iterator<Item = Active<'a>> {
    plan.pairs().filter_map(|(position, change)| Some(Active { position, change, facts: facts.pair(position)? }))
}

/// Returns the whole run of `plan` on the tables that `facts` describe.
pub fn compile(plan: &Plan, facts: &Facts, ledger: &LedgerSchema) -> Program {
    let context = Context::new(plan, facts, ledger);
    let mut fragments: Vec<_> = (0..plan.changes.len()).map(|position| fragment_of(&context, position)).collect();
    fragments.push(referring::in_swap(&context));
    fragments.push(indexes::fragment(&context));
    fragments.push(referring::behind_keys(&context));
    fragments.push(constraints::fragment(&context));
    fragments.push(referring::fragment(&context));
    // Last: the columns that go are gone by then.
    fragments.push(publications::fragment(&context));
    planner::program(&context, fragments)
}

/// The registry: which file a kind of change is in.
fn fragment_of(context: &Context<'_>, position: usize) -> Fragment {
    let Some(facts) = context.facts.changes.get(position) else { return Fragment::default() };
    let change = &context.plan.changes[position];
    let pair = || context.plan.pairs().find(|(at, _)| *at == position).map(|(_, pair)| pair);
    match (change, facts) {
        (Change::RenameColumn(_), ChangeFacts::Pair(facts)) => {
            pair().map(|pair| rename_column::fragment(context, &Active { position, change: pair, facts }))
        }
        (Change::ChangeType(_), ChangeFacts::Pair(facts)) => {
            pair().map(|pair| change_type::fragment(context, &Active { position, change: pair, facts }))
        }
        (Change::AddColumn(change), ChangeFacts::AddColumn(facts)) => {
            Some(add_column::fragment(context, position, change, facts))
        }
        (Change::DropColumn(change), ChangeFacts::DropColumn(facts)) => {
            Some(drop_column::fragment(context, position, change, facts))
        }
        (Change::AddIndex(change), ChangeFacts::AddIndex(facts)) => {
            Some(add_index::fragment(context, position, change, facts))
        }
        (Change::DropIndex(_), ChangeFacts::DropIndex(facts)) => Some(drop_index::fragment(context, facts)),
        (Change::AddConstraint(change), ChangeFacts::AddConstraint(facts)) => {
            Some(add_constraint::fragment(context, position, change, facts))
        }
        // Facts are read for this plan, change by change.
        _ => None,
    }
    .unwrap_or_default()
}
