//! The way back. It goes forward in the log: every step undone is an entry, and a rollback that was killed continues.

use std::time::Duration;

use tracing::Instrument as _;

use super::ddl::{Ended, Job};
use super::drift::{self, Found, Way};
use super::gate::{GuardFailed, prove_nothing_only_new};
use super::session::{Session, note};
use super::{Error, NotYet, ddl, gate, partitioned_index, removal};
use crate::amounts::plural;
use crate::change::Ruin;
use crate::engine::Work;
use crate::event::Event;
use crate::ledger::{NewWrites, Run};
use crate::pg::{self, ErrorClass, Owner};
use crate::run::{Action, Entry, Gate, IndexName, Is, Mode, Phase, RelationId, State, Step, Target, Undo};
use crate::sql::{LockMode, quote_ident};

/// The counters note one write a second: until that second is over, looked at again after this pause, and so often.
const PAUSE: Duration = Duration::from_millis(300);
const PAUSES: u32 = 8;

/// How many rows without a value are counted.
const TOLD: i64 = 1000;
/// How long that may take.
const COUNTING: pg::Limits =
    pg::Limits { lock: Duration::from_secs(5), statement: Duration::from_mins(30), durable: true };

/// Rolls the run back to the end of `to`, or to before it began.
///
/// # Errors
/// [`Error::PointOfNoReturn`]; [`Error::WouldLose`] when a write made through the new column would be lost.
pub(super) async fn back(work: &mut Work, to: Option<Phase>, consent: bool) -> Result<(), Error> {
    let mut session = Session::open(&work.connector).await?;
    loop {
        match go(work, &mut session, to, consent).await {
            Err(error) if error.class() == ErrorClass::Connection => session = Session::reopen(work, &error).await?,
            Err(Error::Interrupted) => {
                let _ = note(work, &mut session, Entry::Interrupted).await;
                return Err(Error::Interrupted);
            }
            Ok(()) => {
                session.keep(&work.connector);
                return Ok(());
            }
            other => return other,
        }
    }
}

async fn go(work: &mut Work, session: &mut Session, to: Option<Phase>, consent: bool) -> Result<(), Error> {
    let state = work.ledger.log().state(&mut session.main, &work.run).await?;
    match state.mode {
        Mode::RolledBack => return Ok(()),
        Mode::Undoing(other) if other == to => {}
        _ => {
            let lost = match look(work, session).await? {
                (_, Ok(at)) => at.lost,
                (state, Err(ruin)) => {
                    return removal::remove(work, session, &state, (to, consent), &ruin).await;
                }
            };
            let state = work.ledger.log().state(&mut session.main, &work.run).await?;
            if to.is_none() && !lost.is_empty() {
                return Err(Error::MadeOnNew { what: lost });
            }
            let drops = drops(&work.run, &state, to)?;
            if !consent && !drops.is_empty() {
                return Err(Error::NotYet(NotYet::Drops { name: work.run.name().clone(), drops }));
            }
            refuse_loss(work, &state, to).await?;
            refuse_nulls(work, session, &state, to).await?;
            let mut entries = vec![Entry::UndoStarted { to }];
            if !drops.is_empty() {
                entries.insert(0, Entry::Consented { to: drops });
            }
            work.ledger.log().record(&mut session.main, &work.run, Some(work.lease), &entries, &work.actor).await?;
        }
    }
    loop {
        if work.stop.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let (state, at) = look(work, session).await?;
        let at = match at {
            Ok(at) => at,
            Err(ruin) => return removal::remove(work, session, &state, (to, consent), &ruin).await,
        };
        let Some(step) = state.next_undo(&work.run.program, to) else { break };
        let result = undo(work, session, step, &at.signature).instrument(Work::step_span(&step.key)).await;
        match result {
            Ok(true) => {}
            // Somebody has changed what it was made for: look again.
            Ok(false) => continue,
            Err(error) => {
                if matches!(error, Error::Step { .. } | Error::Locked { .. }) {
                    note(work, session, Entry::StepFailed { step: step.key.clone(), error: error.to_string() }).await?;
                }
                return Err(error);
            }
        }
        work.emit(Event::StepUndone { step: step.key.clone() });
    }
    note(work, session, Entry::UndoDone).await?;
    if to.is_none() {
        work.emit(Event::RolledBack);
    }
    Ok(())
}

/// What the run stands on, on its way back.
struct At {
    signature: String,
    lost: Vec<String>,
}

/// Looks at the catalog until there is nothing to follow any more. Returns the state, and what is left if the table or a
/// column is gone.
async fn look(work: &mut Work, session: &mut Session) -> Result<(State, Result<At, Ruin>), Error> {
    loop {
        if work.stop.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let state = work.ledger.log().state(&mut session.main, &work.run).await?;
        match drift::look(work, session, &state, Way::Back).await? {
            Found::AsPlanned { signature, lost, .. } => return Ok((state, Ok(At { signature, lost }))),
            Found::Ruined(ruin) => return Ok((state, Err(ruin))),
            Found::Followed => {}
        }
    }
}

/// Returns the statements by which a rollback of `run` in `state` drops something, in order; none if it was agreed to before.
///
/// # Errors
/// That the run has no such phase, or is not past it; [`Error::PointOfNoReturn`].
pub(super) fn drops(run: &Run, state: &State, to: Option<Phase>) -> Result<Vec<String>, Error> {
    let program = &run.program;
    if state.mode == Mode::RolledBack || matches!(state.mode, Mode::Undoing(other) if other == to) {
        return Ok(vec![]);
    }
    if let Some(to) = to.filter(|to| !program.phases.contains(to)) {
        return Err(Error::NoSuchPhase { name: run.called.clone(), to, phases: program.phases.clone() });
    }
    if let Some(to) = to.filter(|to| !program.is_before(*to, state.phase)) {
        return Err(Error::NotEarlier { phase: state.phase, to });
    }
    let steps = state.undoes(program, to);
    for step in &steps {
        if let (Undo::PointOfNoReturn(why), true) = (&step.undo, state.is_done(&step.key)) {
            return Err(Error::PointOfNoReturn { step: step.key.clone(), why: why.clone() });
        }
    }
    Ok(steps.into_iter().flat_map(|step| step.undo.drops()).collect())
}

/// Refuses a rollback that cannot make a column NOT NULL again before anything is undone: whoever does not name the column
/// would be refused from the first step back on.
async fn refuse_nulls(work: &Work, session: &mut Session, state: &State, to: Option<Phase>) -> Result<(), Error> {
    let program = &work.run.program;
    let undone = |step: &&Step| to.is_none_or(|to| program.is_before(to, step.key.phase));
    for step in state.done.iter().filter_map(|key| program.step(key)).filter(undone) {
        if let Undo::Actions { needs, .. } = &step.undo {
            prove_no_nulls(work, session, needs).await?;
        }
    }
    Ok(())
}

async fn prove_no_nulls(work: &Work, session: &mut Session, needs: &[Gate]) -> Result<(), Error> {
    for gate in needs {
        let Gate::NoNulls { relation, column } = gate else { continue };
        let Some(relation) = work.run.program.relation(*relation) else { continue };
        let (table, quoted) = (relation.table.sql(), quote_ident(column));
        // One more than are told of.
        let count = format!(
            "SELECT pg_catalog.count(*)::pg_catalog.text FROM (SELECT FROM {table} WHERE {quoted} IS NOT DISTINCT FROM NULL LIMIT {}) AS empty",
            TOLD + 1
        );
        let owner = Owner::enter(&mut session.main, relation.oid).await?;
        let said = pg::rolled_back(&mut session.main, COUNTING, async |tx| pg::texts(tx, &owner.ask(&count)).await);
        let rows: i64 = said.await?.first().and_then(|rows| rows.parse().ok()).unwrap_or_default();
        if rows > 0 {
            let rows = if rows > TOLD { format!("more than {}", plural(TOLD, "row")) } else { plural(rows, "row") };
            return Err(Error::Nulls { rows, table: relation.table.clone(), column: column.clone() });
        }
    }
    Ok(())
}

/// The locks of an undo: ALTER TABLE and DROP TRIGGER take ACCESS EXCLUSIVE, on the other table of a foreign key too, and
/// a weaker lock that became stronger would deadlock with applications.
fn exclusive(targets: &[Target]) -> Vec<Target> {
    targets.iter().map(|target| Target { mode: target.mode.max(LockMode::AccessExclusive), ..*target }).collect()
}

/// Refuses a rollback that would lose a write before anything is undone, while the application still has both columns.
async fn refuse_loss(work: &Work, state: &State, to: Option<Phase>) -> Result<(), Error> {
    let guarded = |step: &Step| match &step.undo {
        Undo::Actions { needs, .. } => needs.iter().any(|gate| matches!(gate, Gate::NothingOnlyNew { .. })),
        _ => false,
    };
    let program = &work.run.program;
    let undone = |step: &Step| to.is_none_or(|to| program.is_before(to, step.key.phase));
    let risky = state.done.iter().filter_map(|id| program.step(id)).any(|step| undone(step) && guarded(step));
    match gate::current_spec(&work.run, state) {
        Ok(spec) if risky => prove_nothing_only_new(work, spec, state.phase).await,
        _ => Ok(()),
    }
}

/// Undoes a step. Returns false if somebody has changed what its undo was made for.
async fn undo(work: &Work, session: &mut Session, step: &Step, signature: &str) -> Result<bool, Error> {
    let undone = [Entry::StepUndone { step: step.key.clone() }];
    let (needs, actions) = match &step.undo {
        Undo::Actions { needs, actions } => (needs.as_slice(), actions.as_slice()),
        Undo::Nothing(_) | Undo::PointOfNoReturn(_) => (&[][..], &[][..]),
    };
    // Proved in the first transaction.
    let first = actions.iter().position(|action| matches!(action, Action::Transaction(_)));
    for (at, action) in actions.iter().enumerate() {
        match action {
            Action::Transaction(statements) => {
                let needs = if first == Some(at) { needs } else { &[] };
                let last = at + 1 == actions.len();
                let entries = if last { undone.as_slice() } else { &[] };
                let targets = exclusive(&step.targets);
                // What comes before in this step has changed the catalog itself.
                let signature = (at == 0).then_some((work.run.program.relations.as_slice(), signature));
                let mut mends = 0..gate::MENDS;
                loop {
                    mends.next().ok_or_else(|| gate::will_not_hold(step))?;
                    prove_no_nulls(work, session, needs).await?;
                    let new_writes = nothing_only_new(work, session, step, needs).await?;
                    let job = Job {
                        above: &step.above,
                        step: &step.key,
                        targets: &targets,
                        needs,
                        statements,
                        entries,
                        new_writes,
                        signature,
                        approved: None,
                        locked_for: None,
                    };
                    match ddl::transaction(work, session, &job).await? {
                        Ended::Done if last => return Ok(true),
                        Ended::Done => break,
                        Ended::Guard(GuardFailed::Changed) => return Ok(false),
                        Ended::Guard(failed) => gate::mend(work, session, step, failed, (true, None)).await?,
                    }
                }
            }
            // An index that the step did not drop any more, or that an earlier rollback has built.
            Action::Concurrent { builds: Some(index), .. } if is_there(work, session, index).await? => {}
            Action::Concurrent { settings, statement, builds } => {
                partitioned_index::concurrent(work, session, step, (settings, statement), builds.as_ref()).await?;
            }
            Action::BuildInPartitions(index) => partitioned_index::build(work, session, step, index).await?,
            // Undo is made of statements and indexes only.
            Action::Fill(_) | Action::Compare(_) | Action::Await(_) => {}
        }
    }
    let [entry] = undone;
    note(work, session, entry).await?;
    Ok(true)
}

/// Returns whether the index is on the plan's table, valid and ready.
async fn is_there(work: &Work, session: &mut Session, index: &IndexName) -> Result<bool, Error> {
    let is = Is::Index { name: index.name.clone() }.on(RelationId::MAIN);
    let (relations, ledger) = (&work.run.program.relations, work.ledger.schema());
    let said = crate::catalog::holds(&mut session.main, relations, ledger, &[is]).await?;
    Ok(said == [true])
}

/// Proves that no value exists in the new column only, which a rollback would lose. Returns what was known of writes through
/// the new column before the proof.
async fn nothing_only_new(
    work: &Work,
    session: &mut Session,
    step: &Step,
    needs: &[Gate],
) -> Result<Option<NewWrites>, Error> {
    let spec = needs.iter().find_map(|g| if let Gate::NothingOnlyNew { spec, .. } = g { Some(spec) } else { None });
    let Some(spec) = spec else { return Ok(None) };
    let state = work.ledger.log().state(&mut session.main, &work.run).await?;
    if !state.done.contains(&step.key) {
        // Killed before the column was there.
        return Ok(None);
    }
    let mut before = work.ledger.progress().new_writes(&mut session.main, &work.run).await?;
    for _ in 0..PAUSES {
        if before.is_none_or(NewWrites::notes_the_next) {
            break;
        }
        work.sleep(PAUSE).await?;
        before = work.ledger.progress().new_writes(&mut session.main, &work.run).await?;
    }
    prove_nothing_only_new(work, spec, step.key.phase).await?;
    Ok(before)
}
