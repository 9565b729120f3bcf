//! Runs a plan: the step loop, locks with retries, cancellation, and the way back.

mod approve;
mod cleanup;
mod clock;
mod conditions;
#[cfg(feature = "notify")]
mod courier;
mod ddl;
mod draft;
mod drift;
mod error;
mod evidence;
mod forward;
mod gate;
mod gates;
mod heartbeat;
mod hooks;
mod join;
mod nearing;
mod no_cleanup;
mod not_yet;
mod partitioned_index;
mod parts;
mod preview;
mod removal;
mod requirements;
mod schedule;
mod session;
mod soak;
mod surround;
mod together;
mod tool;
mod undo;

pub use approve::Approved;
pub use cleanup::Cleanup;
pub(crate) use clock::server as server_clock;
#[cfg(feature = "cli")]
pub(crate) use draft::unseen;
pub use draft::{Draft, Wanted};
pub use error::{Error, NoJoin};
pub(crate) use evidence::{evidence, is_due as watches_uses};
pub(crate) use gates::{Readings, Seen, approval_of, digest_of, entered, look, look_at, readings};
pub use join::Joined;
pub use nearing::PointOfNoReturn;
pub(crate) use nearing::ahead as point_of_no_return;
pub use no_cleanup::NoCleanup;
pub use not_yet::NotYet;
pub(crate) use parts::{parts_of, turn};
pub use preview::{Known, PartPreview, Preview};
pub use together::Compared;
pub use tool::{Finish, Tool};
pub(crate) use tool::{refuse_copy, waiting_for};
