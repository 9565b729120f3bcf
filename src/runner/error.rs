//! Why a command could not do what it was asked for.

use crate::catalog::Finding;
use crate::engine;
use crate::event::Blocker;
use crate::ledger::{LeaseError, LedgerError};
use crate::pg;
use crate::run::{Outcome, StepKey};

/// Why a command could not do what it was asked for. The command line maps each to an exit code.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The catalog holds something that the plan cannot be run against. Nothing was changed.
    #[error("the plan cannot be run on this database: {} problem(s) found, nothing was changed", .findings.len())]
    Refused {
        /// All of them.
        findings: Vec<Finding>,
    },
    /// The plan file is not the one the run was started with.
    #[error(
        "plan {name} was edited after its run began. Restore the file, or roll the run back and start again; `crossfade tune` changes the pace of a run"
    )]
    PlanEdited {
        /// The plan's name.
        name: String,
    },
    /// Something must happen first; trying again later may work.
    #[error("{reason}")]
    Blocked {
        /// What stands in the way, and what to do.
        reason: String,
    },
    /// The way back is closed.
    #[error("step {step} cannot be taken back: {why}")]
    PointOfNoReturn {
        /// The step.
        step: StepKey,
        /// Why not.
        why: String,
    },
    /// A lock was not to be had.
    #[error("step {step} could not get its lock in {attempts} tries{}", blocked_by(.blockers))]
    Locked {
        /// The step.
        step: StepKey,
        /// How often it was tried.
        attempts: u32,
        /// Who stood in the way of the last try.
        blockers: Vec<Blocker>,
    },
    /// Rows are not equal.
    #[error("{} of {} rows are not equal ({} empty, {} different, {} unconverted)", .0.counts.mismatches(), .0.counts.rows, .0.counts.empty, .0.counts.different, .0.counts.unconverted)]
    Mismatch(Outcome),
    /// The catalog does not agree with the ledger.
    #[error("the database is not as the ledger says: {}", .facts.join("; "))]
    Drifted {
        /// What does not hold.
        facts: Vec<String>,
    },
    /// Told to stop; everything done so far is recorded.
    #[error("stopped; everything done so far is recorded, and the next `crossfade run` goes on from there")]
    Interrupted,
    /// A statement of a step failed.
    #[error("step {step} failed: {error}")]
    Step {
        /// The step.
        step: StepKey,
        /// What the server said.
        error: String,
    },
    /// The catalog could not be read.
    #[error(transparent)]
    Catalog(#[from] crate::catalog::CatalogError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The server's error.
    #[error("{}", pg::describe(.0))]
    Database(#[from] sqlx::Error),
}

impl From<LeaseError> for Error {
    fn from(error: LeaseError) -> Self {
        Self::Ledger(LedgerError::Lease(error))
    }
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        match error {
            engine::Error::Interrupted => Self::Interrupted,
            engine::Error::Ledger(error) => Self::Ledger(error),
            engine::Error::Database(error) => Self::Database(error),
            other => Self::Blocked { reason: other.to_string() },
        }
    }
}

impl Error {
    /// Returns the error of a step for which an engine could not do its work.
    pub(super) fn of_step(step: &StepKey, error: engine::Error) -> Self {
        match error {
            engine::Error::Statement { .. } | engine::Error::IndexTaken { .. } => {
                Self::Step { step: step.clone(), error: error.to_string() }
            }
            other => other.into(),
        }
    }

    /// Returns the server's error at the bottom, if there is one.
    pub fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Database(error)
            | Self::Ledger(LedgerError::Database(error) | LedgerError::Lease(LeaseError::Database(error)))
            | Self::Catalog(crate::catalog::CatalogError::Database { source: error, .. }) => Some(error),
            _ => None,
        }
    }

    /// Returns the class of the server's error, or [`pg::ErrorClass::Other`].
    pub fn class(&self) -> pg::ErrorClass {
        self.database().map_or(pg::ErrorClass::Other, pg::class_of)
    }
}

fn blocked_by(blockers: &[Blocker]) -> String {
    if blockers.is_empty() {
        return String::new();
    }
    let names: Vec<_> = blockers.iter().map(ToString::to_string).collect();
    format!("; blocked by {}", names.join("; "))
}
