//! The state of a run, derived from its log by one pure function. An entry that the table below does not allow is an
//! error, never a guess.

use serde::{Deserialize, Serialize};

use super::{Entry, StepKey, What};
use crate::run::{Phase, Program};

/// How the reasons begin that a point of no return is near.
const NEAR: &str = "near ";

/// Which names the columns of pairs have in the course of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Both columns under the plan's names.
    Soak,
    /// Changes that keep the name have swapped it.
    Swapped,
    /// The old columns are renamed away.
    Retired,
}

/// The state of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Entries seen so far; the next one has this number plus one.
    pub seq: i64,
    /// The phase it is in: the first that is not done, or the last.
    pub phase: Phase,
    /// Whether it has passed the gates in front of its phase.
    pub begun: bool,
    /// What it is doing, according to the log.
    pub mode: Mode,
    /// Whether somebody paused it.
    pub paused: bool,
    /// Steps whose effect is there, in the program's order, which is the order in which they were done unless the run went
    /// back to a phase that got another step.
    pub done: Vec<StepKey>,
    /// The step that may have run without having been recorded as done.
    pub maybe_ran: Option<StepKey>,
    /// The last error, if nothing has succeeded since.
    pub error: Option<String>,
    /// Why it has stopped, each reason once, since it last moved: whoever is told need not be told again.
    pub told: Vec<String>,
    /// How many rows the last check has found unequal, from the end of `verify` until the old column goes. Before that, rows that
    /// are not filled yet are no mismatch.
    pub unequal: i64,
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nothing was registered.
    New,
    /// It goes forward.
    Forward,
    /// A step failed; the run continues when somebody runs it again.
    Failed,
    /// The catalog does not agree with the log.
    Drifted,
    /// It is being rolled back, to the end of this phase or to before it began.
    Undoing(Option<Phase>),
    /// It was rolled back completely.
    RolledBack,
    /// All phases are done.
    Done,
}

/// An entry that cannot follow what the log says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger does not allow this after entry {seq}: {what}")]
pub struct IllegalEntry {
    /// The last entry before it.
    pub seq: i64,
    /// What is wrong with it.
    pub what: String,
}

impl State {
    /// Returns the state of a run of `program` before its first entry.
    pub fn new(program: &Program) -> Self {
        Self {
            seq: 0,
            phase: program.phases[0],
            begun: false,
            mode: Mode::New,
            paused: false,
            done: vec![],
            maybe_ran: None,
            error: None,
            told: vec![],
            unequal: 0,
        }
    }

    /// Returns the state after all of `entries` of a run that began with `program`.
    ///
    /// # Errors
    /// [`IllegalEntry`] at the first entry that is not allowed in its place.
    pub fn replay<'a>(
        mut program: &'a Program,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) -> Result<Self, IllegalEntry> {
        let mut state = Self::new(program);
        for entry in entries {
            state = state.next(program, entry)?;
            program = entry.program().unwrap_or(program);
        }
        Ok(state)
    }

    /// Returns which names the columns of the run's pairs have; `None` while there are no two columns.
    pub fn stage(&self) -> Option<Stage> {
        let done = |phase, what| self.is_done(&StepKey::new(phase, what));
        if !done(Phase::Expand, What::Columns) || done(Phase::Contract, What::Drop) {
            None
        } else if done(Phase::Contract, What::Retire) {
            Some(Stage::Retired)
        } else if done(Phase::Switch, What::Swap) {
            Some(Stage::Swapped)
        } else {
            Some(Stage::Soak)
        }
    }

    /// Returns whether applications move from one column to the other: all rows were compared, and both columns are there.
    pub fn is_soaking(&self, program: &Program) -> bool {
        self.stage().is_some()
            && program.compared().next().is_some()
            && program.is_past(self.phase, Phase::Verify)
            && !matches!(self.mode, Mode::Undoing(_))
    }

    /// Returns whether the run has ended, so that its table and its name are free again.
    pub fn is_over(&self) -> bool {
        matches!(self.mode, Mode::Done | Mode::RolledBack)
    }

    /// Returns whether the step's effect is there.
    pub fn is_done(&self, step: &StepKey) -> bool {
        self.done.contains(step)
    }

    /// Returns the first step of the current phase that is not done.
    pub fn next_step<'p>(&self, program: &'p Program) -> Option<&'p crate::run::Step> {
        self.next_steps(program).next()
    }

    /// Returns the steps of the current phase that are not done.
    pub fn next_steps<'p>(&self, program: &'p Program) -> impl Iterator<Item = &'p crate::run::Step> {
        program.steps_of(self.phase).filter(|step| !self.done.contains(&step.key))
    }

    /// Returns whether the backfill has begun and is neither done nor given up: then other processes may join it.
    pub fn is_filling(&self, program: &Program) -> bool {
        let is_backfill = |step: &crate::run::Step| matches!(step.action, crate::run::Action::Fill(_));
        let begun = |step: &crate::run::Step| self.maybe_ran.as_ref() == Some(&step.key);
        self.mode == Mode::Forward && self.next_step(program).is_some_and(|step| is_backfill(step) && begun(step))
    }

    /// Returns the next step to undo in a rollback to the end of `to`: the last one done, or the one that may
    /// have run, of any later phase.
    pub fn next_undo<'p>(&self, program: &'p Program, to: Option<Phase>) -> Option<&'p crate::run::Step> {
        let position = |phase: Phase| program.phases.iter().position(|p| *p == phase);
        let first_kept = |phase: Phase| to.is_some_and(|to| position(phase) <= position(to));
        let candidate = |id: &StepKey| program.step(id).filter(|step| !first_kept(step.key.phase));
        self.maybe_ran.as_ref().and_then(candidate).or_else(|| self.done.last().and_then(candidate))
    }

    /// Returns every step that a rollback to the end of `to` would undo, in that order.
    pub fn undoes<'p>(&self, program: &'p Program, to: Option<Phase>) -> Vec<&'p crate::run::Step> {
        let mut rest = self.clone();
        let mut steps: Vec<&crate::run::Step> = Vec::new();
        while let Some(step) = rest.next_undo(program, to) {
            if rest.maybe_ran.take().is_none() {
                rest.done.pop();
            }
            steps.push(step);
        }
        steps
    }

    /// Returns the state after `entry`.
    ///
    /// # Errors
    /// [`IllegalEntry`] when the entry cannot follow this state: a step out of order, two phases at once, anything
    /// after the end.
    #[expect(clippy::too_many_lines, reason = "the whole table in one place")]
    pub fn next(&self, program: &Program, entry: &Entry) -> Result<Self, IllegalEntry> {
        let illegal = |what: String| Err(IllegalEntry { seq: self.seq, what });
        let mut state = self.clone();
        state.seq += 1;
        state.told_by(entry);
        match (self.mode, entry) {
            (Mode::New, Entry::Registered) => state.mode = Mode::Forward,
            (Mode::New, other) => return illegal(format!("{other:?} before the run was registered")),
            // A finished run may still be looked at and checked, and somebody may come late to say that he has left it.
            // A hook after the last phase runs when all is done.
            (
                Mode::Done | Mode::RolledBack,
                Entry::Verified { .. }
                | Entry::Left { .. }
                | Entry::Removed { .. }
                | Entry::HookStarted { .. }
                | Entry::HookEnded { .. },
            ) => {}
            (Mode::Done | Mode::RolledBack, other) => return illegal(format!("{other:?} after the run ended")),
            (_, Entry::Registered) => return illegal("the run is already registered".to_owned()),
            (_, Entry::Paused) => state.paused = true,
            (_, Entry::Resumed) => state.paused = false,
            (_, Entry::Joined) if !self.is_filling(program) => {
                return illegal("there is no running backfill to join".to_owned());
            }
            (
                _,
                Entry::Interrupted
                | Entry::CutShort
                | Entry::Consented { .. }
                | Entry::Warned { .. }
                | Entry::Approved { .. }
                | Entry::ApprovalRevoked { .. }
                | Entry::ApprovalBypassed { .. }
                | Entry::LockWait { .. }
                | Entry::Blocked { .. }
                | Entry::Tuned { .. }
                | Entry::Filled(_)
                | Entry::Repaired { .. }
                | Entry::Joined
                | Entry::Left { .. }
                | Entry::Removed { .. }
                | Entry::Surrounded { .. }
                | Entry::Nearing { .. }
                | Entry::HookStarted { .. }
                | Entry::HookEnded { .. }
                | Entry::ClockSetBack { .. },
            ) => {}
            (_, Entry::Verified { counts }) => state.unequal = counts.mismatches(),
            (_, Entry::Drifted { facts }) => {
                if !matches!(self.mode, Mode::Undoing(_)) {
                    state.mode = Mode::Drifted;
                }
                state.error = Some(facts.join("; "));
            }
            (_, Entry::Replanned { undone, compiled, .. }) => {
                state.done.retain(|step| !undone.contains(step));
                state.maybe_ran = state.maybe_ran.filter(|step| !undone.contains(step));
                state.replanned(&compiled.program);
            }
            (_, Entry::UndoStarted { to: Some(to) }) if !program.is_before(*to, self.phase) => {
                return illegal(format!("{to} does not come before {}", self.phase));
            }
            (_, Entry::UndoStarted { to }) => {
                state.mode = Mode::Undoing(*to);
                state.error = None;
            }
            (Mode::Undoing(_), Entry::StepUndone { step }) => {
                if self.maybe_ran.as_ref() == Some(step) {
                    state.maybe_ran = None;
                } else if self.done.last() == Some(step) {
                    state.done.pop();
                } else {
                    return illegal(format!("step {step} is not the last one done"));
                }
                if let Some(step) = program.step(step) {
                    state.phase = step.key.phase;
                }
                state.error = None;
            }
            (Mode::Undoing(to), Entry::UndoDone) => {
                if let Some(step) = self.next_undo(program, to) {
                    return illegal(format!("step {} has not been undone", step.key));
                }
                match to {
                    None => state.mode = Mode::RolledBack,
                    Some(to) => {
                        state.mode = Mode::Forward;
                        state.phase = program.phase_after(to).unwrap_or(to);
                    }
                }
            }
            (Mode::Undoing(_), Entry::StepFailed { error, .. }) => state.error = Some(error.clone()),
            (Mode::Undoing(_), other) => return illegal(format!("{other:?} while the run is being rolled back")),
            (_, Entry::StepUndone { .. } | Entry::UndoDone) => {
                return illegal("nothing is being rolled back".to_owned());
            }
            (Mode::Forward | Mode::Failed | Mode::Drifted, Entry::PhaseStarted { phase, .. }) => {
                if *phase != self.phase || self.begun {
                    return illegal(format!("{phase} cannot begin: the run is in {}", self.phase));
                }
                state.begun = true;
            }
            (Mode::Forward | Mode::Failed | Mode::Drifted, Entry::StepStarted { step }) => {
                self.expect_next(program, step)?;
                state.maybe_ran = Some(step.clone());
                state.mode = Mode::Forward;
                state.error = None;
            }
            (Mode::Forward | Mode::Failed | Mode::Drifted, Entry::StepDone { step, .. }) => {
                self.expect_next(program, step)?;
                state.done.push(step.clone());
                state.in_order_of(program);
                state.maybe_ran = None;
                state.mode = Mode::Forward;
                state.error = None;
            }
            (Mode::Forward | Mode::Failed | Mode::Drifted, Entry::StepFailed { step, error }) => {
                self.expect_next(program, step)?;
                state.mode = Mode::Failed;
                state.error = Some(error.clone());
            }
            (Mode::Forward | Mode::Failed | Mode::Drifted, Entry::PhaseDone { phase }) => {
                if *phase != self.phase {
                    return illegal(format!("the run is in {}, not in {phase}", self.phase));
                }
                if let Some(step) = self.next_step(program) {
                    return illegal(format!("step {} is not done", step.key));
                }
                state.mode = Mode::Forward;
                match program.phase_after(*phase) {
                    Some(next) => state.phase = next,
                    None => state.mode = Mode::Done,
                }
            }
        }
        state.begun &= state.phase == self.phase && !matches!(state.mode, Mode::Undoing(_));
        if !state.is_soaking(entry.program().unwrap_or(program)) {
            state.unequal = 0;
        }
        Ok(state)
    }

    /// Returns whether the log says that the run came to this gate, since it last moved.
    pub fn has_told_gate(&self, gate: &str) -> bool {
        self.told.contains(&format!("gate {gate}"))
    }

    /// Returns whether the log says that the point of no return is near.
    pub fn has_told_near(&self) -> bool {
        self.told.iter().any(|told| told.starts_with(NEAR))
    }

    /// Keeps why the run has stopped, until it moves again.
    fn told_by(&mut self, entry: &Entry) {
        const MISMATCH: &str = "mismatch";
        let reason = match entry {
            Entry::Blocked { gate, .. } => format!("gate {gate}"),
            Entry::Nearing { step, .. } => format!("{NEAR}{step}"),
            Entry::StepFailed { step, error } => format!("failed {step}: {error}"),
            Entry::Drifted { facts } => format!("drifted {}", facts.join("; ")),
            Entry::Verified { counts } if counts.mismatches() > 0 => MISMATCH.to_owned(),
            Entry::Verified { .. } => return self.told.retain(|told| told != MISMATCH),
            // The same point of no return is still ahead.
            Entry::StepDone { .. } | Entry::PhaseDone { .. } | Entry::Replanned { .. } => {
                return self.told.retain(|told| told.starts_with(NEAR));
            }
            Entry::UndoStarted { .. } | Entry::StepUndone { .. } | Entry::UndoDone => return self.told.clear(),
            _ => return,
        };
        if !self.told.contains(&reason) {
            self.told.push(reason);
        }
    }

    /// Goes on with another program: from the first phase in which it has something to do, and no later than now.
    fn replanned(&mut self, program: &Program) {
        self.in_order_of(program);
        if matches!(self.mode, Mode::Undoing(_)) {
            return;
        }
        self.mode = Mode::Forward;
        self.error = None;
        let open = |phase: &Phase| program.steps_of(*phase).any(|step| !self.done.contains(&step.key));
        let first = program.phases.iter().copied().find(open);
        if let Some(first) =
            first.filter(|first| !program.is_past(*first, self.phase) || !program.phases.contains(&self.phase))
        {
            self.phase = first;
        }
    }

    fn in_order_of(&mut self, program: &Program) {
        self.done.sort_by_key(|key| program.steps.iter().position(|step| step.key == *key));
    }

    fn expect_next(&self, program: &Program, step: &StepKey) -> Result<(), IllegalEntry> {
        match self.next_step(program) {
            Some(next) if next.key == *step => Ok(()),
            Some(next) => Err(IllegalEntry { seq: self.seq, what: format!("step {step} before step {}", next.key) }),
            None => Err(IllegalEntry { seq: self.seq, what: format!("step {step} is not in {}", self.phase) }),
        }
    }
}
