//! The names of everything that a run creates, in one place.

use crate::ident::RunTag;
use crate::sql::quote_ident;

/// The schema of the ledger, where the helper functions live too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerSchema(String);

impl LedgerSchema {
    /// Returns the schema of this name.
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Returns the schema's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `name` qualified with the schema and quoted.
    pub fn qualify(&self, name: &str) -> String {
        format!("{}.{}", quote_ident(&self.0), quote_ident(name))
    }
}

impl Default for LedgerSchema {
    fn default() -> Self {
        Self::new("crossfade")
    }
}

/// Names of the counters that the sync trigger advances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Writes through an old column.
    pub old: String,
    /// Writes through a new column.
    pub new: String,
    /// Statements that set both sides to values that do not agree.
    pub conflict: String,
}

impl Counters {
    /// Returns the names (in the ledger schema) of the run with this tag.
    pub fn of(tag: &RunTag) -> Self {
        Self { old: format!("old_{tag}"), new: format!("new_{tag}"), conflict: format!("conflict_{tag}") }
    }
}
