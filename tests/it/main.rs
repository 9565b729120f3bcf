//! Tests on real servers, one module per behaviour.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod catalog;
mod harness;
mod harness_works;
mod traffic_works;
