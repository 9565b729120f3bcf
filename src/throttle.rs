//! Politeness: the row rate, the signals that make the backfill slow down or hold, and what that cost it.

mod decide;
mod holds;
mod lag;
mod latency;
mod limiter;
mod probe;
mod seen;
mod signals;
mod steer;

pub use decide::{Limits, Pace, Signals, Value};
#[cfg(feature = "internals")]
pub use decide::{Reading, decide};
pub(crate) use holds::Holds;

pub use crate::run::Signal;
pub(crate) use latency::{Felt, Tally, feel};
pub(crate) use limiter::RowRate;
pub(crate) use probe::probe;
pub(crate) use seen::Seen;
pub(crate) use signals::sample;
pub(crate) use steer::Pacer;
