//! Why an engine could not finish.

use crate::ident::TableName;
use crate::ledger::{LeaseError, LedgerError};
use crate::pg;
use crate::run::StepKey;

/// Why an engine could not finish. What it did before that is recorded.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(not(feature = "internals"), expect(unnameable_types, reason = "users see what the runner makes of it"))]
pub enum Error {
    /// Told to stop; the open batches were finished.
    #[error("stopped; everything done so far is recorded")]
    Interrupted,
    /// The table is not there any more.
    #[error("table {table} is gone")]
    TableGone {
        /// The table.
        table: TableName,
    },
    /// The table got another file while its rows were compared.
    #[error("table {table} was rewritten during the check, so the result is void; run it again")]
    Rewritten {
        /// The table.
        table: TableName,
    },
    /// A row stayed locked for longer than an engine waits.
    #[error("a row on page {page} of table {table} stays locked; run the repair again later")]
    RowStaysLocked {
        /// The table.
        table: TableName,
        /// The page.
        page: u32,
    },
    /// The server refuses a setting that the plan asks for.
    #[error("the server refuses `backfill.{key}` of the plan ({said})")]
    SettingRefused {
        /// The key of the plan, under `backfill`.
        key: &'static str,
        /// What the server said.
        said: String,
        /// What may help.
        help: String,
    },
    /// The backfill came to its end without having seen every page.
    #[error("the backfill ended, but {what}; run it again")]
    NotCovered {
        /// What is missing, as a clause.
        what: String,
    },
    /// The server did not take the settings of a session.
    #[error(
        "the server ignored the session's timeouts (lock_timeout {lock_timeout}, statement_timeout {statement_timeout}); connect directly if a pooler is in between"
    )]
    SessionNotSet {
        /// What `lock_timeout` is.
        lock_timeout: String,
        /// What `statement_timeout` is.
        statement_timeout: String,
    },
    /// An index of the name exists that is not the one to be built.
    #[error("an index {index} exists and does not belong to step {step}")]
    IndexTaken {
        /// The step that would build it.
        step: StepKey,
        /// The index, with its schema.
        index: String,
    },
    /// A statement failed, again and again where that might help.
    #[error("step {step} failed: {}; the statement was: {statement}", pg::describe(.error))]
    Statement {
        /// The step.
        step: StepKey,
        /// The statement.
        statement: String,
        /// What the server said.
        error: sqlx::Error,
    },
    /// The ledger, or the lease.
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

impl Error {
    /// Returns the error of a connection to the owner of `table`: where there is no owner, there is no table.
    pub(crate) fn or_gone(error: sqlx::Error, table: &TableName) -> Self {
        match error {
            sqlx::Error::RowNotFound => Self::TableGone { table: table.clone() },
            error => Self::Database(error),
        }
    }

    /// Returns the server's error as that of a statement that failed for good.
    pub(crate) fn of_statement(self, step: &StepKey, statement: String) -> Self {
        match self {
            Self::Database(error) => Self::Statement { step: step.clone(), statement, error },
            other => other,
        }
    }

    /// Returns the server's error at the bottom, if it may come and go: a statement that failed for good is not it.
    pub fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Database(error)
            | Self::Ledger(LedgerError::Database(error) | LedgerError::Lease(LeaseError::Database(error))) => {
                Some(error)
            }
            _ => None,
        }
    }

    /// Returns the class of the server's error, or [`pg::ErrorClass::Other`].
    pub(crate) fn class(&self) -> pg::ErrorClass {
        self.database().map_or(pg::ErrorClass::Other, pg::class_of)
    }
}
