//! What is shown of a run: computed here, once, from ledger and facts. Reports, JSON and pages render it and compute nothing.

mod checked;
mod folder;
mod inventory;
mod metrics;
mod need;
mod numbers;
#[cfg(feature = "serve")]
mod overview;
mod partitions;
mod report;
mod timetable;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use sqlx::PgConnection;

use crate::ident::RunId;
use crate::ledger::{FillProgress, FillReport, LastTick, Ledger, LedgerError, LoggedEntry, Peer, Run, Undelivered};
use crate::pg::ErrorClass;
use crate::run::{
    Action, Approval, Cause, Entry, Estimates, Evidence, Filled, GateReading, Head, HoldTime, MismatchKey, Mode,
    PaceReport, Phase, Progress, Standing, State, StepKey, WaitingFor, What,
};
use crate::runner::{
    Error, PointOfNoReturn, Readings, Seen, Tool, approval_of, evidence as evidence_of, look, look_at, parts_of,
    point_of_no_return, readings, refuse_copy, turn, waiting_for, watches_uses,
};

pub use checked::{CheckedLog, CheckedRun, NotedHead};
pub use folder::{Folder, FolderConflict, FolderPlan, FolderState, NoPlan};
pub use inventory::{Advice, Inventory, InventoryTable, Reason, Totals};
pub use metrics::Metrics;
pub use need::Need;
pub use numbers::Numbers;
#[cfg(feature = "serve")]
pub(crate) use overview::Overview;
pub use partitions::{PartKind, PartitionState, PartitionView, PartitionsView};
pub use report::{
    Asked, Certificate, Course, CoursePoint, Criterion, Felt, Judgement, PhaseCourse, PhaseState, ReportView, Span,
    StepCourse, StepState, Timeline, Worked,
};
pub use timetable::{PhaseDates, Timetable};

/// The state of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunView {
    /// What the run is called: the plan's name, with its number behind an @ if there is a later run of that plan.
    pub name: String,
    /// The phase it is in.
    pub phase: Phase,
    /// Where it stands, in one word.
    pub state: Standing,
    /// The run of the key that its columns refer to, which moves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
    /// The runs of the tables that refer to its key and are changed with it, in the order in which they are done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartView>,
    /// The part whose turn it is; `None` where it is the run's own, or all are over. What the run waits for, and its gates, are those
    /// of this part then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// How far its backfill is.
    #[serde(flatten)]
    pub progress: Progress,
    /// How far it is in each partition, or in each table of those that inherit from its own; `None` where its rows are in one table, and
    /// before the backfill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<PartitionsView>,
    /// Whether it fills rows.
    #[serde(skip)]
    pub fills: bool,
    /// Whether it keeps two columns equal, so that their writes are counted and their rows compared.
    #[serde(skip)]
    pub compares: bool,
    /// Rows that were not equal in the latest check; `None` before the first.
    pub mismatches: Option<i64>,
    /// The first of these rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unequal: Vec<MismatchKey>,
    /// In how many seconds since expand the old column was written.
    pub old_column_write_seconds: i64,
    /// In how many seconds since expand the new column was written.
    pub new_column_write_seconds: i64,
    /// What the run waits for, or what its backfill holds for; `None` when it is at work or over.
    pub waiting_for: Option<WaitingFor>,
    /// What was found of the gates in front of what it does next; none when it is over or rolled back.
    pub gates: Vec<GateReading>,
    /// What is known of who uses the old column; `None` before `switch` begins, and once the column is renamed away.
    pub evidence: Option<Evidence>,
    /// The zone of its schedule, in which times are shown; UTC without one.
    #[serde(serialize_with = "zone_name")]
    pub zone: Tz,
    /// Who leads it: the process that does its steps.
    pub holder: Option<String>,
    /// Who has joined its backfill.
    pub joined: Vec<Peer>,
    /// Statements that set both columns to values that do not agree.
    pub conflicts: i64,
    /// Seconds since a write to the old column was last noticed; `None` before expand.
    pub old_quiet_seconds: Option<i64>,
    /// When the latest check ended.
    pub verified_at: Option<DateTime<Utc>>,
    /// What the run was predicted to cost when it was registered.
    pub predicted: Option<Estimates>,
    /// The outcome of the backfill; `None` until it is done.
    pub filled: Option<Filled>,
    /// How fast the backfill is; `None` when it is not running.
    pub pace: Option<PaceReport>,
    /// What each signal has cost the backfill so far, the most expensive first.
    pub holds: Vec<HoldTime>,
    /// What has not reached those whom the plan tells, although it was tried, or should have been.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undelivered: Vec<Undelivered>,
    /// Where the approvals of its phases stand that its plan asks for and that are not done.
    pub approvals: Vec<PhaseApproval>,
    /// Approvals that somebody did without.
    pub bypassed: Vec<Bypassed>,
    /// When a scheduler last asked for it; `None` if none has, or it is over.
    pub last_tick: Option<LastTick>,
    /// Whether its plan has a schedule, to which ticks keep.
    #[serde(skip)]
    pub scheduled: bool,
    /// Since when the next tick of its schedule is overdue; `None` when it is not.
    pub tick_overdue_since: Option<DateTime<Utc>>,
    /// What cannot be undone and is ahead; `None` where there is nothing, or where its time depends on a person.
    pub point_of_no_return: Option<PointOfNoReturn>,
    /// Whom it needs before it can go on.
    pub needs: Need,
    /// What is counted and measured of it, for monitoring.
    #[serde(skip)]
    pub numbers: Numbers,
    /// The hash of its log's latest entry.
    pub head: Option<Head>,
}

/// Where a part of a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartView {
    /// What its own run is called.
    pub name: String,
    /// Its table.
    pub table: String,
    /// The phase it is in.
    pub phase: Phase,
    /// Where it stands, in one word.
    pub state: Standing,
    /// How much of its backfill is done, in percent; of the part whose turn it is, while that fills rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_percent: Option<i64>,
}

impl RunView {
    /// Returns whether the run and all of its parts have ended.
    pub fn is_over(&self) -> bool {
        self.state.is_over() && self.parts.iter().all(|part| part.state.is_over())
    }

    /// Returns what stands in front of what the run waits for and of its gates: whose they are, where they are those of a part.
    #[cfg(feature = "cli")]
    pub(crate) fn of_part(&self) -> String {
        self.part.as_ref().map(|part| format!("{part}: ")).unwrap_or_default()
    }
}

/// Where the approval of a phase stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseApproval {
    /// The phase.
    pub phase: Phase,
    /// Whether it is approved, by whom, or why not.
    #[serde(flatten)]
    pub approval: Approval,
}

/// An approval that somebody did without.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bypassed {
    /// The phase.
    pub phase: Phase,
    /// Who answers for it, as they say.
    pub person: String,
    /// As which database role.
    pub role: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn zone_name<S: serde::Serializer>(zone: &Tz, to: S) -> Result<S::Ok, S::Error> {
    zone.name().serialize(to)
}

impl Tool {
    /// Returns the state of the run. Changes nothing.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn status(&self, name: &str) -> Result<RunView, Error> {
        let mut connection = self.connect().await?;
        let run = self.ledger.log().find(&mut connection, name).await?;
        let log = self.ledger.log().entries(&mut connection, run.id).await?;
        one(&self.ledger, &mut connection, &run, &log).await
    }

    /// Returns the state of the latest run of each plan, newest first. Changes nothing.
    ///
    /// # Errors
    /// The ledger's, of whichever run.
    pub async fn statuses(&self) -> Result<Vec<RunView>, Error> {
        let mut connection = self.connect().await?;
        let runs = self.ledger.log().latest(&mut connection).await?;
        all(&self.ledger, &mut connection, &runs).await?.into_iter().map(|(_, run)| run).collect()
    }
}

/// Returns the state of a run whose whole log this is.
async fn one(ledger: &Ledger, connection: &mut PgConnection, run: &Run, log: &[LoggedEntry]) -> Result<RunView, Error> {
    let state = run.replay(log).map_err(LedgerError::from)?;
    let seen = look_at(ledger, connection, run, &state).await?;
    view(ledger, connection, (run, &state, log), seen).await
}

/// Returns the states of these runs, with what they are called and in their order, or why one cannot be read. The ledger is read once for all
/// of them.
///
/// # Errors
/// The server's, when it cannot be reached or nothing can be read.
async fn all(
    ledger: &Ledger,
    connection: &mut PgConnection,
    runs: &[RunId],
) -> Result<Vec<(String, Result<RunView, Error>)>, Error> {
    // Where there is no run, there may be no ledger.
    if runs.is_empty() {
        return Ok(vec![]);
    }
    let found = ledger.log().read_all(connection, runs).await?;
    let mut replayed = Vec::new();
    for (name, read) in found {
        let with_state = read.and_then(|(run, log)| Ok((run.replay(&log)?, run, log)));
        replayed.push((name, with_state.map_err(Error::from)));
    }
    let readable: Vec<_> =
        replayed.iter().filter_map(|(_, read)| read.as_ref().ok()).map(|(state, run, _)| (run, state)).collect();
    let mut seen = look(ledger, connection, &readable).await?.into_iter();
    let mut views = Vec::new();
    for (name, read) in replayed {
        let viewed = match read {
            Err(error) => Err(error),
            Ok((state, run, log)) => match seen.next().expect("there is one for each readable run") {
                Err(error) => Err(error.into()),
                Ok(seen) => view(ledger, connection, (&run, &state, &log), seen).await,
            },
        };
        match viewed {
            Err(error) if error.class() == ErrorClass::Connection => return Err(error),
            viewed => views.push((name, viewed)),
        }
    }
    Ok(views)
}

/// Returns the state of a run, of which this was `seen` just now.
async fn view(
    ledger: &Ledger,
    connection: &mut PgConnection,
    (run, state, log): (&Run, &State, &[LoggedEntry]),
    seen: Seen,
) -> Result<RunView, Error> {
    if !state.is_over() {
        refuse_copy(ledger, run)?;
    }
    let filled =
        log.iter().rev().find_map(|line| if let Entry::Filled(filled) = line.entry { Some(filled) } else { None });
    let now = seen.snapshot.at;
    let Readings { gates, evidence } = readings(ledger, connection, (run, state, log), &seen, now).await?;
    let seen = seen.snapshot;
    let evidence = match evidence {
        _ if !watches_uses(run, state) => None,
        None => Some(evidence_of(ledger, connection, run, log, &seen).await?),
        found => found,
    };
    let holder = seen.leader.as_ref().map(|leader| leader.holder.clone());
    let fill = seen.fill.clone().unwrap_or_default();
    let alive = matches!(state.mode, Mode::Forward | Mode::Failed | Mode::New) && !state.paused;
    let leads = alive && holder.is_some();
    // Those who have joined fill rows without anybody who leads.
    let at_work = leads || alive && !seen.joined.is_empty();
    let report = fill.report.clone().filter(|_| at_work);
    let pace = report.as_ref().map(|report| report.pace.clone());
    let report = report.unwrap_or_default();
    let fills = run.program.fills().next().is_some();
    let kind = if run.facts.main().partitioned { PartKind::Partition } else { PartKind::Table };
    let expanded = state.is_done(&StepKey::new(Phase::Expand, What::Columns));
    let standing = if at_work { Standing::Running } else { state.standing() };
    let waiting_for = if at_work {
        let held = report.held_by.map(|held| WaitingFor::held(held, report.held_since));
        // Who leads waits for a gate itself where that is its next step.
        let step = || next_is_a_wait(run, state).then(|| waiting_for((run, state, log), &seen, &gates)).flatten();
        held.or_else(|| lock_wait(log).or_else(step).filter(|_| leads))
    } else {
        waiting_for((run, state, log), &seen, &gates)
    };
    let Family { parts, turn } = Box::pin(family(ledger, connection, run, state)).await?;
    // The key is at its end before its parts are, and a scheduler goes on asking for it.
    let whole = turn.as_ref().filter(|_| state.is_over()).map_or(standing, |part| part.state);
    let last_tick = seen.last_tick.clone().filter(|_| !whole.is_over());
    let tick_overdue_since = need::tick_overdue_since(run, whole, last_tick.as_ref(), now);
    let needs = Need::of(standing, holder.is_some(), waiting_for.as_ref(), tick_overdue_since);
    let awaits_approval = need::awaits_approval(&gates);
    let mut needs = needs;
    let (mut part, mut waiting_for, mut gates, mut holder) = (None, waiting_for, gates, holder);
    let mut joined = seen.joined.clone();
    if let Some(turn) = turn {
        (part, waiting_for, gates) = (Some(turn.name), turn.waiting_for, turn.gates);
        needs = needs.max(turn.needs);
        holder = holder.or(turn.holder);
        joined.extend(turn.joined);
    }
    Ok(RunView {
        name: run.called.clone(),
        phase: state.phase,
        state: standing,
        part_of: run.plan.part_of.as_ref().map(ToString::to_string),
        parts,
        part,
        progress: progress(run, fills, &fill, &report),
        partitions: PartitionsView::of(kind, &seen.partitions, at_work),
        fills,
        compares: run.program.compared().next().is_some(),
        mismatches: seen.check.as_ref().map(|check| check.mismatches),
        verified_at: seen.check.as_ref().map(|check| check.at),
        unequal: seen.check.filter(|check| check.mismatches > 0).map(|check| check.unequal).unwrap_or_default(),
        old_column_write_seconds: seen.writes.old,
        new_column_write_seconds: seen.writes.new,
        needs,
        numbers: Numbers {
            at_work: i64::from(seen.leader.is_some()) + i64::try_from(seen.joined.len()).unwrap_or(i64::MAX),
            rows_filled: fill.rows,
            hot_rows_filled: fill.hot,
            held_by: report.held_by.map(Cause::from),
            leader: seen.leader,
            awaits_approval,
            ..Numbers::of(run, state, log)
        },
        point_of_no_return: point_of_no_return((run, state, log), &seen.contract, now),
        waiting_for,
        gates,
        evidence,
        zone: crate::run::zone(&run.plan),
        holder,
        joined,
        conflicts: seen.writes.conflicts,
        old_quiet_seconds: expanded.then_some(seen.writes.old_quiet_seconds),
        predicted: seen.predicted,
        filled,
        pace,
        holds: seen.holds,
        approvals: approvals(run, state, log, now)?,
        bypassed: log.iter().filter_map(bypassed).collect(),
        last_tick,
        tick_overdue_since,
        scheduled: run.plan.schedule.is_some(),
        head: log.last().map(|line| line.head.clone()),
        undelivered: seen.undelivered,
    })
}

/// Returns how far a run is that fills rows; one that fills none is nowhere between none and all of them.
fn progress(run: &Run, fills: bool, fill: &FillProgress, report: &FillReport) -> Progress {
    if !fills {
        return Progress { rows_total: run.facts.main().rows, ..Progress::default() };
    }
    // Nobody knows how long a hold lasts.
    let eta_seconds = report.eta_seconds.filter(|_| report.held_by.is_none());
    fill.progress(run.facts.main(), report.rows_per_second, eta_seconds)
}

/// The parts of a run.
#[derive(Default)]
struct Family {
    parts: Vec<PartView>,
    /// The one whose turn it is.
    turn: Option<RunView>,
}

async fn family(ledger: &Ledger, connection: &mut PgConnection, run: &Run, state: &State) -> Result<Family, Error> {
    let found = parts_of(ledger, connection, run).await?;
    let of = |(part, state): &(Run, State)| PartView {
        name: part.called.clone(),
        table: part.plan.table.to_string(),
        phase: state.phase,
        state: state.standing(),
        rows_percent: None,
    };
    let mut parts: Vec<_> = found.iter().map(of).collect();
    // On the way back the key is first.
    let goes_back = state.mode == Mode::RolledBack;
    let last = found.iter().rposition(|(_, state)| !state.is_over()).filter(|_| goes_back);
    let Some(at) = last.or_else(|| turn(state, &found)) else { return Ok(Family { parts, turn: None }) };
    let log = ledger.log().entries(connection, found[at].0.id).await?;
    let mut view = Box::pin(one(ledger, connection, &found[at].0, &log)).await?;
    if goes_back && view.holder.is_none() {
        (view.state, view.waiting_for, view.gates) = (Standing::RollingBack, Some(WaitingFor::Rollback), vec![]);
        view.needs = Need::Person;
    }
    parts[at].state = view.state;
    parts[at].rows_percent = view.progress.rows_percent.filter(|percent| *percent < 100);
    Ok(Family { parts, turn: Some(view) })
}

fn approvals(
    run: &Run,
    state: &State,
    log: &[LoggedEntry],
    now: DateTime<Utc>,
) -> Result<Vec<PhaseApproval>, LedgerError> {
    let to_come = |phase: &&Phase| !state.is_over() && !run.program.is_past(state.phase, **phase);
    let of = |&phase: &Phase| Ok(PhaseApproval { phase, approval: approval_of(run, phase, log, now)? });
    run.plan.approve.iter().filter(to_come).map(of).collect()
}

fn bypassed(line: &LoggedEntry) -> Option<Bypassed> {
    let Entry::ApprovalBypassed { phase, person, reason, .. } = &line.entry else { return None };
    let (person, reason) = (person.clone(), reason.clone());
    Some(Bypassed { phase: *phase, person, role: line.actor.role.clone(), at: line.at, reason })
}

/// Returns whether what a run does next is to wait until nobody writes the old column, or until the grace period is over.
fn next_is_a_wait(run: &Run, state: &State) -> bool {
    state.next_steps(&run.program).next().is_some_and(|step| matches!(step.action, Action::Await(_)))
}

/// Returns the lock that the process at work waits for: the last thing that it has said.
fn lock_wait(log: &[LoggedEntry]) -> Option<WaitingFor> {
    match &log.last()?.entry {
        Entry::LockWait { step, blockers } => Some(WaitingFor::Lock { step: step.clone(), blockers: blockers.clone() }),
        _ => None,
    }
}
