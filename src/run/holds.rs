//! What the throttle has cost a backfill, and how fast it is now.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What one signal has cost the backfill so far, as seen by the process that leads the run. Values are in the unit of the signal:
/// seconds, bytes, segments, sessions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HoldTime {
    /// The signal's name, or `paused`.
    pub signal: String,
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
    pub(crate) signal: &'static str,
    pub(crate) times: i64,
    pub(crate) seconds: f64,
    pub(crate) slowed_seconds: f64,
    pub(crate) worst: Option<f64>,
    pub(crate) limit: Option<f64>,
}

/// How fast the backfill goes, and what an application feels of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PaceReport {
    /// The share of its speed at which it runs: 0 when it stands still, 1 at full speed.
    pub speed: f64,
    /// Why it runs slower than it could; `None` when it does not, or stands still.
    pub slowed_by: Option<String>,
    /// What nine of ten of the latest latency probes stayed below, in seconds; `None` when they are not made.
    pub latency_seconds: Option<f64>,
    /// What they should stay below.
    pub goal_latency_seconds: Option<f64>,
}
