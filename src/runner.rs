//! Runs a plan: the step loop, locks with retries, cancellation, and the way back.

mod approve;
mod clock;
mod conditions;
#[cfg(feature = "notify")]
mod courier;
mod ddl;
mod drift;
mod error;
mod forward;
mod gate;
mod gates;
mod heartbeat;
mod hooks;
mod join;
mod nearing;
mod preview;
mod removal;
mod requirements;
mod schedule;
mod session;
mod soak;
mod surround;
mod tool;
mod undo;

pub use approve::Approved;
pub(crate) use clock::server as server_clock;
pub use error::{Error, NoJoin, NotYet};
pub(crate) use gates::{approval_of, entered, readings};
pub use join::Joined;
pub use preview::{Known, Preview};
pub use tool::{Finish, Tool};
pub(crate) use tool::{refuse_copy, waiting_for};
