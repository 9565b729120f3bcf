//! Why a command failed.

use std::io;
use std::path::{Path, PathBuf};

use crate::import::Trouble;
use crate::plan::PlanErrors;
use crate::runner::Error;
use crate::testkit::server::ServerError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The command line is wrong.
    #[error("{message}")]
    Usage {
        /// Stable: `usage::<what>`.
        code: &'static str,
        message: String,
        help: String,
    },
    /// A plan file with problems.
    #[error(transparent)]
    Plan(#[from] PlanErrors),
    /// A file that cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    File { path: PathBuf, source: io::Error, kind: FileKind },
    /// A migration that does not become a plan, by its name, with at least one reason.
    #[error("{file} does not become a plan")]
    Import { file: String, troubles: Vec<Trouble> },
    /// A file that cannot be written.
    #[error("{} cannot be written: {source}", .path.display())]
    Written { path: PathBuf, source: io::Error },
    /// The library's error.
    #[error(transparent)]
    Tool(#[from] Error),
    /// What was typed when the command asked for consent was something else than the name.
    #[error("that is not the name, so nothing was dropped")]
    Declined(Error),
    /// The demo's server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The result could not be written.
    #[error("the result could not be written: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    pub(super) fn usage(code: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { code, message: message.into(), help: help.into() }
    }
}

/// What a file was to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// A plan.
    Plan,
    /// A folder of plans.
    Folder,
    /// A migration of a team's migration tool.
    Migration,
    /// The token of `crossfade serve`.
    #[cfg(feature = "serve")]
    Token,
}

/// Returns the error of a file that could not be read.
pub(super) fn file(path: &Path, kind: FileKind) -> impl FnOnce(io::Error) -> CliError {
    let path = path.to_owned();
    move |source| CliError::File { path, source, kind }
}
