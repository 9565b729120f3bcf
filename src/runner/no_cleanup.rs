//! Why what crossfade has made is not removed from a database.

/// Why nothing was removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCleanup {
    /// Runs have not ended.
    #[error("{} not ended: nothing was dropped", have(.runs))]
    Active {
        /// Which.
        runs: Vec<String>,
    },
    /// Nobody has agreed.
    #[error("removing everything of crossfade needs your consent: it runs {}", .drops.join("; "))]
    Consent {
        /// The statements that drop something, in order.
        drops: Vec<String>,
    },
    /// A lock was not free in any attempt.
    #[error("a lock could not be acquired in {attempts} attempts: nothing was dropped")]
    Locked {
        /// How many.
        attempts: usize,
    },
}

fn have(runs: &[String]) -> String {
    match runs {
        [run] => format!("run {run} has"),
        runs => format!("runs {} have", runs.join(", ")),
    }
}
