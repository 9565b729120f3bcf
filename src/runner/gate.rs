//! What must hold before a step may commit, and the waits that make it hold.

use std::time::Duration;

use sqlx::PgConnection;

use super::session::Session;
use super::{Error, NotYet};
use crate::engine::Work;
use crate::engine::compare::identify;
use crate::event::{Event, Wait};
use crate::ledger::{NewWrites, Run};
use crate::pg;
use crate::run::{Action, CompareSpec, Entry, Gate, Outcome, Pair, Phase, Stage, State, Step, StepKey, What};

/// A grace period that has no more than this left is waited for in-process; otherwise the run ends and says when to come
/// back.
const SHORT_WAIT: Duration = Duration::from_mins(1);

/// How often crossfade makes a failed guard hold before it gives the step up.
pub(super) const MENDS: u32 = 5;

/// Returns the error of a step whose guards cannot be made to hold.
pub(super) fn will_not_hold(step: &Step) -> Error {
    Error::DoesNotLast { step: step.key.clone(), tries: MENDS }
}

/// A guard that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GuardFailed {
    /// There is no fresh, clean check of what is there now.
    NotVerified,
    /// Somebody writes to the old column.
    NotQuiet,
    /// Something depends on the column and would be dropped with it.
    Dependants(Vec<String>),
    /// Something that only a step of its own can wait for.
    NotWaitedFor(String),
    /// Somebody has changed what the step's statements were made for.
    Changed,
    /// The new column was written after crossfade found that a rollback loses nothing.
    WrittenThroughNew,
}

/// Returns the first guard that does not hold, inside the open transaction of `tx`.
pub(super) async fn failed(
    work: &Work,
    tx: &mut PgConnection,
    guards: &[Gate],
    new_writes: Option<NewWrites>,
) -> Result<Option<GuardFailed>, Error> {
    let program = &work.run.program;
    for guard in guards {
        match guard {
            Gate::Verified { max_age } => {
                let mut relations = Vec::new();
                for (id, relation) in program.compared() {
                    relations.push((id, identify(&work.ledger, tx, relation, &program.tag).await?));
                }
                if !work.ledger.progress().is_verified(tx, &work.run, &relations, *max_age).await? {
                    return Ok(Some(GuardFailed::NotVerified));
                }
            }
            Gate::Quiet { .. } => {
                let counts = work.ledger.progress().sample_writes(tx, &work.run).await?.unwrap_or_default();
                let quiet = work.ledger.progress().contract(tx, &work.run).await?.quiet;
                if counts.old_quiet_seconds < seconds(quiet) {
                    return Ok(Some(GuardFailed::NotQuiet));
                }
            }
            Gate::NoDependants { relation, column, except } => {
                let Some(relation) = program.relation(*relation) else { continue };
                let found = crate::catalog::dependants(tx, &relation.table, column).await?;
                let unknown: Vec<_> =
                    found.into_iter().filter(|d| !except.contains(&d.name)).map(|d| d.description).collect();
                if !unknown.is_empty() {
                    return Ok(Some(GuardFailed::Dependants(unknown)));
                }
            }
            // Looked at before the transaction, which must not read a table; what comes after that, the proof finds.
            Gate::NoNulls { .. } => {}
            // Only ever waited for, by a step of its own; one that is asked for here is not passed over.
            Gate::Grace { .. } => return Ok(Some(GuardFailed::NotWaitedFor(guard.to_string()))),
            Gate::NothingOnlyNew { one_way, .. } => {
                let now = work.ledger.progress().new_writes(tx, &work.run).await?;
                let written = now.zip(new_writes).is_some_and(|(now, before)| !now.none_since(before));
                if *one_way && written {
                    return Ok(Some(GuardFailed::WrittenThroughNew));
                }
            }
        }
    }
    Ok(None)
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
    let (outcome, identity) = work.check(spec, phase).await?;
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

/// Makes a failed guard hold, if crossfade can; `waits` says whether it may wait for that.
///
/// # Errors
/// [`Error::Mismatch`], or what a person has to do.
pub(super) async fn mend(
    work: &Work,
    session: &mut Session,
    step: &Step,
    failed: GuardFailed,
    waits: bool,
) -> Result<(), Error> {
    match failed {
        GuardFailed::NotVerified => {
            let before = work.run.program.steps.iter().take_while(|s| s.key != step.key);
            let spec =
                before.filter_map(|s| if let Action::Compare(spec) = &s.action { Some(spec) } else { None }).last();
            let Some(spec) = spec else {
                return Err(Error::NoCheck { step: step.key.clone() });
            };
            let outcome = check(work, session, spec, step.key.phase, None).await?;
            if outcome.is_clean() { Ok(()) } else { Err(Error::Mismatch(outcome)) }
        }
        GuardFailed::NotQuiet => await_quiet(work, session, waits).await,
        // The step loop looks again, and follows.
        GuardFailed::Changed => Ok(()),
        GuardFailed::Dependants(names) => Err(Error::Dependants { names }),
        GuardFailed::NotWaitedFor(gate) => {
            Err(Error::Step { step: step.key.clone(), error: format!("it is not so that {gate}") })
        }
        GuardFailed::WrittenThroughNew => Err(Error::WrittenMeanwhile),
    }
}

/// Waits until nothing has been written to the old columns for as long as the plan says, or the run was tuned to. A write
/// during the wait ends it: the old release is still there.
///
/// # Errors
/// [`NotYet::Quiet`] when a write was seen, or at once unless it `waits`.
pub(super) async fn await_quiet(work: &Work, session: &mut Session, waits: bool) -> Result<(), Error> {
    let mut first = None;
    loop {
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

/// Waits until the step before `step` has been done for as long as the plan says, or the run was tuned to.
///
/// # Errors
/// [`NotYet::Grace`] when that is more than a minute away, or at once unless it `waits`.
pub(super) async fn await_grace(work: &Work, session: &mut Session, step: &Step, waits: bool) -> Result<(), Error> {
    loop {
        let grace = work.ledger.progress().contract(&mut session.main, &work.run).await?.grace;
        let log = work.ledger.log().entries(&mut session.main, work.run.id).await?;
        let is_end = |entry: &Entry| matches!(entry, Entry::StepDone { step: done, .. } if *done != step.key);
        let since = log.iter().rev().find(|line| is_end(&line.entry)).map_or(work.run.created_at, |line| line.at);
        let clock = pg::query_scalar("SELECT pg_catalog.clock_timestamp()");
        let now: chrono::DateTime<chrono::Utc> = clock.fetch_one(&mut session.main).await?;
        let passed = (now - since).to_std().unwrap_or_default();
        let Some(missing) = grace.checked_sub(passed).filter(|missing| !missing.is_zero()) else { return Ok(()) };
        if missing > SHORT_WAIT || !waits {
            let name = work.run.name().clone();
            return Err(Error::NotYet(NotYet::Grace { name, until: now + missing, left: missing }));
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
        return Err(Error::ComparesNothing { name: run.name().clone() });
    }
    let phase = state.stage().map(|stage| match stage {
        Stage::Soak => Phase::Verify,
        Stage::Swapped => Phase::Switch,
        Stage::Retired => Phase::Contract,
    });
    let mut steps = phase.into_iter().flat_map(|phase| run.program.steps_of(phase));
    let spec = steps.find_map(|step| if let Action::Compare(spec) = &step.action { Some(spec) } else { None });
    spec.ok_or_else(|| Error::NothingToCompare {
        name: run.name().clone(),
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
