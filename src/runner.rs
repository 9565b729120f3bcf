//! Runs a plan: the step loop, locks with retries, cancellation, and the way back.

mod error;
mod work;

pub use error::Error;
pub use work::Work;
