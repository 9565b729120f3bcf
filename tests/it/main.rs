//! Tests on real servers, one module per behaviour.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod awkward;
mod bad_weather;
mod catalog;
mod cli;
mod cli_runs;
mod crashes;
mod drift;
mod engines;
mod estimates;
mod fixtures;
mod harness;
mod harness_works;
mod join;
mod kinds;
mod lease;
mod ledger;
mod locks;
mod ready_plans;
mod snapshots_of_plans;
mod steps;
mod sync_trigger;
mod throttle;
mod traffic_works;
mod values;
mod watchdog;
