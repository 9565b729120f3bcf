//! Which gate is closed, and for how long.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use humantime::format_duration;

use crate::amounts;
use crate::ident::PlanName;
use crate::run::{GateReading, Phase, StepKey};

/// A gate that is closed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NotYet {
    /// The old column is written; nobody may do that for a while before it is retired.
    #[error("{}", not_quiet(*.quiet, *.left, *.writes))]
    Quiet {
        /// For how long nobody may write.
        quiet: Duration,
        /// The time to go if nobody writes from now on.
        left: Duration,
        /// In how many seconds it was written while the run waited.
        writes: i64,
        /// In how many seconds it was written since the run began.
        total: i64,
    },
    /// The retired column is kept for a while before it is dropped.
    #[error(
        "waiting as planned until {} ({} to go): the retired column is kept for its grace period",
        .until.with_timezone(.zone).format("%Y-%m-%d %H:%M:%S %Z"),
        amounts::duration(.left.as_secs_f64().round())
    )]
    Grace {
        /// The run.
        name: PlanName,
        /// When it may be dropped, by the server's clock.
        until: DateTime<Utc>,
        /// The zone in which that is shown.
        zone: Tz,
        /// The time to go.
        left: Duration,
    },
    /// The next step cannot be undone, and nobody has agreed to it.
    #[error(
        "run {name} has stopped before its point of no return; nothing was dropped yet. Next: {title}. Afterwards, {why}"
    )]
    Irreversible {
        /// The run.
        name: PlanName,
        /// The step.
        step: StepKey,
        /// What it does.
        title: String,
        /// What cannot be undone about it.
        why: String,
    },
    /// Rolling back would drop something, and nobody has agreed to it.
    #[error(
        "rolling back run {name} needs your consent: it drops what the run has made, by: {}",
        .drops.join("; ")
    )]
    Drops {
        /// The run.
        name: PlanName,
        /// The statements that drop something, in order.
        drops: Vec<String>,
    },
    /// A gate in front of the run's phase is closed.
    #[error("{phase} of run {name} cannot go on: {}", crate::sql::one_line(&.reading.reason))]
    Gate {
        /// The run.
        name: PlanName,
        /// Its phase.
        phase: Phase,
        /// What was found.
        reading: GateReading,
    },
    /// Another plan must be done first.
    #[error("plan {plan} requires plan {required}, which is not done in this database")]
    Plans {
        /// The plan that waits.
        plan: PlanName,
        /// The plan that is not done.
        required: PlanName,
    },
}

fn not_quiet(quiet: Duration, left: Duration, writes: i64) -> String {
    let (quiet, left) = (format_duration(quiet), format_duration(Duration::from_secs(left.as_secs())));
    if writes == 0 {
        return format!("contract goes on once the old column has not been written for {quiet}; {left} to go");
    }
    let seconds = if writes == 1 { "one second".to_owned() } else { format!("{writes} seconds") };
    format!("the old column is still written: in {seconds} while crossfade waited; it needs {quiet} without a write")
}
