//! Runs a plan: the step loop, locks with retries, cancellation, and the way back.

mod clock;
mod ddl;
mod error;
mod forward;
mod gate;
mod heartbeat;
mod join;
mod preview;
mod session;
mod tool;
mod undo;

pub(crate) use clock::last_done;
pub use error::{Error, NoJoin, NotYet};
pub use join::Joined;
pub use preview::Preview;
pub use tool::{Finish, Tool};
