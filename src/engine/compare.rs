//! Compares old and new columns of every row, on the server. A mismatch is a result, not an error.

mod check;
mod identity;
mod partitions;
mod repair;

pub use check::check;
pub use identity::identify;
pub(crate) use identity::{checked_query, identity_query};
pub(crate) use partitions::complete;
pub use repair::repair;

use super::{Error, Work};
use crate::run::{CompareSpec, Identity, Outcome, Phase};

/// How many connections a check reads with.
pub(crate) const CHECK_CONNECTIONS: usize = 2;

impl Work {
    /// Compares all rows.
    ///
    /// # Errors
    /// As [`check`].
    pub async fn check(&self, spec: &CompareSpec, phase: Phase) -> Result<(Outcome, Identity), Error> {
        let Self { connector, ledger, run, sink, stop, .. } = self;
        check(connector, ledger, &run.program, spec, sink, stop, phase, CHECK_CONNECTIONS).await
    }
}
