//! What a plan requires of the database, and what was found.

use serde::Serialize;

use super::Verdict;

/// One thing that a plan requires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requirement {
    /// The key of the plan, below `requires`: `extensions`.
    pub key: &'static str,
    /// What is required: `extension postgis >= 3.1`.
    pub what: String,
    /// Whether it holds.
    pub verdict: Verdict,
    /// What was found, or why nobody can tell.
    pub found: String,
    /// What to do about it; empty where it holds.
    pub help: String,
}

impl Requirement {
    /// Returns whether it holds.
    pub fn is_met(&self) -> bool {
        self.verdict == Verdict::Pass
    }
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, found, .. } = self;
        match self.verdict {
            Verdict::Pass | Verdict::Fail => write!(f, "{what}: {found}"),
            Verdict::Unknown => write!(f, "{what}: nobody can tell, because {found}"),
        }
    }
}
