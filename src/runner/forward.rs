//! The step loop. It decides nothing itself: the ledger's state says which step is next, and the step says how to tell that
//! it is done and what to do.

use std::time::{Duration, Instant};

use tracing::Instrument as _;

use super::ddl::{Ended, Job};
use super::session::Session;
use super::{Error, NotYet, ddl, gate};
use crate::engine::{Work, build_index};
use crate::event::Event;
use crate::pg::ErrorClass;
use crate::run::{Action, Condition, Entry, Gate, Mode, Phase, State, Step, Undo};

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// To the end of the run.
    End,
    /// To the end of this phase.
    Phase(Phase),
    /// To the end of the phase the run is in.
    OnePhase,
}

/// How far to go, and what may be done on the way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    /// How far.
    pub(super) until: Until,
    /// Whether somebody has agreed to what cannot be undone.
    pub(super) consent: bool,
}

impl Course {
    /// Whether to wait for a gate that opens soon. One phase at a time is what schedulers ask for, often: they come again.
    fn waits(self) -> bool {
        self.until != Until::OnePhase
    }
}

/// Continues the run. Returns the phases that were finished.
///
/// # Errors
/// Why it stopped before it got there; everything done so far is recorded.
pub(super) async fn forward(work: &Work, course: Course) -> Result<Vec<Phase>, Error> {
    let mut session = Session::open(&work.connector).await?;
    let mut finished = Vec::new();
    loop {
        let result = go(work, &mut session, course, &mut finished).await;
        match result {
            Ok(()) => return Ok(finished),
            Err(error) if error.class() == ErrorClass::Connection => session = Session::reopen(work, &error).await?,
            Err(Error::Interrupted) => {
                let _ = note(work, &mut session, Entry::Interrupted).await;
                return Err(Error::Interrupted);
            }
            Err(error) => return Err(error),
        }
    }
}

async fn go(work: &Work, session: &mut Session, course: Course, finished: &mut Vec<Phase>) -> Result<(), Error> {
    let program = &work.run.program;
    let mut announced = None;
    let mut was_paused = false;
    loop {
        if work.stop.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let state = work.ledger.log().state(&mut session.main, &work.run).await?;
        match state.mode {
            Mode::Done => {
                work.emit(Event::Done);
                return Ok(());
            }
            Mode::Undoing(_) => {
                return Err(Error::RollingBack { name: work.run.name().clone() });
            }
            Mode::RolledBack => return Err(Error::RolledBack { name: work.run.name().clone() }),
            Mode::New | Mode::Forward | Mode::Failed | Mode::Drifted => {}
        }
        let reached = match course.until {
            Until::End => false,
            Until::Phase(last) => program.is_past(state.phase, last),
            Until::OnePhase => !finished.is_empty(),
        };
        if reached {
            return Ok(());
        }
        if state.paused {
            if !was_paused {
                work.emit(Event::Paused);
                was_paused = true;
            }
            work.sleep(Duration::from_millis(500)).await?;
            continue;
        }
        if was_paused {
            work.emit(Event::Unpaused);
            was_paused = false;
        }
        if announced != Some(state.phase) {
            announced = Some(state.phase);
            work.emit(Event::PhaseStarted { phase: state.phase });
            refuse_drift(work, session, &state).await?;
            super::surround::surround(work, session, &state).await?;
        }
        let Some(step) = state.next_step(program) else {
            note(work, session, Entry::PhaseDone { phase: state.phase }).await?;
            // Phases may be weeks apart, and shorter than a heartbeat: note the write counters here.
            work.ledger.progress().sample_writes(&mut session.main, &work.run).await?;
            finished.push(state.phase);
            work.emit(Event::PhaseDone { phase: state.phase });
            continue;
        };
        let started = Instant::now();
        work.emit(Event::StepStarted { step: step.key.clone(), title: step.title.clone() });
        let adopted = execute(work, session, course, &state, step).instrument(Work::step_span(&step.key)).await?;
        let seconds = started.elapsed().as_secs_f64();
        work.emit(Event::StepDone { step: step.key.clone(), seconds, adopted });
    }
}

/// Does one step, unless the catalog shows that it is done. Returns whether it was.
async fn execute(
    work: &Work,
    session: &mut Session,
    course: Course,
    state: &State,
    step: &Step,
) -> Result<bool, Error> {
    if !step.done_when.is_empty() && missing(work, session, &step.done_when).await?.is_empty() {
        note(work, session, Entry::StepDone { step: step.key.clone(), adopted: true }).await?;
        return Ok(true);
    }
    if let (Undo::PointOfNoReturn(why), false) = (&step.undo, course.consent) {
        return Err(Error::NotYet(NotYet::Irreversible {
            name: work.run.name().clone(),
            step: step.key.clone(),
            title: step.title.clone(),
            why: why.clone(),
        }));
    }
    if matches!(step.undo, Undo::PointOfNoReturn(_)) {
        note(work, session, Entry::Consented { to: vec![step.title.clone()] }).await?;
    }
    let result = apply(work, session, course, state, step).await;
    match result {
        Ok(()) => Ok(false),
        Err(error) => {
            // A person must see this in the ledger; a lost connection or a stop is not a failure of the step.
            let failed = matches!(error, Error::Step { .. } | Error::Locked { .. } | Error::Mismatch(_));
            if failed {
                let entry = Entry::StepFailed { step: step.key.clone(), error: error.to_string() };
                note(work, session, entry).await?;
            }
            Err(error)
        }
    }
}

async fn apply(work: &Work, session: &mut Session, course: Course, state: &State, step: &Step) -> Result<(), Error> {
    let done = Entry::StepDone { step: step.key.clone(), adopted: false };
    if let Action::Transaction(statements) = &step.action {
        let entries = [done];
        let (targets, needs) = (&step.targets, &step.needs);
        let job = Job { step: &step.key, targets, needs, statements, entries: &entries, new_writes: None };
        for _ in 0..gate::MENDS {
            match ddl::transaction(work, session, &job).await? {
                Ended::Done => return Ok(()),
                Ended::Guard(failed) => gate::mend(work, session, step, failed, course.waits()).await?,
            }
        }
        return Err(gate::will_not_hold(step));
    }
    // After a kill, the log already says that it may have run.
    if state.maybe_ran.as_ref() != Some(&step.key) || state.mode != Mode::Forward {
        note(work, session, Entry::StepStarted { step: step.key.clone() }).await?;
    }
    match &step.action {
        Action::Transaction(_) => {}
        Action::Concurrent { settings, statement, builds } => {
            let built = build_index::run(work, &mut session.watch, &step.key, settings, statement, builds.as_ref());
            built.await?;
            let missing = missing(work, session, &step.done_when).await?;
            if !missing.is_empty() {
                return Err(Error::Step {
                    step: step.key.clone(),
                    error: format!("it ended, but this is not the case: {}", missing.join("; ")),
                });
            }
        }
        Action::Fill(spec) => {
            crate::engine::fill::run(work, spec).await?;
            return backfilled(work, session, done).await;
        }
        Action::Compare(spec) => {
            let outcome = gate::check(work, session, spec, step.key.phase, Some(step)).await?;
            return if outcome.is_clean() { Ok(()) } else { Err(Error::Mismatch(outcome)) };
        }
        Action::Await(Gate::Quiet { .. }) => gate::await_quiet(work, session, course.waits()).await?,
        Action::Await(Gate::Grace { .. }) => gate::await_grace(work, session, step, course.waits()).await?,
        Action::Await(gate) => {
            let error = format!("nothing makes it so by waiting: {gate}");
            return Err(Error::Step { step: step.key.clone(), error });
        }
    }
    note(work, session, done).await
}

/// Records that the backfill is done, with its outcome: only once, because a backfill that is repeated after a rollback
/// finds its rows filled.
async fn backfilled(work: &Work, session: &mut Session, done: Entry) -> Result<(), Error> {
    let (ledger, run) = (&work.ledger, &work.run);
    let log = ledger.log().entries(&mut session.main, run.id).await?;
    let known = log.iter().any(|line| matches!(line.entry, Entry::Filled(_)));
    let filled = ledger.progress().filled(&mut session.main, run.id).await?;
    let Some(filled) = filled.filter(|_| !known) else { return note(work, session, done).await };
    let predicted = ledger.log().prediction(&mut session.main, run.id).await?.map(Box::new);
    let entries = [Entry::Filled(filled), done];
    ledger.log().record(&mut session.main, run, Some(work.lease), &entries, &work.actor).await?;
    work.emit(Event::Filled { filled, predicted });
    Ok(())
}

/// Appends one entry, in its own transaction that proves the lease.
pub(super) async fn note(work: &Work, session: &mut Session, entry: Entry) -> Result<(), Error> {
    work.ledger.log().record(&mut session.main, &work.run, Some(work.lease), &[entry], &work.actor).await?;
    Ok(())
}

async fn missing(work: &Work, session: &mut Session, conditions: &[Condition]) -> Result<Vec<String>, Error> {
    missing_conditions(&mut session.main, &work.ledger, &work.run.program, conditions).await
}

/// Returns those of `conditions` that do not hold, in words.
pub(super) async fn missing_conditions(
    connection: &mut sqlx::PgConnection,
    ledger: &crate::ledger::Ledger,
    program: &crate::run::Program,
    conditions: &[Condition],
) -> Result<Vec<String>, Error> {
    let holds = crate::catalog::holds(connection, &program.relations, ledger.schema(), conditions).await?;
    let missing = conditions.iter().zip(holds).filter(|(_, holds)| !holds);
    Ok(missing.map(|(condition, _)| condition.to_string()).collect())
}

/// Returns what the catalog should show after the steps that are done.
pub(super) fn expected_conditions(program: &crate::run::Program, state: &State) -> Vec<Condition> {
    let done: Vec<_> = state.done.iter().filter_map(|id| program.step(id)).collect();
    let superseded = |step: &Step| done.iter().any(|later| later.supersedes.contains(&step.key));
    done.iter().filter(|step| !superseded(step)).flat_map(|step| step.done_when.clone()).collect()
}

/// The log is trusted only as far as the catalog agrees.
async fn refuse_drift(work: &Work, session: &mut Session, state: &State) -> Result<(), Error> {
    let mut state = state.clone();
    // A step that is done although the log does not know it is adopted later, and may have renamed what others made.
    if let Some(step) = state.next_step(&work.run.program)
        && !step.done_when.is_empty()
        && missing(work, session, &step.done_when).await?.is_empty()
    {
        state.done.push(step.key.clone());
    }
    let facts = expected_conditions(&work.run.program, &state);
    let gone: Vec<_> =
        missing(work, session, &facts).await?.into_iter().map(|fact| format!("not the case: {fact}")).collect();
    if gone.is_empty() {
        return Ok(());
    }
    note(work, session, Entry::Drifted { facts: gone.clone() }).await?;
    Err(Error::Drifted { facts: gone })
}
