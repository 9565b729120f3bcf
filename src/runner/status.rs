//! Where a run stands, for people and scripts.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::Error;
use crate::ledger::{Ledger, LedgerError, LoggedEntry, Peer, Run};
use crate::run::{
    Entry, Estimates, Filled, HoldTime, Mode, PaceReport, Phase, Standing, State, StepKey, WaitingFor, What,
};

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The plan's name.
    pub name: String,
    /// The phase it is in.
    pub phase: Phase,
    /// Where it stands, in one word.
    pub state: Standing,
    /// Rows that the backfill visits; an estimate until it is over.
    pub rows_total: i64,
    /// Rows it has visited; an estimate from pages until it is over.
    pub rows_done: i64,
    /// Rows a second over the last few seconds; 0 when the backfill is not at work.
    pub rows_per_second: f64,
    /// Seconds to go at this rate.
    pub eta_seconds: Option<f64>,
    /// Rows that were not equal in the latest check; `None` before the first.
    pub mismatches: Option<i64>,
    /// Writes through the old column since expand.
    pub old_column_writes: i64,
    /// Writes through the new column since expand.
    pub new_column_writes: i64,
    /// What the run waits for, or what its backfill holds for; `None` when it is at work or over.
    pub waiting_for: Option<WaitingFor>,
    /// Who leads it: the process that does its steps.
    pub holder: Option<String>,
    /// Who has joined its backfill.
    pub joined: Vec<Peer>,
    /// Statements that set both columns to values that do not agree.
    pub conflicts: i64,
    /// Seconds since a write through the old column was last noticed; `None` before expand.
    pub old_quiet_seconds: Option<i64>,
    /// When the latest check ended.
    pub verified_at: Option<DateTime<Utc>>,
    /// What the run was predicted to cost when it was registered.
    pub predicted: Option<Estimates>,
    /// What came of the backfill; `None` until it is done.
    pub filled: Option<Filled>,
    /// How fast the backfill goes; `None` when it is not at work.
    pub pace: Option<PaceReport>,
    /// What each signal cost the backfill so far, the dearest first.
    pub holds: Vec<HoldTime>,
}

/// Returns where the run stands. Changes nothing.
///
/// # Errors
/// The ledger's.
pub(super) async fn read(ledger: &Ledger, connection: &mut PgConnection, run: &Run) -> Result<Status, Error> {
    let log = ledger.log(connection, run.id).await?;
    let state = State::replay(&run.program, log.iter().map(|line| &line.entry)).map_err(LedgerError::from)?;
    let filled =
        log.iter().rev().find_map(|line| if let Entry::Filled(filled) = line.entry { Some(filled) } else { None });
    let holder = ledger.holder(connection, run.id).await?.map(|(holder, _)| holder);
    let joined: Vec<_> = ledger.peers(connection, run.id).await?.into_iter().filter(|peer| !peer.leads).collect();
    let counts = ledger.write_counts(connection, run).await?;
    let checked = ledger.last_verification(connection, run.id).await?;
    let fill = ledger.fill(connection, run.id).await?.unwrap_or_default();
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
    let holds = ledger.holds(connection, run.id).await?;
    let expanded = state.is_done(&StepKey::new(Phase::Expand, What::Columns));
    Ok(Status {
        name: run.name().to_string(),
        phase: state.phase,
        state: if running { Standing::Running } else { state.standing() },
        rows_total,
        rows_done,
        rows_per_second: report.rows_per_second,
        eta_seconds: report.eta_seconds,
        mismatches: checked.map(|(_, mismatches)| mismatches),
        old_column_writes: counts.old,
        new_column_writes: counts.new,
        waiting_for: if running {
            report.held_by.map(WaitingFor::from)
        } else {
            WaitingFor::of(&run.program, &state, last_done(&log))
        },
        holder,
        joined,
        conflicts: counts.conflicts,
        old_quiet_seconds: expanded.then_some(counts.old_quiet_seconds),
        verified_at: checked.map(|(at, _)| at),
        predicted: ledger.prediction(connection, run.id).await?,
        filled,
        pace,
        holds,
    })
}

/// Returns when the last step was done.
pub(super) fn last_done(log: &[LoggedEntry]) -> Option<DateTime<Utc>> {
    log.iter().rev().find(|line| matches!(line.entry, Entry::StepDone { .. })).map(|line| line.at)
}
