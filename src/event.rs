//! Everything that a reporter can be told during a run. The runner emits events; reports consume them.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::ident::PlanName;
use crate::run::{Level, Phase, Progress, Signal, StepKey};

/// Takes events as they happen. It must return quickly: the runner waits for it.
pub type EventSink = Arc<dyn Fn(Event) + Send + Sync>;

/// Returns a sink that drops everything.
pub fn silent() -> EventSink {
    Arc::new(|_| {})
}

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A run was registered in the ledger.
    Registered {
        /// The plan's name.
        name: String,
    },
    /// An existing run continues.
    Resumed {
        /// The plan's name.
        name: String,
        /// The phase it is in.
        phase: Phase,
    },
    /// Somebody else holds the lease; the runner waits for it to expire.
    LeaseHeld {
        /// Who: host, process, since when.
        holder: String,
        /// Seconds until it expires.
        seconds: f64,
    },
    /// This process has joined the backfill of a run.
    Joined {
        /// The plan's name.
        name: String,
    },
    /// Another process is working on the backfill too.
    PeerCame {
        /// User, host and process.
        holder: String,
        /// Whether it leads the run.
        leads: bool,
    },
    /// Another process has left the backfill, or is gone.
    PeerWent {
        /// User, host and process.
        holder: String,
    },
    /// A phase begins.
    PhaseStarted {
        /// The phase.
        phase: Phase,
    },
    /// A phase has ended.
    PhaseDone {
        /// The phase.
        phase: Phase,
    },
    /// A step begins.
    StepStarted {
        /// The step.
        step: StepKey,
        /// What it does.
        title: String,
    },
    /// A step is done.
    StepDone {
        /// The step.
        step: StepKey,
        /// How long it took.
        seconds: f64,
        /// The catalog showed that it had been done before.
        adopted: bool,
    },
    /// A lock could not be acquired: there will be another attempt, or the statement still waits for it.
    LockWait {
        /// The step.
        step: StepKey,
        /// Which attempt this was, from 1.
        attempt: u32,
        /// Who blocks it.
        blockers: Vec<Blocker>,
        /// The pause before the next attempt; zero where this one still waits.
        pause: Duration,
    },
    /// How far the backfill or a check is.
    Progress {
        /// The phase.
        phase: Phase,
        /// How far.
        #[serde(flatten)]
        progress: Progress,
    },
    /// The backfill is done.
    Filled {
        /// Its outcome.
        #[serde(flatten)]
        filled: crate::run::Filled,
        /// What was predicted when the run was registered.
        predicted: Option<Box<crate::run::Estimates>>,
    },
    /// The backfill holds because of a signal.
    Hold(Level),
    /// The backfill continues after a hold.
    Released {
        /// The signal that held it.
        signal: Signal,
        /// How long it held.
        seconds: f64,
    },
    /// The backfill continues, but slowly. Emitted once a second while this lasts.
    Slowed {
        /// The signal because of which.
        #[serde(flatten)]
        level: Level,
        /// The share of its speed at which it continues.
        speed: f64,
    },
    /// The backfill has ended: what the throttle cost it, by signal.
    HoldTimes {
        /// The most expensive first.
        holds: Vec<crate::run::HoldTime>,
    },
    /// Somebody paused the run.
    Paused,
    /// Somebody resumed the run.
    Unpaused,
    /// The runner waits for something other than a lock.
    Waiting {
        /// What for.
        #[serde(flatten)]
        wait: Wait,
        /// Seconds to go, where known.
        seconds: Option<f64>,
    },
    /// A check of all rows has a result.
    Verified(crate::run::Outcome),
    /// A step was undone.
    StepUndone {
        /// The step.
        step: StepKey,
    },
    /// Something a person should know, although the run continues.
    Warning {
        /// The text.
        message: String,
    },
    /// The connection was lost; the runner reconnects.
    Reconnecting {
        /// What the connection said.
        reason: String,
        /// Which attempt this is, from 1.
        attempt: u32,
    },
    /// The run is done.
    Done,
    /// The run was rolled back.
    RolledBack,
}

/// What a process waits for, other than a lock.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Wait {
    /// Nobody may write through the old column for a while.
    Quiet,
    /// The retired column is kept for its grace period.
    Grace,
    /// Another session still builds the index, for a process that is gone perhaps.
    IndexBuild {
        /// Its backend.
        pid: i32,
        /// The index.
        index: String,
    },
    /// A session of a process that worked on the run before still runs its statement, or is being ended.
    Statement {
        /// Its backend.
        pid: i32,
    },
    /// A hook runs.
    Hook {
        /// Which, in words.
        hook: String,
    },
    /// Other processes still fill the pages that they have taken.
    OtherProcesses,
    /// Dead rows cannot be pruned, so updates find no room on their pages; the plan says to wait.
    Horizon {
        /// Updates of the last slice of pages.
        rows: u64,
        /// Those of them that found room.
        hot: u64,
        /// What keeps the dead rows; `None` when it is not known.
        holder: Option<String>,
        /// For how long it has been in its transaction.
        holder_seconds: Option<f64>,
    },
    /// The run is not registered yet, and so its backfill cannot be joined.
    Run {
        /// The run.
        name: PlanName,
    },
    /// The backfill of the run has not begun, and so cannot be joined.
    Backfill {
        /// The run.
        name: PlanName,
        /// The phase it is in.
        phase: Phase,
    },
    /// The run is being taken back to the end of an earlier phase, and may go on after that.
    Rollback {
        /// The run.
        name: PlanName,
        /// The last phase that stays done.
        to: Phase,
    },
}

/// A session that blocks a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Blocker {
    /// Its process, or 0 for a prepared transaction.
    pub pid: i32,
    /// Its role; `None` if crossfade's role may not see it.
    pub user: Option<String>,
    /// Its `application_name`.
    pub application: Option<String>,
    /// Its state, such as `idle in transaction`.
    pub state: Option<String>,
    /// Age of its transaction in seconds.
    pub transaction_seconds: Option<i64>,
    /// What it runs or ran last, literals redacted; or the name of a prepared transaction.
    pub query: Option<String>,
}

impl std::fmt::Display for Blocker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.pid == 0 {
            return write!(f, "prepared transaction {}", self.query.as_deref().unwrap_or("(unknown)"));
        }
        write!(f, "pid {}", self.pid)?;
        if let Some(user) = &self.user {
            write!(f, " of {user}")?;
        }
        if let Some(application) = self.application.as_ref().filter(|name| !name.is_empty()) {
            write!(f, " ({application})")?;
        }
        if let Some(state) = &self.state {
            write!(f, ", {state}")?;
        }
        if let Some(seconds) = self.transaction_seconds {
            write!(f, ", in a transaction for {seconds} s")?;
        }
        if let Some(query) = self.query.as_ref().filter(|query| !query.is_empty()) {
            write!(f, ": {query}")?;
        }
        Ok(())
    }
}
