//! What the throttle has cost a backfill, and how fast it is now.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};

use super::{RELEASE, Signal};

/// A signal beside its limit. Values are in the unit of the signal: seconds, bytes, segments, sessions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// The signal.
    pub signal: Signal,
    /// Its value; `None` when it is not known.
    pub value: Option<f64>,
    /// Its limit.
    pub limit: f64,
}

impl Level {
    /// Returns the value below which a hold is over.
    pub fn release(&self) -> f64 {
        self.limit * RELEASE
    }
}

/// What a backfill stands still for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum HeldBy {
    /// Somebody paused it.
    Paused,
    /// A signal that is over its limit, or was and has not fallen far enough, or is not known.
    Signal(Level),
}

/// What time was spent on: a signal's name, or `paused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Somebody had paused the run.
    Paused,
    /// A signal.
    Signal(Signal),
}

impl Cause {
    /// Returns the name as the ledger has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Signal(signal) => signal.name(),
        }
    }

    /// Returns the cause of this name.
    pub fn named(name: &str) -> Option<Self> {
        if name == "paused" { Some(Self::Paused) } else { Signal::named(name).map(Self::Signal) }
    }

    /// Returns the signal, if it is one.
    pub fn signal(self) -> Option<Signal> {
        match self {
            Self::Paused => None,
            Self::Signal(signal) => Some(signal),
        }
    }
}

impl From<HeldBy> for Cause {
    fn from(held: HeldBy) -> Self {
        match held {
            HeldBy::Paused => Self::Paused,
            HeldBy::Signal(level) => Self::Signal(level.signal),
        }
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What one signal has cost the backfill so far, as seen by the process that leads the run. Values are in the unit of the signal:
/// seconds, bytes, segments, sessions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HoldTime {
    /// The signal, or the pause.
    pub signal: Cause,
    /// How often it held the backfill.
    pub times: i64,
    /// For how long in all.
    pub seconds: f64,
    /// For how long it slowed the backfill down.
    pub slowed_seconds: f64,
    /// Its worst value in that time; `None` when it was never known.
    pub worst: Option<f64>,
    /// The limit at that moment.
    pub limit: Option<f64>,
    /// When that was last so.
    pub last_at: DateTime<Utc>,
}

/// What is to be added to a [`HoldTime`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HoldDelta {
    pub(crate) signal: Cause,
    pub(crate) times: i64,
    pub(crate) seconds: f64,
    pub(crate) slowed_seconds: f64,
    pub(crate) worst: Option<f64>,
    pub(crate) limit: Option<f64>,
}

/// How fast the backfill is, and the latency that an application sees.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PaceReport {
    /// The share of its speed at which it runs: 0 when it stands still, 1 at full speed.
    pub speed: f64,
    /// The signal because of which it runs slower than it could; `None` when it does not, or stands still.
    pub slowed_by: Option<Level>,
    /// What nine of ten of the latest latency probes stayed below, in seconds; `None` when they are not made.
    pub latency_seconds: Option<f64>,
    /// What they should stay below.
    pub goal_latency_seconds: Option<f64>,
}
