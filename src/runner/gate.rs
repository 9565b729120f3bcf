//! What must hold before a step may commit, and the waits that make it hold.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::session::Session;
use super::{Error, NotYet, clock};
use crate::engine::Work;
use crate::engine::compare::identity_query;
use crate::event::{Event, Wait};
use crate::ledger::{NewWrites, Run};
use crate::pg;
use crate::run::{Action, CompareSpec, Entry, Gate, Outcome, Pair, Phase, Relation, Stage, State, Step, StepKey, What};

/// A grace period that has no more than this left is waited for in-process; otherwise the run ends and says when to come
/// back.
const SHORT_WAIT: Duration = Duration::from_mins(1);

/// How often crossfade makes a failed guard hold before it gives the step up.
pub(super) const MENDS: u32 = 5;

/// Returns the error of a step whose guards cannot be made to hold.
pub(super) fn will_not_hold(step: &Step) -> Error {
    Error::DoesNotLast { step: step.key.clone(), tries: MENDS }
}

/// A guard that did not hold. The words are for the server's log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum GuardFailed {
    /// There is no fresh, clean check of what is there now.
    #[error("no fresh and clean check of what is there now")]
    NotVerified,
    /// Somebody writes to the old column.
    #[error("the old column is still written")]
    NotQuiet,
    /// Something depends on the column and would be dropped with it.
    #[error("something depends on the column")]
    Dependants,
    /// Something that only a step of its own can wait for.
    #[error("it is not so that {0}")]
    NotWaitedFor(String),
    /// Somebody has changed what the step's statements were made for.
    #[error("somebody has changed the table meanwhile")]
    Changed,
    /// The new column was written after crossfade found that a rollback loses nothing.
    #[error("the new column was written meanwhile")]
    WrittenThroughNew,
}

/// A guard as a condition of SQL, to be proved where the lock is held, and what it means that it does not hold.
pub(super) struct Guard {
    /// The condition.
    pub(super) condition: String,
    /// What it means that it does not hold.
    pub(super) failed: GuardFailed,
}

/// Returns the guards as conditions, or the guard that holds only by being waited for, if one is asked for here: it is not
/// passed over. `tx` is inside the transaction, before its lock.
pub(super) async fn guards(
    work: &Work,
    tx: &mut PgConnection,
    needs: &[Gate],
    new_writes: Option<NewWrites>,
) -> Result<Result<Vec<Guard>, GuardFailed>, Error> {
    let (program, progress) = (&work.run.program, work.ledger.progress());
    let mut guards = Vec::new();
    for gate in needs {
        let (condition, failed) = match gate {
            Gate::Verified { max_age } => {
                let identity = |relation: &Relation| identity_query(&work.ledger, relation, &program.tag);
                let relations: Vec<_> = program.compared().map(|(id, relation)| (id, identity(relation))).collect();
                (progress.verified(&work.run, &relations, *max_age), GuardFailed::NotVerified)
            }
            Gate::Quiet { .. } => {
                let quiet = progress.contract(&mut *tx, &work.run).await?.quiet;
                (progress.is_quiet(&work.run, quiet), GuardFailed::NotQuiet)
            }
            Gate::NoDependants { relation, column, except } => {
                let Some(relation) = program.relation(*relation) else { continue };
                let condition = crate::catalog::no_dependants(&relation.table, column, except);
                (condition, GuardFailed::Dependants)
            }
            // Looked at before the transaction, which must not read a table; what comes after that, the proof finds.
            Gate::NoNulls { .. } => continue,
            Gate::Grace { .. } => return Ok(Err(GuardFailed::NotWaitedFor(gate.to_string()))),
            Gate::NothingOnlyNew { one_way, .. } => match new_writes.filter(|_| *one_way) {
                Some(before) => (progress.no_new_writes(&work.run, before), GuardFailed::WrittenThroughNew),
                None => continue,
            },
        };
        guards.push(Guard { condition, failed });
    }
    Ok(Ok(guards))
}

/// Proves that `phase` is approved, where the plan asks for that. Inside a transaction that has locked the log, nobody can take the
/// approval back until it ends.
///
/// # Errors
/// [`NotYet::Gate`].
pub(super) async fn approved(work: &Work, connection: &mut PgConnection, phase: Phase) -> Result<(), Error> {
    if !work.run.plan.approve.contains(&phase) {
        return Ok(());
    }
    let log = work.ledger.log().entries(connection, work.run.id).await?;
    let now = clock::server(connection).await?;
    let reading = super::gates::approved(&work.run, phase, &log, now)?;
    if reading.is_open() {
        return Ok(());
    }
    Err(Error::NotYet(NotYet::Gate { name: work.run.name().clone(), phase, reading }))
}

/// Records that a step has begun whose effect is not in one transaction with the log.
///
/// # Errors
/// [`NotYet::Gate`] when its phase is not approved.
pub(super) async fn begin(work: &Work, session: &mut Session, step: &Step) -> Result<(), Error> {
    let limits = pg::Limits { lock: Duration::from_secs(5), statement: Duration::from_secs(10), durable: true };
    pg::transaction(&mut session.main, limits, async |tx| {
        work.ledger.leases().fence(tx, work.lease).await?;
        let entries = [Entry::StepStarted { step: step.key.clone() }];
        work.ledger.log().append(tx, &work.run, &entries, &work.actor).await?;
        approved(work, tx, step.key.phase).await
    })
    .await
}

/// Checks all rows and records the result; a clean one makes `step` done in the same transaction. Returns the outcome,
/// clean or not.
pub(super) async fn check(
    work: &Work,
    session: &mut Session,
    spec: &CompareSpec,
    phase: Phase,
    step: Option<&Step>,
) -> Result<Outcome, Error> {
    crate::engine::compare::complete(work, spec).await?;
    let (mut outcome, identity) = work.check(spec, phase).await?;
    work.ledger.progress().trace(&mut session.main, work.run.id, &mut outcome.keys).await?;
    let limits = pg::Limits { lock: Duration::from_secs(5), statement: Duration::from_secs(10), durable: true };
    pg::transaction(&mut session.main, limits, async |tx| {
        work.ledger.leases().fence(tx, work.lease).await?;
        work.ledger.progress().store_check(tx, &work.run, spec.relation, &identity, &outcome, false).await?;
        let mut entries = vec![Entry::Verified { counts: outcome.counts }];
        if let Some(step) = step.filter(|_| outcome.is_clean()) {
            entries.push(Entry::StepDone { step: step.key.clone(), adopted: false });
        }
        work.ledger.log().append(tx, &work.run, &entries, &work.actor).await
    })
    .await?;
    work.emit(Event::Verified(outcome.clone()));
    Ok(outcome)
}

/// Makes a failed guard hold, if crossfade can; `waits` says whether it may wait for that, and `until` when the window of the
/// schedule closes.
///
/// # Errors
/// [`Error::Mismatch`], or what a person has to do.
pub(super) async fn mend(
    work: &Work,
    session: &mut Session,
    step: &Step,
    failed: GuardFailed,
    (waits, until): (bool, Option<DateTime<Utc>>),
) -> Result<(), Error> {
    match failed {
        GuardFailed::NotVerified => {
            let before = work.run.program.steps.iter().take_while(|s| s.key != step.key);
            let spec =
                before.filter_map(|s| if let Action::Compare(spec) = &s.action { Some(spec) } else { None }).last();
            let Some(spec) = spec else {
                return Err(Error::NoCheck { step: step.key.clone() });
            };
            super::schedule::check_fits(work, session, step.key.phase, until).await?;
            let outcome = check(work, session, spec, step.key.phase, None).await?;
            if outcome.is_clean() { Ok(()) } else { Err(Error::Mismatch(outcome)) }
        }
        GuardFailed::NotQuiet => await_quiet(work, session, waits).await,
        // The step loop looks again, and follows.
        GuardFailed::Changed => Ok(()),
        GuardFailed::Dependants => {
            let names = dependants(work, session, &step.needs).await?;
            // If they have gone in the meantime, the next attempt will say so.
            if names.is_empty() { Ok(()) } else { Err(Error::Dependants { names }) }
        }
        GuardFailed::NotWaitedFor(gate) => {
            Err(Error::Step { step: step.key.clone(), error: format!("it is not so that {gate}") })
        }
        GuardFailed::WrittenThroughNew => Err(Error::WrittenMeanwhile),
    }
}

/// Returns what depends on the columns of which the gates say that nothing may.
async fn dependants(work: &Work, session: &mut Session, gates: &[Gate]) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for gate in gates {
        let Gate::NoDependants { relation, column, except } = gate else { continue };
        let Some(relation) = work.run.program.relation(*relation) else { continue };
        let found = crate::catalog::dependants(&mut session.main, &relation.table, column).await?;
        names.extend(found.into_iter().filter(|d| !except.contains(&d.name)).map(|d| d.description));
    }
    Ok(names)
}

/// Waits until nothing has been written to the old columns for as long as the plan says, or the run was tuned to. A write
/// during the wait ends it: the old release is still there.
///
/// # Errors
/// [`NotYet::Quiet`] when a write was seen, or at once unless it `waits`.
pub(super) async fn await_quiet(work: &Work, session: &mut Session, waits: bool) -> Result<(), Error> {
    let mut first = None;
    let mut last = work.ledger.log().entries(&mut session.main, work.run.id).await?.last().map(|line| line.at);
    loop {
        let now = clock::now(session).await?;
        if let Some(back) = last.replace(now).map(|last| last - now).filter(|back| *back > clock::SET_BACK) {
            clock::note_set_back(work, session, back).await?;
        }
        let Some(counts) = work.ledger.progress().sample_writes(&mut session.main, &work.run).await? else {
            return Ok(());
        };
        let quiet = work.ledger.progress().contract(&mut session.main, &work.run).await?.quiet;
        let missing = seconds(quiet) - counts.old_quiet_seconds;
        if missing <= 0 {
            return Ok(());
        }
        let before = *first.get_or_insert(counts.old);
        if counts.old > before || !waits {
            let left = Duration::from_secs(u64::try_from(missing).unwrap_or(0));
            return Err(Error::NotYet(NotYet::Quiet { quiet, left, writes: counts.old - before, total: counts.old }));
        }
        #[expect(clippy::cast_precision_loss, reason = "seconds of a wait")]
        work.emit(Event::Waiting { wait: Wait::Quiet, seconds: Some(missing as f64) });
        work.sleep(Duration::from_millis(500)).await?;
    }
}

/// Waits until the last step has been done for as long as the plan says, or the run was tuned to.
///
/// # Errors
/// [`NotYet::Grace`] when that is more than a minute away, or at once unless it `waits`.
pub(super) async fn await_grace(work: &Work, session: &mut Session, waits: bool) -> Result<(), Error> {
    loop {
        let grace = work.ledger.progress().contract(&mut session.main, &work.run).await?.grace;
        let log = work.ledger.log().entries(&mut session.main, work.run.id).await?;
        let now = clock::now(session).await?;
        if let Some(back) = log.last().map(|line| line.at - now).filter(|back| *back > clock::SET_BACK) {
            clock::note_set_back(work, session, back).await?;
            continue;
        }
        let since = clock::last_done(&log).unwrap_or(work.run.created_at);
        let passed = (now - since).to_std().unwrap_or_default();
        let Some(missing) = grace.checked_sub(passed).filter(|missing| !missing.is_zero()) else { return Ok(()) };
        if missing > SHORT_WAIT || !waits {
            let (name, zone) = (work.run.name().clone(), crate::run::zone(&work.run.plan));
            return Err(Error::NotYet(NotYet::Grace { name, until: now + missing, zone, left: missing }));
        }
        work.emit(Event::Waiting { wait: Wait::Grace, seconds: Some(missing.as_secs_f64()) });
        work.sleep(missing.min(Duration::from_millis(500))).await?;
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Returns what to compare, under the names that the columns have now.
pub(super) fn current_spec<'r>(run: &'r Run, state: &State) -> Result<&'r CompareSpec, Error> {
    if run.program.compared().next().is_none() {
        return Err(Error::ComparesNothing { name: run.called.clone() });
    }
    let phase = state.stage().map(|stage| match stage {
        Stage::Soak => Phase::Verify,
        Stage::Swapped => Phase::Switch,
        Stage::Retired => Phase::Contract,
    });
    let mut steps = phase.into_iter().flat_map(|phase| run.program.steps_of(phase));
    let spec = steps.find_map(|step| if let Action::Compare(spec) = &step.action { Some(spec) } else { None });
    spec.ok_or_else(|| Error::NothingToCompare {
        name: run.called.clone(),
        yet_to_come: !state.is_over() && !state.is_done(&StepKey::new(Phase::Contract, What::Drop)),
    })
}

/// Proves that no value exists in the new column only, so that the column may be dropped.
pub(super) async fn prove_nothing_only_new(work: &Work, spec: &CompareSpec, phase: Phase) -> Result<(), Error> {
    let (outcome, _) = work.check(spec, phase).await?;
    let only_new = outcome.counts.only_new;
    if only_new > 0 {
        let empty = |pair: &Pair| format!("WHERE {} IS NULL AND {} IS NOT NULL", pair.old, pair.new);
        let (table, empty) = (spec.table.clone(), spec.pairs.iter().map(empty).collect());
        return Err(Error::WouldLose { rows: only_new, table, empty });
    }
    if outcome.counts.different > 0 { Err(Error::Mismatch(outcome)) } else { Ok(()) }
}
