//! What the log can say. Entries are only ever appended; the state of a run is what they add up to.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Compiled, GateReading, StepKey};
use crate::plan::{Hook, HookName, HookTime};
use crate::run::{Counts, Phase};

/// A hook among those of its plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HookKey {
    /// Before or after the phase.
    pub when: HookTime,
    /// The phase.
    pub phase: Phase,
    /// The executable.
    pub run: HookName,
}

impl HookKey {
    /// Returns the key of `hook`.
    pub fn of(hook: &Hook) -> Self {
        Self { when: hook.when, phase: hook.phase, run: hook.run.clone() }
    }
}

impl fmt::Display for HookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.run, self.when.as_str(), self.phase)
    }
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// The run exists.
    Registered,
    /// The gates in front of the phase were open, and its first step is next.
    PhaseStarted {
        /// The phase.
        phase: Phase,
        /// What was found of its gates, also of those that are in front of a later step of it.
        gates: Vec<GateReading>,
    },
    /// A step is about to change something outside crossfade's transactions: it may have run.
    StepStarted {
        /// The step.
        step: StepKey,
    },
    /// The step's effect is there. For a transactional step this entry committed with it.
    StepDone {
        /// The step.
        step: StepKey,
        /// The catalog showed that it had been done before this entry was written.
        adopted: bool,
    },
    /// The step ended with an error; the run waits for a person.
    StepFailed {
        /// The step.
        step: StepKey,
        /// What went wrong.
        error: String,
    },
    /// All steps of the phase are done.
    PhaseDone {
        /// The phase.
        phase: Phase,
    },
    /// The run is being rolled back, to the end of `to`, or to before it began.
    UndoStarted {
        /// The last phase that stays done.
        to: Option<Phase>,
    },
    /// The step's effect was undone.
    StepUndone {
        /// The step.
        step: StepKey,
    },
    /// The rollback has finished.
    UndoDone,
    /// What `plan` had warned of when the run was registered.
    Warned {
        /// The warnings, each a sentence.
        of: Vec<String>,
    },
    /// Somebody has approved a phase.
    Approved {
        /// The phase.
        phase: Phase,
        /// Who, as they say.
        person: String,
        /// What they said.
        comment: Option<String>,
        /// SHA-256 of what they have approved: plan, generated SQL, warnings.
        digest: String,
    },
    /// An approval was taken back before it was used up.
    ApprovalRevoked {
        /// The phase.
        phase: Phase,
        /// By whom, as they say.
        person: String,
    },
    /// Somebody goes on without the approval that the plan asks for.
    ApprovalBypassed {
        /// The phase.
        phase: Phase,
        /// Who answers for it, as they say.
        person: String,
        /// Why.
        reason: String,
        /// SHA-256 of what they have seen: plan, generated SQL, warnings.
        digest: String,
    },
    /// Somebody paused the run.
    Paused,
    /// Somebody resumed it.
    Resumed,
    /// The runner stopped between two units of work because it was told to.
    Interrupted,
    /// The runner was told to stop at once, and ended in the middle of a unit of work.
    CutShort,
    /// Somebody agreed to what cannot be undone, or to what a rollback drops.
    Consented {
        /// To what, in words.
        to: Vec<String>,
    },
    /// A step waits for a lock that somebody else has.
    LockWait {
        /// The step.
        step: StepKey,
        /// Who has it, in words.
        blockers: Vec<String>,
    },
    /// The runner came to a gate that is closed, and ended.
    Blocked {
        /// The gate: [`GateKind`](super::GateKind) as a word.
        gate: String,
        /// What it said.
        reason: String,
    },
    /// What cannot be undone may be done soon.
    Nearing {
        /// The step beyond which there is no way back.
        step: StepKey,
        /// The earliest moment at which it may be done.
        at: DateTime<Utc>,
    },
    /// A hook is about to be run. Until its end is recorded it may have run, and is run again.
    HookStarted {
        /// Which.
        hook: HookKey,
        /// The id that it is given, also when it is run again.
        id: String,
    },
    /// A hook has ended.
    HookEnded {
        /// Which.
        hook: HookKey,
        /// The id that it was given.
        id: String,
        /// Whether it ended well.
        ok: bool,
        /// How it ended, as a clause.
        how: String,
        /// The last lines that it printed.
        output: String,
    },
    /// Another process has joined the backfill.
    Joined,
    /// A process that had joined the backfill has left it.
    Left {
        /// Rows filled in the windows that were its own at the end.
        rows: i64,
    },
    /// A process that worked on the backfill is gone, and others take over its windows.
    Removed {
        /// Who it was.
        holder: String,
    },
    /// The server's clock was found to stand before the latest entry of the log: somebody set it back. Waiting times count from
    /// here on.
    ClockSetBack {
        /// By how many seconds, at the least.
        seconds: i64,
    },
    /// A live setting was changed.
    Tuned {
        /// The setting.
        key: String,
        /// Its new value.
        value: String,
    },
    /// The backfill is done.
    Filled(crate::run::Filled),
    /// All rows were compared.
    Verified {
        /// What was found.
        counts: Counts,
    },
    /// Rows were repaired.
    Repaired {
        /// Which side won.
        winner: crate::run::Side,
        /// Rows changed.
        rows: i64,
    },
    /// The catalog does not agree with the log.
    Drifted {
        /// In what.
        facts: Vec<String>,
    },
    /// Somebody changed what the program was compiled from, and the run followed: what was done so far was adapted in the
    /// transaction of this entry, and the rest of the run is done by another program.
    Replanned {
        /// What had changed.
        changes: Vec<String>,
        /// Steps whose effect was taken back with it: they are done again, or are not in the new program.
        undone: Vec<StepKey>,
        /// What the run goes on with.
        #[serde(skip)]
        compiled: Box<Compiled>,
    },
    /// Others have created BEFORE triggers on the table since the sync trigger; it was put around them.
    Surrounded {
        /// Their names.
        triggers: Vec<String>,
    },
}

impl Entry {
    /// Returns the program that the run goes on with after this entry, if it is another one.
    pub fn program(&self) -> Option<&super::Program> {
        match self {
            Self::Replanned { compiled, .. } => Some(&compiled.program),
            _ => None,
        }
    }

    /// Returns the step the entry is about.
    pub fn step(&self) -> Option<&StepKey> {
        match self {
            Self::StepStarted { step }
            | Self::StepDone { step, .. }
            | Self::StepFailed { step, .. }
            | Self::StepUndone { step }
            | Self::LockWait { step, .. } => Some(step),
            _ => None,
        }
    }
}
