//! The ledger: our schema in the target database. An append-only log; the state of a run is derived from it by one pure
//! function ([`crate::run::State`]). [`Ledger`] is the only reader and writer of its tables.

mod filled;
mod holds;
mod joined;
mod lease;
mod store;
mod verification;
mod windows;
mod writes;

pub use joined::Peer;
pub use lease::{LEASE_SECONDS, Lease, LeaseError, lease_time};
pub use store::{Ledger, LedgerError, LoggedEntry, NewRun, Run, SCHEMA_VERSION};
pub use windows::{FillProgress, FillReport};
pub(crate) use windows::{Position, Seat, Window};
pub use writes::WriteCounts;
