//! Where a run stands, and what it waits for.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use chrono_tz::Tz;

use super::{Action, Gate, GateReading, HeldBy, Level, Mode, Phase, Program, State, Step, StepKey, Undo};
use crate::plan::Contract;

/// Where a run stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// A process is at work on it.
    Running,
    /// Nobody is; it goes on when somebody runs it.
    Waiting,
    /// Somebody paused it.
    Paused,
    /// A step failed, or rows are not equal; the run continues when somebody runs it again.
    Failed,
    /// The catalog does not agree with the ledger.
    Drifted,
    /// It is being taken back.
    RollingBack,
    /// It was taken back whole.
    RolledBack,
    /// All phases are done.
    Done,
}

impl Standing {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Running,
        Self::Waiting,
        Self::Paused,
        Self::Failed,
        Self::Drifted,
        Self::RollingBack,
        Self::RolledBack,
        Self::Done,
    ];

    /// Returns the word that JSON and the `crossfade.status` view use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::Drifted => "drifted",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::Done => "done",
        }
    }

    /// Returns whether the run has ended.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::RolledBack)
    }
}

impl State {
    /// Returns where the run stands, as far as the log tells: not whether a process is at work on it.
    pub fn standing(&self) -> Standing {
        match self.mode {
            Mode::Undoing(_) => Standing::RollingBack,
            Mode::RolledBack => Standing::RolledBack,
            Mode::Done => Standing::Done,
            Mode::Drifted => Standing::Drifted,
            _ if self.paused => Standing::Paused,
            Mode::Failed => Standing::Failed,
            _ if self.unequal > 0 => Standing::Failed,
            Mode::New | Mode::Forward => Standing::Waiting,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.as_str().replace('_', " "))
    }
}

/// What must happen before a run goes on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum WaitingFor {
    /// That somebody runs or advances it.
    Advance {
        /// The phase that it will go on with.
        phase: Phase,
    },
    /// That a gate in front of its phase opens.
    Gate {
        /// The phase.
        phase: Phase,
        /// What was found of the gate.
        #[serde(flatten)]
        reading: GateReading,
        /// The zone in which times are shown.
        #[serde(serialize_with = "zone_name")]
        zone: Tz,
    },
    /// That somebody resumes it.
    Resume {
        /// Who paused it; `None` where that is not known.
        by: Option<String>,
    },
    /// That a lock is free.
    Lock {
        /// The step that needs it.
        step: StepKey,
        /// Who had it when it was last looked at, in words.
        blockers: Vec<String>,
    },
    /// That somebody agrees to what cannot be undone.
    Consent {
        /// The step.
        step: StepKey,
        /// What it does.
        title: String,
    },
    /// That somebody finishes its rollback.
    Rollback,
    /// That nobody writes through the old column for a while.
    Quiet {
        /// For how long.
        quiet_seconds: f64,
        /// How much of that is to come if nobody writes from now on.
        left_seconds: f64,
    },
    /// That the old column has been retired for a while.
    Grace {
        /// For how long.
        grace_seconds: f64,
        /// Until when, by the server's clock; `None` before it is retired.
        until: Option<DateTime<Utc>>,
    },
    /// That a person looks at it.
    Person {
        /// What went wrong.
        error: Option<String>,
    },
    /// That rows are equal which the last check has found unequal.
    Repair {
        /// How many.
        rows: i64,
    },
    /// That a signal falls: its backfill stands still.
    Signal {
        /// The signal, with its value and its limit.
        #[serde(flatten)]
        level: Level,
        /// Since when, by the server's clock; `None` where the backfill does not say it.
        since: Option<DateTime<Utc>>,
    },
}

/// What the ledger tells of a run besides its state.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    /// When its last step was done.
    pub(crate) last_done: Option<DateTime<Utc>>,
    /// Who paused it last.
    pub(crate) paused_by: Option<String>,
    /// How long it waits before the old column goes.
    pub(crate) contract: &'a Contract,
    /// For how long the old column has not been written.
    pub(crate) quiet: Duration,
    /// The server's clock.
    pub(crate) now: DateTime<Utc>,
    /// What the phase waits for before it begins, if it does.
    pub(crate) entry: Option<WaitingFor>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn zone_name<S: serde::Serializer>(zone: &Tz, to: S) -> Result<S::Ok, S::Error> {
    zone.name().serialize(to)
}

impl WaitingFor {
    /// Returns what a run in `state` waits for while no process is at work on it; `None` when it is over.
    pub(crate) fn of(program: &Program, state: &State, told: Told<'_>) -> Option<Self> {
        match state.mode {
            Mode::Done | Mode::RolledBack => None,
            Mode::Undoing(_) => Some(Self::Rollback),
            Mode::Failed if state.unequal > 0 => Some(Self::Repair { rows: state.unequal }),
            Mode::Failed | Mode::Drifted => Some(Self::Person { error: state.error.clone() }),
            _ if state.paused => Some(Self::Resume { by: told.paused_by }),
            _ if state.unequal > 0 => Some(Self::Repair { rows: state.unequal }),
            Mode::New | Mode::Forward => {
                let of_steps = Self::of_steps(state.next_steps(program), state.phase, &told);
                Some(told.entry.unwrap_or(of_steps))
            }
        }
    }

    /// Returns what a run waits for whose next steps these are, and which is in `phase`.
    fn of_steps<'s>(steps: impl Iterator<Item = &'s Step>, phase: Phase, told: &Told<'_>) -> Self {
        let contract = told.contract;
        for step in steps {
            match (&step.action, &step.undo) {
                (Action::Await(Gate::Quiet { .. }), _) => {
                    let left = contract.quiet.saturating_sub(told.quiet);
                    if !left.is_zero() {
                        let quiet_seconds = contract.quiet.as_secs_f64();
                        return Self::Quiet { quiet_seconds, left_seconds: left.as_secs_f64() };
                    }
                }
                (Action::Await(Gate::Grace { .. }), _) => {
                    let grace = contract.grace;
                    let until = told.last_done.and_then(|at| Some(at + chrono::Duration::from_std(grace).ok()?));
                    if until.is_none_or(|until| until > told.now) {
                        return Self::Grace { grace_seconds: grace.as_secs_f64(), until };
                    }
                }
                (_, Undo::PointOfNoReturn(_)) => {
                    return Self::Consent { step: step.key.clone(), title: step.title.clone() };
                }
                // A check waits for nobody: what stops the run comes after it.
                (Action::Compare(_), _) => {}
                _ => break,
            }
        }
        Self::Advance { phase }
    }

    /// Returns whether a command lets it go on, and nothing else stands in the way or is worth knowing.
    pub fn is_command(&self) -> bool {
        matches!(self, Self::Advance { .. } | Self::Resume { by: None } | Self::Rollback)
    }

    /// Returns whether something went wrong.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Person { .. } | Self::Repair { .. })
    }
}

impl WaitingFor {
    /// Returns what a run waits for whose backfill stands still for this, `since` that moment.
    pub(crate) fn held(held: HeldBy, since: Option<DateTime<Utc>>) -> Self {
        match held {
            HeldBy::Paused => Self::Resume { by: None },
            HeldBy::Signal(level) => Self::Signal { level, since },
        }
    }
}
