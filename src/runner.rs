//! Runs a plan: the step loop, locks with retries, cancellation, and the way back.

mod error;
mod tool;
mod work;

pub use error::Error;
pub use tool::{Estimates, Finish, Preview, Status, Tool};
pub use work::Work;
