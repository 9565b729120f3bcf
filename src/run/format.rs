//! The number of the formats in which a run is stored.

use std::ops::RangeInclusive;

/// The number of the formats in which this version stores plan, facts, program, prediction and entries of the log. It grows
/// when one of those types changes so that an earlier version cannot read it, or reads something else.
///
/// Plan, facts, program and prediction are written once and have one number together. A run lasts for weeks, and the log is
/// continued by whichever version is at work, so each entry has the number of the version that wrote it.
pub const FORMAT: i32 = 1;

/// The formats that this version reads.
pub const READABLE: RangeInclusive<i32> = 1..=FORMAT;
