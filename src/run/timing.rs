//! When the phases of a run can be done by its schedule. Pure: the time is given.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Phase, Program};
use crate::plan::Schedule;
use crate::plan::calendar::Due;

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

/// Returns the phases from `phase` on, which was come into at `entered`, with the earliest times at which ticks may do them,
/// seen from `at`.
pub fn planned(
    schedule: &Schedule,
    program: &Program,
    (phase, entered): (Phase, Option<DateTime<Utc>>),
    at: DateTime<Utc>,
) -> Vec<Planned> {
    let (mut entered, mut at) = (entered, at);
    let mut plan = Vec::new();
    for phase in program.phases.iter().copied().skip_while(|of| *of != phase) {
        let due = schedule.due(phase, program.before(phase), entered);
        at = at.max(due.at);
        let opens = schedule.next_opening(at, TimeDelta::zero());
        plan.push(Planned { phase, due, opens });
        let Some(opens) = opens else { break };
        (entered, at) = (Some(opens), opens);
    }
    plan
}
