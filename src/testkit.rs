//! Everything that runs around the tool when it is shown or tested: a throwaway server, a table of vehicles,
//! and live clients of three application releases. Nothing in the library depends on this module.

#![cfg_attr(not(feature = "internals"), expect(dead_code, reason = "tests use all of it, the demo a part"))]

pub mod fleet;
pub mod server;
pub mod stats;
pub mod traffic;
