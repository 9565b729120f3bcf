//! Politeness: the row rate, and the signals that make the backfill slow down or hold.

mod decide;
mod limiter;
mod signals;

pub use decide::{Limits, Pace, Reading, Signal, Signals, Value, decide};
pub(crate) use limiter::RowRate;
pub(crate) use signals::{Seen, sample};
