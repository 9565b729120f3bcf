//! Compares old and new columns of every row, on the server. A mismatch is a result, not an error.

mod check;
mod identity;
mod outcome;
mod repair;
mod spec;

pub use check::check;
pub use identity::Identity;
pub use outcome::{Counts, MismatchKey, Outcome};
pub use repair::repair;
pub use spec::{Pair, Side, Spec};
