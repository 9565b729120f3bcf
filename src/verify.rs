//! Compares old and new columns of every row, on the server. A mismatch is a result, not an error.

mod identity;
mod outcome;
mod spec;

pub use identity::Identity;
pub use outcome::{Counts, MismatchKey, Outcome};
pub use spec::{Pair, Side, Spec};
