//! Fills the rows that existed before the sync trigger, page by page, politely and resumably.

mod spec;

pub use spec::{Fill, Spec};
