//! Tests on real servers, one module per behaviour.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod awkward;
mod bad_weather;
mod catalog;
mod cli;
mod cli_runs;
mod consent;
mod crashes;
mod engines;
mod estimates;
mod fixtures;
mod harness;
mod harness_works;
mod hostile_owners;
mod join;
mod kinds;
mod lease;
mod ledger;
mod locks;
mod owners_code;
mod plan_says;
mod plan_warns;
mod ready_plans;
mod snapshots_of_plans;
mod sql_script;
mod steps;
mod sync_neighbours;
mod sync_trigger;
mod sync_values;
mod throttle;
mod told;
mod traffic_works;
mod values;
mod watchdog;
