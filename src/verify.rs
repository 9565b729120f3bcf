//! Compares old and new columns of every row, on the server. A mismatch is a result, not an error.

mod spec;

pub use spec::{Pair, Side, Spec};
