//! Compares old and new columns of every row, on the server. A mismatch is a result, not an error.

mod check;
mod identity;
mod repair;

pub use check::check;
pub use identity::identify;
pub use repair::repair;
