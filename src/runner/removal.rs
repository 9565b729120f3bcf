//! The way back where the table or a column is gone: what is ours is removed, in one transaction with all of the log's
//! entries.

use super::ddl::{self, Ended, Job};
use super::session::Session;
use super::{Error, NotYet, gate};
use crate::catalog;
use crate::change::{Ruin, removal};
use crate::engine::Work;
use crate::event::Event;
use crate::run::{CompareSpec, Entry, Mode, Phase, RelationId, State, Target};
use crate::sql::{LockMode, quote_ident};

/// Removes what is left of the run.
///
/// # Errors
/// [`Error::Drifted`] if the run was to go back to a phase only; [`Error::WouldLose`] if another pair has values in its new
/// column only.
pub(super) async fn remove(
    work: &Work,
    session: &mut Session,
    state: &State,
    (to, consent): (Option<Phase>, bool),
    remains: &Ruin,
) -> Result<(), Error> {
    let run = &work.run;
    if to.is_some() {
        let what = "the table or a column of the plan is gone: only a rollback of everything is left";
        return Err(Error::Drifted { facts: vec![what.to_owned()] });
    }
    let mut here = work.clone();
    let mut facts = run.facts.clone();
    if let Some(table) = &remains.table {
        facts.tables[0].name = table.clone();
        here.run.program.relations[0].table = table.clone();
    }
    if let Some(spec) = whole_pairs(work, state, remains) {
        gate::prove_nothing_only_new(&here, &spec, state.phase).await?;
    }
    let left = catalog::leftovers(&mut session.main, &run.program, work.ledger.schema()).await?;
    let (statements, kept) = removal(&run.plan, &facts, state.stage(), (remains, &left), work.ledger.schema());
    let drops: Vec<_> = statements.iter().filter(|sql| sql.contains(" DROP COLUMN ")).cloned().collect();
    if !consent && !drops.is_empty() && !matches!(state.mode, Mode::Undoing(_)) {
        return Err(Error::NotYet(NotYet::Drops { name: run.name().clone(), drops }));
    }
    let (entries, steps) = entries(work, state);
    let Some(key) = steps.first().or_else(|| run.program.steps.first().map(|step| &step.key)) else { return Ok(()) };
    let lock = [Target { relation: RelationId::MAIN, mode: LockMode::AccessExclusive }];
    let job = Job {
        above: &[],
        step: key,
        targets: if remains.table.is_some() { &lock } else { &[] },
        needs: &[],
        statements: &statements,
        entries: &entries,
        new_writes: None,
        signature: None,
        approved: None,
        locked_for: None,
    };
    match ddl::transaction(&here, session, &job).await? {
        Ended::Done => {}
        Ended::Guard(_) => return Err(Error::DoesNotLast { step: key.clone(), tries: gate::MENDS }),
    }
    for message in kept {
        work.emit(Event::Warning { message });
    }
    for step in steps {
        work.emit(Event::StepUndone { step });
    }
    work.emit(Event::RolledBack);
    Ok(())
}

/// What to compare of the pairs that still have both columns: their new ones are dropped.
fn whole_pairs(work: &Work, state: &State, remains: &Ruin) -> Option<CompareSpec> {
    let mut spec = gate::current_spec(&work.run, state).ok()?.clone();
    let whole: Vec<_> = remains.pairs.iter().filter_map(|(_, old, new)| old.as_ref().and(new.as_ref())).collect();
    spec.pairs.retain(|pair| whole.iter().any(|new| quote_ident(new) == pair.new));
    if let Some(table) = &remains.table {
        spec.table = table.clone();
    }
    (!spec.pairs.is_empty()).then_some(spec)
}

/// The log of a whole rollback from `state`, and the steps that it undoes.
fn entries(work: &Work, state: &State) -> (Vec<Entry>, Vec<crate::run::StepKey>) {
    let program = &work.run.program;
    let mut entries = Vec::new();
    if state.mode != Mode::Undoing(None) {
        entries.push(Entry::UndoStarted { to: None });
    }
    let (mut rest, mut steps) = (state.clone(), Vec::new());
    while let Some(step) = rest.next_undo(program, None) {
        entries.push(Entry::StepUndone { step: step.key.clone() });
        steps.push(step.key.clone());
        if rest.maybe_ran.take().is_none() {
            rest.done.pop();
        }
    }
    entries.push(Entry::UndoDone);
    (entries, steps)
}
