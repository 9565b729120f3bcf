//! Whom a plan tells what happens, and whom it asks.

use std::time::Duration;

use serde::Serialize;

use super::words::words;
use crate::ident::{DestinationName, HookName};
use crate::phase::Phase;

/// Somebody who is told what happens in a run. The plan has only a name: which address that is, and with which secret
/// messages to it are signed, is known to the hosts that send them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Notify {
    /// The destination.
    pub to: DestinationName,
    /// What a message looks like.
    pub shape: Shape,
    /// What it is told. Default: everything.
    pub on: Vec<Topic>,
}

words! {
    /// What a message looks like.
    pub enum Shape {
        /// JSON with the headers and the signature of the Standard Webhooks specification.
        Standard = "standard" (default),
        /// What Slack's incoming webhooks take, and those of programs like it: a text.
        Slack = "slack",
    }
}

words! {
    /// What an announcement is about.
    pub enum Topic {
        /// A phase has begun.
        PhaseStarted = "phase_started",
        /// A phase is done.
        PhaseDone = "phase_done",
        /// The run came to a gate that is closed. Told once for each gate and phase.
        Waiting = "waiting",
        /// The run waits until somebody agrees.
        ApprovalNeeded = "approval_needed",
        /// In at most 24 hours, what cannot be undone may be done.
        PointOfNoReturn = "point_of_no_return",
        /// A step failed; the run waits for a person.
        Failed = "failed",
        /// Rows are not equal.
        Mismatch = "mismatch",
        /// The database is not in the state that the ledger describes.
        Drift = "drift",
        /// The run is done.
        Done = "done",
        /// The run was rolled back.
        RolledBack = "rolled_back",
    }
}

/// A program that is run before or after a phase, where the tool has been told the directory that it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hook {
    /// Before or after the phase.
    pub when: HookTime,
    /// The phase.
    pub phase: Phase,
    /// The executable's name in that directory.
    pub run: HookName,
    /// How long it may take. Default: one minute.
    pub timeout: Duration,
}

impl Hook {
    /// How long a hook may take unless the plan says otherwise.
    pub const TIMEOUT: Duration = Duration::from_mins(1);
    /// How long a plan may let a hook take.
    pub const LONGEST: Duration = Duration::from_hours(1);

    /// Returns `before_switch`, `after_contract`.
    pub fn point(&self) -> String {
        format!("{}_{}", self.when.as_str(), self.phase)
    }
}

words! {
    /// When a hook is run.
    pub enum HookTime {
        /// Before the first step of the phase; the phase only begins if the hook ends well.
        Before = "before" (default),
        /// After the phase is done, whatever the hook says.
        After = "after",
    }
}
