//! Changes a column of a live PostgreSQL table, in phases, under traffic, with proof.
//!
//! The modules in reading order: a plan file becomes a [`plan::Plan`].

pub mod catalog;
pub mod change;
#[cfg(feature = "cli")]
pub mod cli;
pub mod engine;
pub mod estimate;
pub mod event;
mod failpoint;
pub mod ident;
mod latest;
pub mod ledger;
pub mod names;
pub mod pg;
mod phase;
pub mod plan;
pub mod pulse;
#[cfg(feature = "cli")]
mod report;
pub mod run;
pub mod runner;
pub mod sql;
#[cfg(feature = "cli")]
pub mod testkit;
pub mod throttle;
pub mod view;
