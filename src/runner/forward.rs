//! The step loop. It decides nothing itself: the ledger's state says which step is next, and the step says how to tell that
//! it is done and what to do.

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::Instrument as _;

use super::conditions::missing;
use super::ddl::{Ended, Job};
use super::drift::{self, Found, Way};
use super::gate::GuardFailed;
use super::gates::Readings;
use super::session::{Session, note};
use super::{Error, NotYet, clock, ddl, evidence, gate, gates, hooks, partitioned_index, schedule, soak, surround};
use crate::engine::Work;
use crate::event::{Event, Wait};
use crate::pg::ErrorClass;
use crate::run::{Action, Entry, Gate, GateKind, GateReading, Mode, Phase, State, Step, StepKey, Undo, What};

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
pub(super) struct Course<'a> {
    /// How far.
    pub(super) until: Until,
    /// Whether somebody has agreed to what cannot be undone.
    pub(super) consent: bool,
    /// Whether the plan's schedule is kept to.
    pub(super) scheduled: bool,
    /// Who answers for going on without an approval, and why.
    pub(super) bypass: Option<&'a Bypass>,
    /// Where hooks are.
    pub(super) hooks: Option<&'a Path>,
    /// Why evidence that the old column is still used does not keep the run from going on.
    pub(super) accepts: Option<&'a str>,
}

/// Who answers for going on without the approval that a plan asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bypass {
    /// Who, as they say.
    pub(super) person: String,
    /// Why.
    pub(super) reason: String,
}

impl Course<'_> {
    /// Whether to wait for a gate that opens soon. One phase at a time is what schedulers ask for, often: they come again.
    fn waits(self) -> bool {
        self.until != Until::OnePhase
    }

    /// Whether a scheduler asks.
    fn is_tick(self) -> bool {
        self.scheduled && self.until == Until::OnePhase
    }
}

/// Continues the run. Returns the phases that were finished.
///
/// # Errors
/// Why it stopped before it got there; everything done so far is recorded.
pub(super) async fn forward(work: &mut Work, course: Course<'_>) -> Result<Vec<Phase>, Error> {
    let mut session = Session::open(&work.connector).await?;
    clock::notice(work, &mut session).await?;
    let mut finished = Vec::new();
    loop {
        let result = go(work, &mut session, course, &mut finished).await;
        match result {
            Ok(()) | Err(Error::NotYet(_)) => {
                session.keep(&work.connector);
                return result.map(|()| finished);
            }
            Err(error) if error.class() == ErrorClass::Connection => session = Session::reopen(work, &error).await?,
            Err(Error::Interrupted) => {
                let _ = note(work, &mut session, Entry::Interrupted).await;
                return Err(Error::Interrupted);
            }
            Err(error) => return Err(error),
        }
    }
}

async fn go(
    work: &mut Work,
    session: &mut Session,
    course: Course<'_>,
    finished: &mut Vec<Phase>,
) -> Result<(), Error> {
    if course.is_tick() {
        soak::verify(work, session, course.consent).await?;
    }
    let mut announced = None;
    let mut was_paused = false;
    let mut followed = 0;
    loop {
        if work.stop.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let state = work.ledger.log().state(&mut session.main, &work.run).await?;
        hooks::after(work, session, course.hooks, &state).await?;
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
            Until::Phase(last) => work.run.program.is_past(state.phase, last),
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
        let comes = announced != Some(state.phase);
        let until = pass(work, session, course, (&state, comes)).await?;
        if comes {
            announced = Some(state.phase);
            work.emit(Event::PhaseStarted { phase: state.phase });
            continue;
        }
        let signature = match drift::look(work, session, &state, Way::Forward).await? {
            Found::AsPlanned { signature, .. } => signature,
            Found::Followed | Found::Ruined(_) => {
                still_follows(work, &state, &mut followed)?;
                continue;
            }
        };
        if surround::surround(work, session, (&state, &signature)).await? {
            continue;
        }
        let Some(step) = state.next_step(&work.run.program) else {
            note(work, session, Entry::PhaseDone { phase: state.phase }).await?;
            // Phases may be weeks apart, and shorter than a heartbeat: note the write counters here.
            work.ledger.progress().sample_writes(&mut session.main, &work.run).await?;
            finished.push(state.phase);
            work.emit(Event::PhaseDone { phase: state.phase });
            continue;
        };
        schedule::fits(work, session, &state, step, until).await?;
        let started = Instant::now();
        work.emit(Event::StepStarted { step: step.key.clone(), title: step.title.clone() });
        let now = Now { state: &state, signature: &signature, until };
        let executed = execute(work, session, course, now, step).instrument(Work::step_span(&step.key)).await?;
        let Executed::Done { adopted } = executed else {
            still_follows(work, &state, &mut followed)?;
            continue;
        };
        followed = 0;
        let seconds = started.elapsed().as_secs_f64();
        work.emit(Event::StepDone { step: step.key.clone(), seconds, adopted });
    }
}

/// Proves that the gates in front of the phase are open, and records it where the phase begins. Those of the schedule are
/// looked at before each step, the others when a process comes to the phase. Returns when the window of the schedule closes.
///
/// # Errors
/// [`NotYet::Gate`].
async fn pass(
    work: &Work,
    session: &mut Session,
    course: Course<'_>,
    (state, comes): (&State, bool),
) -> Result<Option<DateTime<Utc>>, Error> {
    let scheduled = course.scheduled && work.run.plan.schedule.is_some();
    if !scheduled && !comes {
        return Ok(None);
    }
    let log = work.ledger.log().entries(&mut session.main, work.run.id).await?;
    let now = clock::now(session).await?;
    let found = if comes {
        if evidence::is_due(&work.run, state) {
            evidence::note(&work.ledger, &mut session.main, &work.run).await?;
        }
        found(work, session, course, state, scheduled).await?
    } else {
        let found = crate::run::scheduled(&work.run.plan, &work.run.program, (state.phase, gates::entered(&log)), now);
        refuse(gates::closed(&work.run, state, &found, scheduled))?;
        found
    };
    if comes && !state.begun {
        let mut found = found;
        if let Some(asked) = hooks::before(work, session, course.hooks, state, &log).await? {
            found.retain(|reading| reading.gate != asked.gate);
            found.push(asked);
        }
        if state.phase == Phase::Switch {
            evidence::begin(&work.ledger, &mut session.main, &work.run).await?;
        }
        note(work, session, Entry::PhaseStarted { phase: state.phase, gates: found }).await?;
    }
    Ok(schedule::closes(work, now).filter(|_| scheduled))
}

fn refuse(closed: Option<NotYet>) -> Result<(), Error> {
    closed.map_or(Ok(()), |closed| Err(Error::NotYet(closed)))
}

/// Returns what is found of the gates in front of the phase, once they are open: an approval that somebody answers for and
/// evidence of use that somebody accepts are recorded, and what only has to become older is waited for, if the course waits,
/// until there is more of it.
///
/// # Errors
/// [`NotYet::Gate`].
async fn found(
    work: &Work,
    session: &mut Session,
    course: Course<'_>,
    state: &State,
    scheduled: bool,
) -> Result<Vec<GateReading>, Error> {
    let (mut accepts, mut bypass) = (course.accepts, course.bypass);
    let mut seen = None;
    loop {
        let log = work.ledger.log().entries(&mut session.main, work.run.id).await?;
        let at_first = gates::look_at(&work.ledger, &mut session.main, &work.run, state).await?;
        let (all, now) = ((&work.run, state, log.as_slice()), at_first.snapshot.at);
        let Readings { gates: found, evidence } =
            gates::readings(&work.ledger, &mut session.main, all, &at_first, now).await?;
        let unused = found.iter().find(|reading| reading.gate == GateKind::Unused && !reading.is_open()).cloned();
        let others: Vec<_> = found.iter().filter(|reading| reading.gate != GateKind::Unused).cloned().collect();
        match (gates::closed(&work.run, state, &others, scheduled), bypass.take()) {
            (None, _) => {}
            (Some(NotYet::Gate { reading, .. }), Some(bypass)) if reading.gate == GateKind::Approved => {
                let Bypass { person, reason } = bypass.clone();
                let digest = gates::digest_of(&work.run, &log)?.as_str().to_owned();
                note(work, session, Entry::ApprovalBypassed { phase: state.phase, person, reason, digest }).await?;
                continue;
            }
            (Some(closed), _) => return Err(Error::NotYet(closed)),
        }
        let Some(unused) = unused else { return Ok(found) };
        if let Some(reason) = accepts.take() {
            let window = at_first.snapshot.contract.unused;
            let evidence = evidence.map(|all| all.open(window, &evidence::accepted(&log), now)).unwrap_or_default();
            if !evidence.is_empty() {
                note(work, session, Entry::EvidenceAccepted { reason: reason.to_owned(), evidence }).await?;
            }
            continue;
        }
        let opens = unused.opens.filter(|_| course.waits());
        // Of writes, only the second is known, and that by two looks at the clock.
        let more = unused.since > seen.get_or_insert(unused.since).map(|since| since + TimeDelta::seconds(2));
        let Some(opens) = opens.filter(|_| !more) else {
            refuse(gates::closed(&work.run, state, &found, scheduled))?;
            return Ok(found);
        };
        let left = (opens - now).to_std().unwrap_or_default();
        work.emit(Event::Waiting { wait: Wait::Unused, seconds: Some(left.as_secs_f64()) });
        work.sleep(left.min(Duration::from_millis(500))).await?;
    }
}

/// What the run stands on before a step.
#[derive(Clone, Copy)]
struct Now<'a> {
    state: &'a State,
    /// The signature of the catalog that the step was made for.
    signature: &'a str,
    /// When the window of the schedule closes.
    until: Option<DateTime<Utc>>,
}

/// How a step ended.
enum Executed {
    /// It is done, or was.
    Done { adopted: bool },
    /// Somebody changed what it was made for, so nothing was done.
    Changed,
}

/// Does one step, unless the catalog shows that it is done.
async fn execute(
    work: &Work,
    session: &mut Session,
    course: Course<'_>,
    now: Now<'_>,
    step: &Step,
) -> Result<Executed, Error> {
    if !step.done_when.is_empty() && missing(work, session, &step.done_when).await?.is_empty() {
        note(work, session, Entry::StepDone { step: step.key.clone(), adopted: true }).await?;
        return Ok(Executed::Done { adopted: true });
    }
    if let (Undo::PointOfNoReturn(why), false) = (&step.undo, course.consent) {
        return Err(Error::NotYet(NotYet::Irreversible {
            name: work.run.name().clone(),
            step: step.key.clone(),
            title: step.title.clone(),
            why: why.clone(),
        }));
    }
    let result = apply(work, session, course, now, step).await;
    match result {
        Ok(executed) => Ok(executed),
        Err(error) => {
            // A person must see this in the ledger; a lost connection or a stop is not a failure of the step.
            let failed = matches!(
                error,
                Error::Step { .. }
                    | Error::WriteFails { .. }
                    | Error::LockedTooLong { .. }
                    | Error::Locked { .. }
                    | Error::Mismatch(_)
            );
            if failed {
                let entry = Entry::StepFailed { step: step.key.clone(), error: error.to_string() };
                note(work, session, entry).await?;
            }
            Err(error)
        }
    }
}

/// Counts how often in a row the run had to follow what others change.
fn still_follows(work: &Work, state: &State, followed: &mut u32) -> Result<(), Error> {
    *followed += 1;
    match state.next_step(&work.run.program) {
        Some(step) if *followed > drift::FOLLOWS => {
            Err(Error::DoesNotLast { step: step.key.clone(), tries: drift::FOLLOWS })
        }
        _ => Ok(()),
    }
}

/// Returns for how long the table may be locked for the twin of an exclusion constraint, if the run was tuned to that or its plan says so.
async fn tuned_lock(work: &Work, session: &mut Session) -> Result<Option<Duration>, Error> {
    let mut settings = work.run.plan.settings();
    for (key, value) in work.ledger.progress().settings(&mut session.main, work.run.id).await? {
        // What is stored besides them (a pause, say) is nobody's setting.
        let _ = settings.tune(&key, &value);
    }
    Ok(settings.exclusion_lock)
}

async fn apply(
    work: &Work,
    session: &mut Session,
    course: Course<'_>,
    Now { state, signature, until }: Now<'_>,
    step: &Step,
) -> Result<Executed, Error> {
    const DONE: Executed = Executed::Done { adopted: false };
    let done = Entry::StepDone { step: step.key.clone(), adopted: false };
    if let Action::Transaction(statements) = &step.action {
        let mut entries = vec![done];
        if matches!(step.undo, Undo::PointOfNoReturn(_)) {
            entries.insert(0, Entry::Consented { to: vec![step.title.clone()] });
        }
        let (targets, needs) = (&step.targets, &step.needs);
        let locked_for = match step.locked_for {
            Some(planned) => Some(tuned_lock(work, session).await?.unwrap_or(planned)),
            None => None,
        };
        let signature = Some((work.run.program.relations.as_slice(), signature));
        let job = Job {
            above: &step.above,
            step: &step.key,
            targets,
            needs,
            statements,
            entries: &entries,
            new_writes: None,
            signature,
            approved: Some(step.key.phase),
            locked_for,
        };
        for _ in 0..gate::MENDS {
            // Before this attempt all rows may have been compared, or a quiet time waited for: whoever came meanwhile counts,
            // and nobody has accepted it.
            if step.key == StepKey::new(Phase::Contract, What::Retire) && evidence::is_due(&work.run, state) {
                let scheduled = course.scheduled && work.run.plan.schedule.is_some();
                evidence::note(&work.ledger, &mut session.main, &work.run).await?;
                Box::pin(found(work, session, Course { accepts: None, ..course }, state, scheduled)).await?;
            }
            match ddl::transaction(work, session, &job).await? {
                Ended::Done => return Ok(DONE),
                Ended::Guard(GuardFailed::Changed) => return Ok(Executed::Changed),
                Ended::Guard(failed) => gate::mend(work, session, step, failed, (course.waits(), until)).await?,
            }
        }
        return Err(gate::will_not_hold(step));
    }
    // After a kill, the log already says that it may have run.
    if state.maybe_ran.as_ref() != Some(&step.key) || state.mode != Mode::Forward {
        gate::begin(work, session, step).await?;
    } else {
        gate::approved(work, &mut session.main, step.key.phase).await?;
    }
    match &step.action {
        Action::Transaction(_) => {}
        Action::Concurrent { settings, statement, builds } => {
            partitioned_index::concurrent(work, session, step, (settings, statement), builds.as_ref()).await?;
            let missing = missing(work, session, &step.done_when).await?;
            if !missing.is_empty() {
                return Err(Error::Step {
                    step: step.key.clone(),
                    error: format!("it ended, but this is not the case: {}", missing.join("; ")),
                });
            }
        }
        Action::BuildInPartitions(index) => partitioned_index::build(work, session, step, index).await?,
        Action::Fill(spec) => {
            let fill = async |work: &Work| Ok(Box::pin(crate::engine::fill::run(work, spec)).await?);
            schedule::within(work, session, state, until, fill).await?;
            backfilled(work, session, done).await?;
            return Ok(DONE);
        }
        Action::Compare(spec) => {
            let outcome = gate::check(work, session, spec, step.key.phase, Some(step)).await?;
            return if outcome.is_clean() { Ok(DONE) } else { Err(Error::Mismatch(outcome)) };
        }
        Action::Await(Gate::Quiet { .. }) => gate::await_quiet(work, session, course.waits()).await?,
        Action::Await(Gate::Grace { .. }) => gate::await_grace(work, session, course.waits()).await?,
        Action::Await(gate) => {
            let error = format!("nothing makes it so by waiting: {gate}");
            return Err(Error::Step { step: step.key.clone(), error });
        }
    }
    note(work, session, done).await?;
    Ok(DONE)
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
