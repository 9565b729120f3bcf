//! When the phases of a run can be done: the gates in front of them, and the dates of its schedule. Pure: the time is given.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Action, Gate, GateKind, Mode, Phase, Program, State, Undo};
use crate::plan::calendar::Due;
use crate::plan::{Plan, Requires, Schedule};

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

/// Returns the gates in front of what a run in `state` has to do in its phase, in the order in which they are shown; none if
/// the run does not go forward.
pub fn gates_of(plan: &Plan, program: &Program, state: &State) -> Vec<GateKind> {
    if state.is_over() || matches!(state.mode, Mode::Undoing(_)) {
        return vec![];
    }
    let mut gates = Vec::new();
    if plan.schedule.is_some() {
        gates.extend([GateKind::Due, GateKind::Window]);
    }
    if plan.requires != Requires::default() {
        gates.push(GateKind::Requires);
    }
    if plan.approve.contains(&state.phase) {
        gates.push(GateKind::Approved);
    }
    for step in state.next_steps(program) {
        let awaited = if let Action::Await(gate) = &step.action { Some(gate) } else { None };
        gates.extend(step.needs.iter().chain(awaited).filter_map(|gate| match gate {
            Gate::Verified { .. } => Some(GateKind::Verified),
            Gate::Quiet { .. } => Some(GateKind::Quiet),
            Gate::Grace { .. } => Some(GateKind::Grace),
            Gate::NothingOnlyNew { .. } | Gate::NoNulls { .. } | Gate::NoDependants { .. } => None,
        }));
        // What is renamed away fails whoever names it.
        if step.needs.iter().any(|gate| matches!(gate, Gate::Quiet { .. })) {
            gates.push(GateKind::Unused);
        }
        if matches!(step.undo, Undo::PointOfNoReturn(_)) {
            gates.push(GateKind::Consent);
        }
    }
    gates.sort_unstable();
    gates.dedup();
    gates
}
