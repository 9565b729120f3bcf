//! The state of a run, for people and scripts.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::Error;
use crate::ledger::{Ledger, LedgerError, Peer, Run};
use crate::run::{Action, Entry, Estimates, Filled, Gate, HoldTime, Mode, PaceReport, Phase, State, StepKey, What};

/// The state of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The plan's name.
    pub name: String,
    /// The phase it is in.
    pub phase: Phase,
    /// `running`, `waiting`, `paused`, `failed`, `drifted`, `rolling_back`, `rolled_back` or `done`.
    pub state: String,
    /// Rows that the backfill visits; an estimate until it is over.
    pub rows_total: i64,
    /// Rows it has visited; an estimate from pages until it is over.
    pub rows_done: i64,
    /// Rows per second over the last few seconds; 0 when the backfill is not running.
    pub rows_per_second: f64,
    /// Seconds to go at this rate.
    pub eta_seconds: Option<f64>,
    /// Rows that were not equal in the latest check; `None` before the first.
    pub mismatches: Option<i64>,
    /// Writes to the old column since expand.
    pub old_column_writes: i64,
    /// Writes to the new column since expand.
    pub new_column_writes: i64,
    /// What the run waits for, as a phrase, or what its backfill holds for; `None` when it is running or has ended.
    pub waiting_for: Option<String>,
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
}

/// Returns the state of the run. Changes nothing.
///
/// # Errors
/// The ledger's.
pub(super) async fn read(ledger: &Ledger, connection: &mut PgConnection, run: &Run) -> Result<Status, Error> {
    let log = ledger.log().entries(connection, run.id).await?;
    let state = State::replay(&run.program, log.iter().map(|line| &line.entry)).map_err(LedgerError::from)?;
    let filled =
        log.iter().rev().find_map(|line| if let Entry::Filled(filled) = line.entry { Some(filled) } else { None });
    let holder = ledger.leases().holder(connection, run.id).await?;
    let joined: Vec<_> =
        ledger.leases().peers(connection, run.id).await?.into_iter().filter(|peer| !peer.leads).collect();
    let counts = ledger.progress().write_counts(connection, run).await?;
    let checked = ledger.progress().last_check(connection, run.id).await?;
    let fill = ledger.progress().fill(connection, run.id).await?.unwrap_or_default();
    let running = holder.is_some() && matches!(state.mode, Mode::Forward | Mode::Failed | Mode::New) && !state.paused;
    let rows_total = fill.rows_total(run.facts.main()).max(run.facts.main().rows);
    let rows_done = match (fill.bound, fill.done) {
        (0, _) => 0,
        (pages, done) if done >= pages => rows_total,
        (pages, done) => {
            i64::try_from(i128::from(rows_total) * i128::from(done) / i128::from(pages)).unwrap_or(rows_total)
        }
    };
    let at_work = running || !joined.is_empty() && !state.paused;
    let report = fill.report.filter(|_| at_work);
    let pace = report.as_ref().map(|report| report.pace.clone());
    let report = report.unwrap_or_default();
    let holds = ledger.progress().holds(connection, run.id).await?;
    let expanded = state.is_done(&StepKey::new(Phase::Expand, What::Columns));
    Ok(Status {
        name: run.name().to_string(),
        phase: state.phase,
        state: if running { "running".to_owned() } else { state.word().to_owned() },
        rows_total,
        rows_done,
        rows_per_second: report.rows_per_second,
        eta_seconds: report.eta_seconds,
        mismatches: checked.map(|(_, mismatches)| mismatches),
        old_column_writes: counts.old,
        new_column_writes: counts.new,
        waiting_for: if running { report.held_by } else { waiting_for(run, &state) },
        holder,
        joined,
        conflicts: counts.conflicts,
        old_quiet_seconds: expanded.then_some(counts.old_quiet_seconds),
        verified_at: checked.map(|(at, _)| at),
        predicted: ledger.log().prediction(connection, run.id).await?,
        filled,
        pace,
        holds,
    })
}

/// Returns what must happen before the run can continue.
pub(super) fn waiting_for(run: &Run, state: &State) -> Option<String> {
    let name = run.name();
    match state.mode {
        Mode::Done | Mode::RolledBack => None,
        Mode::Undoing(_) => Some(format!("the end of its rollback: crossfade rollback {name}")),
        Mode::Failed | Mode::Drifted => {
            Some(format!("a person: {}", state.error.as_deref().unwrap_or("see crossfade history")))
        }
        _ if state.paused => Some(format!("crossfade resume {name}")),
        Mode::New | Mode::Forward => Some(match state.next_step(&run.program).map(|step| &step.action) {
            Some(Action::Await(Gate::Quiet { quiet })) => {
                format!("{} without a write to the old column", humantime::format_duration(*quiet))
            }
            Some(Action::Await(Gate::Grace { grace })) => {
                format!("the grace period of the retired column ({})", humantime::format_duration(*grace))
            }
            _ => format!("crossfade run or advance to continue with {}", state.phase),
        }),
    }
}
