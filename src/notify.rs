//! Announcements on their way out: the destinations that this host knows, what a message looks like, its signature, and the
//! request that carries it.

mod destination;
mod message;
mod post;
mod retry;
mod test;

pub use destination::Destinations;
pub(crate) use destination::{Destination, url_variable};
pub(crate) use message::Message;
#[cfg(feature = "otlp")]
pub(crate) use post::agent;
pub(crate) use post::{Answer, post};
pub(crate) use retry::after;
pub use test::{Tested, test};
