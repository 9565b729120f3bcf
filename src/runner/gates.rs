//! The gates in front of what a run does next: what is found of them now. Nothing is decided on an old finding: each call
//! looks again, and what is proved in the transaction of a step is proved there as well ([`super::gate`]).

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Error, NotYet, clock, evidence, requirements};
use crate::amounts::{duration, plural};
use crate::engine::compare::identity_query;
use crate::ledger::{Ledger, LedgerError, LoggedEntry, Run};
use crate::pg::{self, ErrorClass};
use crate::plan::calendar::in_zone;
use crate::run::{
    Action, Approval, Entry, Gate, GateKind, GateReading, Given, Head, Line, Phase, Relation, Stage, State, Undo,
    approval, digest, gates_of, scheduled, warnings, zone,
};

/// No check is as old.
const AGES: Duration = Duration::from_hours(24 * 36_500);

/// Returns what is found of the gates in front of what a run does next: as things are now, if the clock stood at `at`.
/// `log` is its whole log.
///
/// # Errors
/// The ledger's. What cannot be read otherwise is [`Unknown`](crate::run::Verdict::Unknown).
pub(crate) async fn readings(
    ledger: &Ledger,
    connection: &mut PgConnection,
    run: &Run,
    state: &State,
    log: &[LoggedEntry],
    at: DateTime<Utc>,
) -> Result<Vec<GateReading>, Error> {
    let mut found = Vec::new();
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
            GateKind::Verified => verified(ledger, connection, run, at).await,
            GateKind::Quiet => quiet(ledger, connection, run, at).await,
            GateKind::Grace => grace(ledger, connection, run, state, log, at).await,
            GateKind::Consent => Ok(consent(run, state)),
            GateKind::Hook => Ok(super::hooks::last_said(run, state.phase, log)),
            GateKind::Unused => unused(ledger, connection, run, log, at).await,
        };
        found.push(match reading {
            Err(error) if error.class() == ErrorClass::Connection => return Err(error),
            Err(error) => GateReading::unknown(kind, error.to_string()),
            Ok(reading) => reading,
        });
    }
    Ok(found)
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
///
/// # Errors
/// The ledger's.
pub(super) async fn verified(
    ledger: &Ledger,
    connection: &mut PgConnection,
    run: &Run,
    at: DateTime<Utc>,
) -> Result<GateReading, Error> {
    let again = "it is done again by a tick, and before the step that needs it";
    let Some((checked, mismatches)) = ledger.progress().last_check(connection, run.id).await? else {
        return Ok(GateReading::fail(GateKind::Verified, format!("no row was compared yet; {again}")));
    };
    let max_age = run.plan.verify.max_age;
    let tag = &run.program.tag;
    let identity = |relation: &Relation| identity_query(ledger, relation, tag);
    let relations: Vec<_> = run.program.compared().map(|(id, relation)| (id, identity(relation))).collect();
    let counts = ledger.progress().verified(run, &relations, AGES);
    let counts: bool = pg::query_scalar(&format!("SELECT {counts}")).fetch_one(connection).await?;
    let age = (at - checked).to_std().unwrap_or_default();
    let reading = if mismatches > 0 {
        GateReading::fail(GateKind::Verified, format!("{} not equal", plural(mismatches, "row")))
    } else if !counts {
        let reason = format!("all rows were equal, but the table or its triggers have changed since; {again}");
        GateReading::fail(GateKind::Verified, reason)
    } else if age > max_age {
        let (age, most) = (duration(age.as_secs_f64()), duration(max_age.as_secs_f64()));
        GateReading::fail(GateKind::Verified, format!("the check is {age} old, and may be {most} old; {again}"))
    } else {
        GateReading::pass(GateKind::Verified, "all rows were equal")
    };
    Ok(reading.since(Some(checked)))
}

async fn quiet(
    ledger: &Ledger,
    connection: &mut PgConnection,
    run: &Run,
    at: DateTime<Utc>,
) -> Result<GateReading, Error> {
    let quiet = ledger.progress().contract(connection, run).await?.quiet;
    let now = clock::server(connection).await?;
    let counts = ledger.progress().write_counts(connection, run).await?;
    let since = now - chrono::Duration::seconds(counts.old_quiet_seconds);
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
    Ok(reading.since(Some(since)))
}

async fn grace(
    ledger: &Ledger,
    connection: &mut PgConnection,
    run: &Run,
    state: &State,
    log: &[LoggedEntry],
    at: DateTime<Utc>,
) -> Result<GateReading, Error> {
    let grace = ledger.progress().contract(connection, run).await?.grace;
    let kept = duration(grace.as_secs_f64());
    let retired = clock::last_done(log).filter(|_| state.stage() == Some(Stage::Retired));
    let Some(retired) = retired else {
        let reason = format!("the old column is not retired yet; it is kept for {kept} after that");
        return Ok(GateReading::fail(GateKind::Grace, reason));
    };
    let opens = after(retired, grace);
    let reading = if opens <= at {
        GateReading::pass(GateKind::Grace, format!("the retired column was kept for {kept}"))
    } else {
        let reason = format!("the retired column is kept for {kept}");
        GateReading::fail(GateKind::Grace, reason).opens(Some(opens))
    };
    Ok(reading.since(Some(retired)))
}

fn consent(run: &Run, state: &State) -> GateReading {
    let mut steps = state.next_steps(&run.program);
    let step = steps.find(|step| matches!(step.undo, Undo::PointOfNoReturn(_)));
    let what = step.map_or("what cannot be undone", |step| &step.title);
    GateReading::fail(GateKind::Consent, format!("somebody must agree to this, with --yes: {what}"))
}

async fn unused(
    ledger: &Ledger,
    connection: &mut PgConnection,
    run: &Run,
    log: &[LoggedEntry],
    at: DateTime<Utc>,
) -> Result<GateReading, Error> {
    let window = ledger.progress().contract(connection, run).await?.unused;
    let found = evidence::evidence(ledger, connection, run, log).await?;
    Ok(found.judge(window, &evidence::accepted(log), at))
}

fn after(at: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    let wait = chrono::Duration::from_std(wait).unwrap_or(chrono::Duration::MAX);
    at.checked_add_signed(wait).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
