//! What was aimed at, and whether it was met.

use std::fmt;

use super::number::short;
use super::table::Table;

/// What a figure is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// The targets of a bench.
#[derive(Debug)]
pub(crate) struct Targets(Table);

impl Targets {
    /// Returns none yet.
    pub(crate) fn new() -> Self {
        Self(Table::new(["target", "bound", "measured", "result"]))
    }

    /// Adds one; a figure that is not a number was not measured.
    pub(crate) fn add(&mut self, what: &str, bound: Bound, unit: &str, measured: f64) {
        let number = |value: f64| format!("{}{unit}", short(value));
        let (bound, missed_by) = match bound {
            Bound::AtMost(most) => (format!("<= {}", number(most)), measured - most),
            Bound::AtLeast(least) => (format!(">= {}", number(least)), least - measured),
        };
        let (measured, result) = match missed_by {
            by if by.is_nan() => ("-".to_owned(), "not measured in this run".to_owned()),
            by if by <= 0.0 => (number(measured), "met".to_owned()),
            by => (number(measured), format!("missed by {}", number(by))),
        };
        self.0.row([what.to_owned(), bound, measured, result]);
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
