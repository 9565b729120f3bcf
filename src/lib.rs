//! Changes a column of a live PostgreSQL table, in phases, under traffic, with proof.
//!
//! The modules in reading order: a plan file becomes a [`plan::Plan`].

pub mod backfill;
pub mod catalog;
#[cfg(feature = "cli")]
pub mod cli;
pub mod compile;
#[cfg(feature = "cli")]
pub mod demo;
pub mod estimate;
pub mod event;
mod failpoint;
pub mod ident;
mod latest;
pub mod ledger;
pub mod pg;
pub mod phase;
pub mod plan;
pub mod pulse;
#[cfg(feature = "cli")]
mod report;
pub mod runner;
pub mod sql;
pub mod step;
pub mod throttle;
pub mod verify;
