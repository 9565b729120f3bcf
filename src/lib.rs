//! Changes a column of a live PostgreSQL table, in phases, under traffic, with proof.
//!
//! The modules in reading order: a plan file becomes a [`plan::Plan`].

pub mod backfill;
pub mod catalog;
pub mod compile;
#[cfg(feature = "cli")]
pub mod demo;
pub mod ident;
pub mod phase;
pub mod plan;
pub mod sql;
pub mod step;
pub mod verify;
