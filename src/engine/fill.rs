//! Fills the rows that existed before the sync trigger, page by page, politely and resumably.
//!
//! Rows written since the trigger committed are already right, so only the pages that existed then are visited: windows
//! of them, taken from the ledger by one or several workers. A worker fills its window in batches, each one short
//! transaction that proves the lease and commits its progress with the rows. The control loop reads the live
//! settings and the signals, gives the pace, and reports.

mod control;
mod horizon;
mod method;
mod orders;
mod pace;
mod partitions;
mod policy;
pub(crate) mod privileged;
mod rate;
mod rehearse;
mod room;
mod shared;
mod slices;
mod strict;
mod worker;

pub use method::{Method, Shape};
pub(crate) use pace::BatchSize;
pub use partitions::run;
pub(crate) use rehearse::Page;
