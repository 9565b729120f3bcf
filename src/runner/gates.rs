//! The gates in front of what a run does next: what is found of them now. Nothing is decided on an old finding: each call
//! looks again, and what is proved in the transaction of a step is proved there as well ([`super::gate`]).

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Error, NotYet, clock, evidence, requirements};
use crate::amounts::{duration, plural};
use crate::engine::compare::checked_query;
use crate::ident::RunId;
use crate::ledger::{Ledger, LedgerError, LoggedEntry, Run, Snapshot};
use crate::pg::{self, ErrorClass};
use crate::plan::calendar::in_zone;
use crate::run::{
    Action, Approval, Entry, Evidence, Gate, GateKind, GateReading, Given, Head, Line, Phase, Stage, State, Undo,
    approval, digest, gates_of, scheduled, warnings, zone,
};

/// What was read of a run before its gates are judged.
#[derive(Debug)]
pub(crate) struct Seen {
    /// What the ledger holds of it besides its log.
    pub(crate) snapshot: Snapshot,
    /// Whether the last check is of the tables and the triggers as they are; `None` where no gate asks for that.
    is_of_now: Option<Result<bool, Error>>,
}

/// Reads what gates are judged by, of all of these runs at once and in their order.
///
/// # Errors
/// The ledger's; inside, those of one run by itself.
pub(crate) async fn look(
    ledger: &Ledger,
    connection: &mut PgConnection,
    runs: &[(&Run, &State)],
) -> Result<Vec<Result<Seen, LedgerError>>, Error> {
    let named: Vec<&Run> = runs.iter().map(|(run, _)| *run).collect();
    let snapshots = ledger.snapshots(connection, &named).await?;
    let mut checked = Vec::new();
    for ((run, state), snapshot) in runs.iter().zip(&snapshots) {
        let is_checked = snapshot.as_ref().is_ok_and(|snapshot| snapshot.check.is_some());
        if is_checked && gates_of(&run.plan, &run.program, state).contains(&GateKind::Verified) {
            checked.push(*run);
        }
    }
    let mut of_now = of_now(ledger, connection, &checked).await?;
    let seen = |((run, _), snapshot): (&(&Run, &State), Result<Snapshot, LedgerError>)| {
        Ok(Seen { snapshot: snapshot?, is_of_now: of_now.remove(&run.id) })
    };
    Ok(runs.iter().zip(snapshots).map(seen).collect())
}

/// As [`look`], of one run.
///
/// # Errors
/// The ledger's.
pub(crate) async fn look_at(
    ledger: &Ledger,
    connection: &mut PgConnection,
    run: &Run,
    state: &State,
) -> Result<Seen, Error> {
    let mut seen = look(ledger, connection, &[(run, state)]).await?;
    Ok(seen.pop().expect("there is one for each run")?)
}

pg::columns!(
    struct OfNow {
        run_id: i64,
        is_of_now: bool,
    }
);

/// Returns of which of these runs the last check is of the tables and the triggers as they are: asked in one statement, unless one of them
/// cannot be answered.
async fn of_now(
    ledger: &Ledger,
    connection: &mut PgConnection,
    runs: &[&Run],
) -> Result<BTreeMap<RunId, Result<bool, Error>>, Error> {
    if runs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let relations: Vec<_> =
        runs.iter().flat_map(|run| run.program.compared().map(|(id, relation)| (*run, id, relation))).collect();
    let found: Result<Vec<OfNow>, _> =
        pg::query_as(&checked_query(ledger, &relations)).fetch_all(&mut *connection).await;
    match (found, runs) {
        (Ok(found), _) => {
            let all = |run: &Run| found.iter().filter(|of| of.run_id == run.id.0).all(|of| of.is_of_now);
            Ok(runs.iter().map(|run| (run.id, Ok(all(run)))).collect())
        }
        (Err(error), _) if pg::class_of(&error) == ErrorClass::Connection => Err(error.into()),
        (Err(error), [run]) => Ok(BTreeMap::from([(run.id, Err(error.into()))])),
        (Err(_), _) => {
            let mut found = BTreeMap::new();
            for run in runs {
                found.append(&mut Box::pin(of_now(ledger, connection, &[run])).await?);
            }
            Ok(found)
        }
    }
}

/// What is found of the gates in front of what a run does next.
#[derive(Debug)]
pub(crate) struct Readings {
    /// What is found of each gate.
    pub(crate) gates: Vec<GateReading>,
    /// Who uses the old columns, if one of the gates asks for that and it could be read.
    pub(crate) evidence: Option<Evidence>,
}

/// Returns what is found of the gates in front of what a run does next: as things are now, if the clock stood at `at`.
/// `log` is its whole log, `seen` what was read of it just now.
///
/// # Errors
/// The ledger's. What cannot be read otherwise is [`Unknown`](crate::run::Verdict::Unknown).
pub(crate) async fn readings(
    ledger: &Ledger,
    connection: &mut PgConnection,
    (run, state, log): (&Run, &State, &[LoggedEntry]),
    seen: &Seen,
    at: DateTime<Utc>,
) -> Result<Readings, Error> {
    let (mut found, mut evidence) = (Vec::new(), None);
    if !state.is_over() {
        found = scheduled(&run.plan, &run.program, (state.phase, entered(log)), at);
    }
    let kinds = gates_of(&run.plan, &run.program, state);
    found.retain(|reading| kinds.contains(&reading.gate));
    for kind in kinds {
        let reading = match kind {
            GateKind::Due | GateKind::Window => continue,
            GateKind::Requires => Box::pin(requirements::gate(ledger, connection, run, state)).await,
            GateKind::Approved => approved(run, state.phase, log, at),
            GateKind::Verified => Ok(verified(run, seen, at)),
            GateKind::Quiet => Ok(quiet(&seen.snapshot, at)),
            GateKind::Grace => Ok(grace(&seen.snapshot, state, log, at)),
            GateKind::Consent => Ok(consent(run, state)),
            GateKind::Hook => Ok(super::hooks::last_said(run, state.phase, log)),
            GateKind::Unused => evidence::evidence(ledger, connection, run, log, &seen.snapshot)
                .await
                .map(|found| evidence.insert(found).judge(seen.snapshot.contract.unused, &evidence::accepted(log), at)),
        };
        found.push(match reading {
            Err(error) if error.class() == ErrorClass::Connection => return Err(error),
            Err(error) => GateReading::unknown(kind, error.to_string()),
            Ok(reading) => reading,
        });
    }
    Ok(Readings { gates: found, evidence })
}

/// Returns the first gate that keeps a run from going on with its phase; those of the schedule count if it is `scheduled`.
pub(super) fn closed(run: &Run, state: &State, found: &[GateReading], scheduled: bool) -> Option<NotYet> {
    let counts = |gate: GateKind| gate.is_entry() && (scheduled || !gate.is_scheduled());
    let reading = found.iter().find(|reading| counts(reading.gate) && !reading.is_open())?;
    Some(NotYet::Gate { name: run.name().clone(), phase: state.phase, reading: reading.clone() })
}

/// Returns the gate that a run with these readings, none of which keeps it from beginning, comes to first; `None` if it has
/// something else to do before.
pub(super) fn first<'f>(run: &Run, state: &State, found: &'f [GateReading]) -> Option<&'f GateReading> {
    let closed = |kind| found.iter().find(|reading| reading.gate == kind && !reading.is_open());
    for step in state.next_steps(&run.program) {
        let kind = match (&step.action, &step.undo) {
            (Action::Await(Gate::Quiet { .. }), _) => GateKind::Quiet,
            (Action::Await(Gate::Grace { .. }), _) => GateKind::Grace,
            (_, Undo::PointOfNoReturn(_)) => GateKind::Consent,
            (Action::Compare(_), _) => continue,
            _ => return None,
        };
        if let Some(reading) = closed(kind) {
            return Some(reading);
        }
    }
    None
}

/// Returns whether the next step of a run with these readings, none of which keeps it from beginning, only waits.
pub(super) fn waits(run: &Run, state: &State, found: &[GateReading], consent: bool) -> bool {
    let is_closed = |kind| found.iter().any(|reading| reading.gate == kind && !reading.is_open());
    for step in state.next_steps(&run.program) {
        match (&step.action, &step.undo) {
            (Action::Await(Gate::Quiet { .. }), _) if is_closed(GateKind::Quiet) => return true,
            (Action::Await(Gate::Grace { .. }), _) if is_closed(GateKind::Grace) => return true,
            (Action::Await(_), _) => {}
            (_, Undo::PointOfNoReturn(_)) => return !consent,
            _ => return false,
        }
    }
    false
}

/// When the run came into its phase; `None` in its first.
pub(crate) fn entered(log: &[LoggedEntry]) -> Option<DateTime<Utc>> {
    log.iter().rev().find(|line| matches!(line.entry, Entry::PhaseDone { .. })).map(|line| line.at)
}

/// Returns where the approval of `phase` stands at `at`.
///
/// # Errors
/// [`LedgerError::Unreadable`] when what it is of cannot be written as it is stored.
pub(crate) fn approval_of(
    run: &Run,
    phase: Phase,
    log: &[LoggedEntry],
    at: DateTime<Utc>,
) -> Result<Approval, LedgerError> {
    let lines = log.iter().map(|line| Line { at: line.at, actor: &line.actor, entry: &line.entry });
    Ok(approval(&run.plan, &digest_of(run, log)?, phase, lines, at))
}

/// Returns the digest of what an approval given now is of.
pub(crate) fn digest_of(run: &Run, log: &[LoggedEntry]) -> Result<Head, LedgerError> {
    let warnings = warnings(log.iter().map(|line| &line.entry));
    let unreadable = |error| LedgerError::Unreadable { what: "program", run: run.id, error };
    digest(&run.plan, &run.facts, &run.program, warnings).map_err(unreadable)
}

pub(super) fn approved(run: &Run, phase: Phase, log: &[LoggedEntry], at: DateTime<Utc>) -> Result<GateReading, Error> {
    let kind = GateKind::Approved;
    let by = |given: &Given| {
        let comment = given.comment.as_ref().map(|comment| format!(": {comment}")).unwrap_or_default();
        format!("{} (role {}){comment}", given.person, given.role)
    };
    Ok(match approval_of(run, phase, log, at)? {
        Approval::NotNeeded => GateReading::pass(kind, "no approval is needed"),
        Approval::Given(given) => {
            let until = in_zone(given.expires, zone(&run.plan));
            let how = if given.bypass { "BYPASSED by" } else { "approved by" };
            GateReading::pass(kind, format!("{how} {}; counts until {until}", by(&given))).since(Some(given.at))
        }
        Approval::Missing => GateReading::fail(kind, format!("nobody has approved {phase}")),
        Approval::Void { given, why } => {
            let what = if given.bypass { "bypass" } else { "approval" };
            let reason = format!("the {what} of {phase} by {} {}", given.person, why.as_str());
            GateReading::fail(kind, reason).since(Some(given.at))
        }
    })
}

/// Returns whether the last check of all rows still counts at `at`.
pub(super) fn verified(run: &Run, seen: &Seen, at: DateTime<Utc>) -> GateReading {
    let again = "it is done again by a tick, and before the step that needs it";
    let Some((check, is_of_now)) = seen.snapshot.check.as_ref().zip(seen.is_of_now.as_ref()) else {
        return GateReading::fail(GateKind::Verified, format!("no row was compared yet; {again}"));
    };
    let max_age = run.plan.verify.max_age;
    let age = (at - check.at).to_std().unwrap_or_default();
    let is_of_now = match is_of_now {
        Ok(is_of_now) => *is_of_now,
        Err(error) => return GateReading::unknown(GateKind::Verified, error.to_string()),
    };
    let reading = if check.mismatches > 0 {
        GateReading::fail(GateKind::Verified, format!("{} not equal", plural(check.mismatches, "row")))
    } else if !is_of_now {
        let reason = format!("all rows were equal, but the table or its triggers have changed since; {again}");
        GateReading::fail(GateKind::Verified, reason)
    } else if age > max_age {
        let (age, most) = (duration(age.as_secs_f64()), duration(max_age.as_secs_f64()));
        GateReading::fail(GateKind::Verified, format!("the check is {age} old, and may be {most} old; {again}"))
    } else {
        GateReading::pass(GateKind::Verified, "all rows were equal")
    };
    reading.since(Some(check.at))
}

fn quiet(seen: &Snapshot, at: DateTime<Utc>) -> GateReading {
    let (quiet, counts) = (seen.contract.quiet, seen.writes);
    let since = seen.at - chrono::Duration::seconds(counts.old_quiet_seconds);
    let needs = duration(quiet.as_secs_f64());
    let opens = after(since, quiet);
    let reading = if opens <= at {
        GateReading::pass(GateKind::Quiet, format!("nobody has written the old column for {needs} or longer"))
    } else {
        let for_now = duration(f64::from(i32::try_from(counts.old_quiet_seconds).unwrap_or(i32::MAX)));
        // Without a write, the time counts from the moment when the trigger began to look.
        let known = if counts.old == 0 {
            format!("nobody has written the old column in the {for_now} that it is watched")
        } else {
            format!("the old column was written {for_now} ago")
        };
        let reason = format!("{known}; nobody may write it for {needs}");
        GateReading::fail(GateKind::Quiet, reason).opens(Some(opens))
    };
    reading.since(Some(since))
}

fn grace(seen: &Snapshot, state: &State, log: &[LoggedEntry], at: DateTime<Utc>) -> GateReading {
    let grace = seen.contract.grace;
    let kept = duration(grace.as_secs_f64());
    let retired = clock::last_done(log).filter(|_| state.stage() == Some(Stage::Retired));
    let Some(retired) = retired else {
        let reason = format!("the old column is not retired yet; it is kept for {kept} after that");
        return GateReading::fail(GateKind::Grace, reason);
    };
    let opens = after(retired, grace);
    let reading = if opens <= at {
        GateReading::pass(GateKind::Grace, format!("the retired column was kept for {kept}"))
    } else {
        let reason = format!("the retired column is kept for {kept}");
        GateReading::fail(GateKind::Grace, reason).opens(Some(opens))
    };
    reading.since(Some(retired))
}

fn consent(run: &Run, state: &State) -> GateReading {
    let mut steps = state.next_steps(&run.program);
    let step = steps.find(|step| matches!(step.undo, Undo::PointOfNoReturn(_)));
    let what = step.map_or("what cannot be undone", |step| &step.title);
    GateReading::fail(GateKind::Consent, format!("somebody must agree to this, with --yes: {what}"))
}

fn after(at: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    let wait = chrono::Duration::from_std(wait).unwrap_or(chrono::Duration::MAX);
    at.checked_add_signed(wait).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
