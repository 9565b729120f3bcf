//! The dates of a run: what was done when, and what its schedule has in store.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::one;
use crate::ledger::{LedgerError, LoggedEntry, Run};
use crate::plan::calendar::Due;
use crate::plan::{ExtraWindow, Freeze, Window};
use crate::run::{Entry, Phase, Standing, State, WaitingFor, planned};
use crate::runner::{Error, Tool, server_clock};

/// The dates of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timetable {
    /// The plan's name.
    pub name: String,
    /// Where the run stands.
    pub state: Standing,
    /// What it waits for, as its state has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitingFor>,
    /// When this was computed, by the server's clock.
    pub at: DateTime<Utc>,
    /// How many entries its log has: a later timetable of the run has at least as many.
    pub entries: u64,
    /// The schedule's zone; `None` without a schedule.
    #[serde(serialize_with = "zone_name")]
    pub zone: Option<Tz>,
    /// Its phases, in order.
    pub phases: Vec<PhaseDates>,
    /// The window that opens on certain days.
    pub window: Option<Window>,
    /// Windows that open once, and have not closed.
    pub extra: Vec<ExtraWindow>,
    /// Days on which nothing starts, and which are not over.
    pub freezes: Vec<Freeze>,
}

/// The dates of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PhaseDates {
    /// Which.
    pub phase: Phase,
    /// When it was done.
    pub done: Option<DateTime<Utc>>,
    /// When it is due, if the phases before it are done as soon as they may be; `None` when it is done, or without a schedule.
    pub due: Option<Due>,
    /// The first moment from then on at which the schedule lets it begin; `None` if there is none.
    pub opens: Option<DateTime<Utc>>,
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn zone_name<S: serde::Serializer>(zone: &Option<Tz>, to: S) -> Result<S::Ok, S::Error> {
    zone.map(Tz::name).serialize(to)
}

impl Tool {
    /// Returns the dates of a run: past ones from its log, those to come from the schedule of its plan. Changes nothing.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn timetable(&self, name: &str) -> Result<Timetable, Error> {
        let mut connection = self.connect().await?;
        let run = self.ledger.log().find(&mut connection, name).await?;
        let log = self.ledger.log().entries(&mut connection, run.id).await?;
        let state = run.replay(&log).map_err(LedgerError::from)?;
        let now = server_clock(&mut connection).await?;
        let view = one(&self.ledger, &mut connection, &run, &log).await?;
        Ok(Timetable { state: view.state, waiting_for: view.waiting_for, ..timetable(&run, &state, &log, now) })
    }
}

fn timetable(run: &Run, state: &State, log: &[LoggedEntry], now: DateTime<Utc>) -> Timetable {
    let schedule = run.plan.schedule.as_ref().filter(|_| !state.is_over());
    let to_come = schedule
        .map(|schedule| planned(schedule, &run.program, (state.phase, crate::runner::entered(log)), now))
        .unwrap_or_default();
    let phases = run.program.phases.iter().map(|phase| {
        let planned = to_come.iter().find(|planned| planned.phase == *phase);
        PhaseDates {
            phase: *phase,
            done: done(run, state, log, *phase),
            due: planned.map(|planned| planned.due),
            opens: planned.and_then(|planned| planned.opens),
        }
    });
    Timetable {
        name: run.name().to_string(),
        state: state.standing(),
        waiting_for: None,
        at: now,
        entries: u64::try_from(log.len()).unwrap_or(u64::MAX),
        zone: schedule.map(|schedule| schedule.timezone),
        phases: phases.collect(),
        window: schedule.and_then(|schedule| schedule.window.clone()),
        extra: schedule.map(|schedule| schedule.extra_from(now)).unwrap_or_default(),
        freezes: schedule.map(|schedule| schedule.freezes_from(now)).unwrap_or_default(),
    }
}

/// When the phase was done last, unless it was undone since.
fn done(run: &Run, state: &State, log: &[LoggedEntry], phase: Phase) -> Option<DateTime<Utc>> {
    let is_done = run.program.is_past(state.phase, phase) || state.standing() == Standing::Done;
    let of_phase = |line: &&LoggedEntry| matches!(line.entry, Entry::PhaseDone { phase: done } if done == phase);
    log.iter().rev().find(of_phase).filter(|_| is_done).map(|line| line.at)
}
