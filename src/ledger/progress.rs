//! What the engines have done and measured.

mod checks;
mod filled;
mod holds;
mod partitions;
mod passes;
mod report;
mod samples;
mod ticks;
mod uses;
mod windows;
mod writes;

use sqlx::PgConnection;

use super::{BOOKKEEPING, ByRun, Ledger, LedgerError, Run};
use crate::ident::RunId;
use crate::pg;
use crate::plan::Contract;
use crate::run::RelationId;

pub use checks::Check;
pub(crate) use checks::LastCheck;
pub(crate) use partitions::PartitionFill;
pub use report::{FillProgress, FillReport};
pub use ticks::LastTick;
pub(crate) use uses::KnownStatements;
pub(crate) use windows::{Position, REWRITTEN, Seat, Window, WindowSize};
pub use writes::NewWrites;
#[cfg(not(feature = "internals"))]
pub(crate) use writes::WriteCounts;
#[cfg(feature = "internals")]
pub use writes::WriteCounts;

/// The limits of a transaction whose loss, in a crash of the server, only means that it is done again.
const REPEATABLE: pg::Limits = pg::Limits { durable: false, ..BOOKKEEPING };

/// What was done in the runs of a ledger, by relation: passes over a table's file and windows of its pages, checks, holds,
/// counted writes; and the live settings that the engines go by.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'l> {
    pub(super) ledger: &'l Ledger,
}

impl Progress<'_> {
    /// Returns the live settings of a run ([`Log::tune`](super::Log::tune) changes them).
    ///
    /// # Errors
    /// The server's error.
    pub async fn settings(
        self,
        connection: &mut PgConnection,
        run: RunId,
    ) -> Result<Vec<(String, String)>, LedgerError> {
        Ok(self.settings_of(connection, &[run]).await?.all(run))
    }

    /// Returns the live settings of these runs.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn settings_of(
        self,
        connection: &mut PgConnection,
        runs: &[RunId],
    ) -> Result<ByRun<(String, String)>, sqlx::Error> {
        let select = "SELECT run_id, key, value FROM crossfade.setting WHERE run_id = ANY ($1) ORDER BY key";
        Ok(self.ledger.by_run(connection, select, runs).await?.map(|_, Setting { key, value }| (key, value)))
    }

    /// Returns how long a run waits before the old column goes: what its plan says, or what it was tuned to.
    ///
    /// # Errors
    /// The server's error.
    pub async fn contract(self, connection: &mut PgConnection, run: &Run) -> Result<Contract, LedgerError> {
        Ok(run.contract(&self.settings(connection, run.id).await?))
    }
}

pg::columns!(
    struct Setting {
        key: String,
        value: String,
    }
);

/// Returns a number of pages, parts or passes, which is never below zero.
fn count(stored: impl Into<i64>) -> Result<u32, LedgerError> {
    u32::try_from(stored.into()).map_err(|error| sqlx::Error::Decode(error.into()).into())
}

/// Returns the number of a relation as the ledger's tables have it. No run has as many relations as would not fit.
fn number(relation: RelationId) -> i16 {
    i16::try_from(relation.0).unwrap_or(i16::MAX)
}
