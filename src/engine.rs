//! The engines: filling rows, comparing them, and building indexes beside the application. They know the ledger and the
//! throttle, and nothing of phases that follow one another: what to do, on which run, and when to stop is handed to them.

pub(crate) mod build_index;
pub mod compare;
mod error;
pub mod fill;
mod work;

pub(crate) use compare::CHECK_CONNECTIONS;
pub use error::Error;
pub use work::Work;
