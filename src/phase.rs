//! The six stages of a run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A stage of a run. A run moves by exactly one phase at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Adds the new column and the sync trigger.
    Expand,
    /// Builds the new column's indexes concurrently.
    Index,
    /// Fills the rows that existed before the trigger.
    Backfill,
    /// Compares all rows and proves the constraints.
    Verify,
    /// Applications move to the new column.
    Switch,
    /// Takes the old name away, waits, and drops what was retired: the old column of a type change, the mirror of a rename.
    Contract,
}

impl Phase {
    /// All phases in the default order (`indexes.build: after_backfill` exchanges the second and the third).
    pub const ALL: [Self; 6] = [Self::Expand, Self::Index, Self::Backfill, Self::Verify, Self::Switch, Self::Contract];

    /// Returns the phase's name as plans and reports write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expand => "expand",
            Self::Index => "index",
            Self::Backfill => "backfill",
            Self::Verify => "verify",
            Self::Switch => "switch",
            Self::Contract => "contract",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no phase.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a phase; the phases are expand, index, backfill, verify, switch, contract")]
pub struct UnknownPhase(String);

impl FromStr for Phase {
    type Err = UnknownPhase;
    fn from_str(text: &str) -> Result<Self, UnknownPhase> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text).ok_or_else(|| UnknownPhase(text.to_owned()))
    }
}
