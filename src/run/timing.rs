//! When the phases of a run can be done: the gates in front of them, and the dates of its schedule. Pure: the time is given.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Action, Gate, GateKind, Mode, Phase, Program, State, StepKey, Undo};
use crate::plan::calendar::Due;
use crate::plan::{Contract, HookTime, Plan, Referring, Requires, Schedule};

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

/// Returns whether columns that came to refer to the plan's key since it began keep its run from this phase.
pub(crate) fn looks_for_referrers(plan: &Plan, phase: Phase) -> bool {
    plan.referring == Some(Referring::Change) && matches!(phase, Phase::Switch | Phase::Contract)
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
    if plan.requires != Requires::default() || looks_for_referrers(plan, state.phase) {
        gates.push(GateKind::Requires);
    }
    if plan.approve.contains(&state.phase) {
        gates.push(GateKind::Approved);
    }
    if state.is_soaking(program) {
        gates.push(GateKind::Verified);
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
    if !state.begun && plan.hooks.iter().any(|hook| hook.when == HookTime::Before && hook.phase == state.phase) {
        gates.push(GateKind::Hook);
    }
    gates.sort_unstable();
    gates.dedup();
    gates
}

/// What tells when a run comes to its point of no return, besides its program and its state.
#[derive(Debug, Clone, Copy)]
pub struct Nears<'a> {
    /// The schedule of its plan.
    pub schedule: Option<&'a Schedule>,
    /// How long it waits before the old column goes.
    pub contract: &'a Contract,
    /// When it came into its phase.
    pub entered: Option<DateTime<Utc>>,
    /// When its last step was done.
    pub last_done: Option<DateTime<Utc>>,
    /// The server's clock.
    pub now: DateTime<Utc>,
}

/// Returns the step that cannot be undone and the earliest moment at which it may be done; `None` where there is no such step
/// any more, or where that depends on when somebody goes on by hand.
pub fn point_of_no_return(program: &Program, state: &State, told: Nears<'_>) -> Option<(StepKey, DateTime<Utc>)> {
    if !matches!(state.mode, Mode::New | Mode::Forward) {
        return None;
    }
    let open = |step: &&super::Step| !state.is_done(&step.key);
    let step = program.steps.iter().find(|step| matches!(step.undo, Undo::PointOfNoReturn(_)) && open(step))?;
    let phase = step.key.phase;
    let entered = if phase == state.phase {
        told.now
    } else {
        let dates = planned(told.schedule?, program, (state.phase, told.entered), told.now);
        dates.into_iter().find(|planned| planned.phase == phase)?.opens?
    };
    let before: Vec<_> = program.steps_of(phase).take_while(|other| other.key != step.key).filter(open).collect();
    let waits = |step: &&super::Step| matches!(step.action, Action::Await(Gate::Grace { .. }));
    let since = match before.iter().position(waits) {
        None => entered,
        Some(at) => {
            // What comes before the wait is not done yet: then it begins now at the earliest.
            let begun = if at == 0 { told.last_done.unwrap_or(entered) } else { entered };
            begun + TimeDelta::from_std(told.contract.grace).ok()?
        }
    };
    let at = since.max(told.now);
    match told.schedule {
        Some(schedule) => Some((step.key.clone(), schedule.next_opening(at, TimeDelta::zero())?)),
        None => Some((step.key.clone(), at)),
    }
}
