//! What a backfill will cost, and afterwards what it did cost.
//!
//! The model ([`predict`]) is a pure function of what the catalog says and of a short, read-only calibration that times
//! reads of the table itself. It predicts both orders of index builds, so that a person can choose. When the backfill
//! is done, [`crate::run::Filled`] has the outcome.

mod calibrate;
mod facts;
mod model;
mod read;

#[cfg(feature = "internals")]
pub use facts::{Added, Column, Index, NewIndex, Server, Subject};
#[cfg(feature = "internals")]
pub use model::predict;
pub(crate) use read::estimate;
