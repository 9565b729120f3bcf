//! `drop_index`: dropped while the table is in use, once everything else that the plan does has held so far. Until the run is
//! done it can be built again, as it was.

use super::Context;
use super::fragment::Fragment;
use super::indexes::{self, dressed};
use crate::run::{Action, IndexFacts, IndexName, Is, Phase, RelationId, Step, Undo, What};
use crate::sql::LockMode;

pub(super) fn fragment(context: &Context<'_>, facts: &IndexFacts) -> Fragment {
    let name = &facts.name;
    let index = IndexName { schema: context.table().schema.clone(), name: name.clone() };
    let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", index.sql());
    let settings = facts.tablespace.iter().map(|space| ("default_tablespace".to_owned(), space.clone())).collect();
    let what = (What::Build(name.clone()), String::new());
    let rebuild = indexes::build(context, name, facts.unique, &facts.twin, settings, what).action;
    let dress = dressed(context, facts);
    let dress = (!dress.is_empty()).then_some(Action::Transaction(dress));
    let undo = Undo::Actions { needs: vec![], actions: std::iter::once(rebuild).chain(dress).collect() };
    let title = format!("drop index {name}, while the table is in use");
    let step = Step::new(Phase::Contract, What::DropIndex(name.clone()), title, Action::concurrent(drop))
        .locks(RelationId::MAIN, LockMode::ShareUpdateExclusive)
        .done_when([Is::NoIndex { name: name.clone() }.on(RelationId::MAIN)])
        .undo(undo);
    Fragment { steps: vec![step], ..Fragment::default() }
}
