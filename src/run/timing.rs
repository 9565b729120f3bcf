//! Whether a plan's schedule lets its run go on, and when it will. Pure: the time is given.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Phase, Program};
use crate::plan::calendar::{Due, Opening};
use crate::plan::{Freeze, Schedule};

/// Whether a run may go on at an instant.
#[derive(Debug, Clone, PartialEq)]
pub enum Timing<'a> {
    /// It may.
    Open {
        /// Until then, if the schedule says so.
        until: Option<DateTime<Utc>>,
    },
    /// Its phase is not due.
    Early(Due),
    /// The days are frozen.
    Frozen(&'a Freeze),
    /// No window is open.
    Outside,
}

/// A phase that is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Which.
    pub phase: Phase,
    /// When it is due, if the phases before it take no time.
    pub due: Due,
    /// The first opening from then on; `None` if the schedule has none.
    pub opens: Option<DateTime<Utc>>,
}

/// Returns whether the schedule lets a run in `phase`, which ended the phase before at `entered`, go on at `at`.
pub fn timing<'a>(
    schedule: &'a Schedule,
    program: &Program,
    (phase, entered): (Phase, Option<DateTime<Utc>>),
    at: DateTime<Utc>,
) -> Timing<'a> {
    let due = schedule.due(phase, before(program, phase), entered);
    if at < due.at {
        return Timing::Early(due);
    }
    match schedule.opening(at) {
        Opening::Open { until } => Timing::Open { until },
        Opening::Frozen(freeze) => Timing::Frozen(freeze),
        Opening::Outside => Timing::Outside,
    }
}

/// Returns the phases from `phase` on with the earliest times at which ticks may do them, seen from `at`.
pub fn planned(
    schedule: &Schedule,
    program: &Program,
    (phase, entered): (Phase, Option<DateTime<Utc>>),
    at: DateTime<Utc>,
) -> Vec<Planned> {
    let (mut entered, mut at) = (entered, at);
    let mut plan = Vec::new();
    for phase in program.phases.iter().copied().skip_while(|of| *of != phase) {
        let due = schedule.due(phase, before(program, phase), entered);
        at = at.max(due.at);
        let opens = schedule.next_opening(at, TimeDelta::zero());
        plan.push(Planned { phase, due, opens });
        let Some(opens) = opens else { break };
        (entered, at) = (Some(opens), opens);
    }
    plan
}

/// The phases of the run that come before this one.
fn before(program: &Program, phase: Phase) -> &[Phase] {
    let at = program.phases.iter().position(|of| *of == phase).unwrap_or(0);
    &program.phases[..at]
}
