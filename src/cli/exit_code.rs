//! What the process exits with. Stable: scripts and schedulers rely on it.

use crate::catalog::CatalogError;
use crate::ledger::{LeaseError, LedgerError};
use crate::pg::{ErrorClass, class_of, sqlstate};
use crate::runner::Error;

/// Done.
pub const DONE: u8 = 0;
/// Something that must not happen has happened: a bug, or a damaged ledger.
pub const INTERNAL: u8 = 1;
/// The command line cannot be understood, or names something that is not there.
pub const USAGE: u8 = 2;
/// A plan file is not valid, or is not the one the run began with.
pub const PLAN_INVALID: u8 = 3;
/// The database cannot be reached, or refuses, or holds something that the plan cannot be run against.
pub const DATABASE: u8 = 4;
/// Something must happen first, or it is not time yet: a lock, another worker, a pause, a gate, the grace. Trying again
/// later may work.
pub const BLOCKED: u8 = 5;
/// Rows are not equal.
pub const MISMATCH: u8 = 6;
/// The database is not as the ledger says.
pub const DRIFTED: u8 = 7;
/// The watchdog has ended the process because one of its loops did not move any more: a bug. Everything done so far is
/// recorded; trying again goes on from there.
pub const STALLED: u8 = 8;
/// Told to stop by a signal; everything done so far is recorded.
pub const INTERRUPTED: u8 = 130;

/// Returns the exit code of an error.
pub fn of(error: &Error) -> u8 {
    match error {
        Error::Refused { .. } | Error::Step { .. } => DATABASE,
        Error::PlanEdited { .. } => PLAN_INVALID,
        Error::Blocked { .. } | Error::PointOfNoReturn { .. } | Error::Locked { .. } => BLOCKED,
        Error::Mismatch(_) => MISMATCH,
        Error::Drifted { .. } => DRIFTED,
        Error::Interrupted => INTERRUPTED,
        Error::Ledger(error) => of_ledger(error),
        Error::Catalog(CatalogError::Database { source: error, .. }) | Error::Database(error) => of_database(error),
        Error::Catalog(CatalogError::Answer { .. }) => INTERNAL,
    }
}

fn of_ledger(error: &LedgerError) -> u8 {
    match error {
        LedgerError::Newer { .. } | LedgerError::Format { .. } | LedgerError::NotALedger { .. } => DATABASE,
        LedgerError::NoSuchRun { .. } => USAGE,
        LedgerError::Illegal(_) | LedgerError::Unreadable { .. } => INTERNAL,
        LedgerError::ColumnClaimed { .. } | LedgerError::Lease(LeaseError::Held { .. } | LeaseError::Lost { .. }) => {
            BLOCKED
        }
        LedgerError::Lease(LeaseError::Database(error)) | LedgerError::Database(error) => of_database(error),
    }
}

fn of_database(error: &sqlx::Error) -> u8 {
    match class_of(error) {
        ErrorClass::Contention => BLOCKED,
        ErrorClass::Connection | ErrorClass::Refused => DATABASE,
        // What the server says has to do with the database; the rest is between us and the driver.
        ErrorClass::Other if sqlstate(error).is_some() => DATABASE,
        ErrorClass::Other => INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_that_are_documented() {
        assert_eq!(of(&Error::Interrupted), 130);
        assert_eq!(of(&Error::Refused { findings: vec![] }), 4);
        assert_eq!(of(&Error::PlanEdited { name: String::new() }), 3);
        assert_eq!(of(&Error::Blocked { reason: String::new() }), 5);
        assert_eq!(of(&Error::Drifted { facts: vec![] }), 7);
        assert_eq!(of(&LedgerError::NoSuchRun { name: String::new() }.into()), 2);
        assert_eq!(of(&LeaseError::Held { holder: String::new(), seconds: 1.0 }.into()), 5);
        assert_eq!(of(&sqlx::Error::Io(std::io::ErrorKind::ConnectionRefused.into()).into()), 4);
        assert_eq!(of(&sqlx::Error::RowNotFound.into()), 1);
    }
}
