//! The course of a backfill, and what was counted on a table: measurements that are kept for reports.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Latencies, RelationId};

/// How far the backfill of a relation was at a moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// The table.
    pub relation: RelationId,
    /// When.
    pub at: DateTime<Utc>,
    /// Rows filled until then, in all.
    pub rows: i64,
    /// The latencies since the sample before; none where nobody measures them.
    pub latencies: Latencies,
}

/// When objects of a table were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// When the run was registered.
    Before,
    /// When it had ended.
    After,
    /// Now.
    Now,
}

impl Moment {
    /// Returns the word that the ledger has.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Now => "now",
        }
    }

    /// Returns the moment of this word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Before, Self::After, Self::Now].into_iter().find(|moment| moment.as_str() == word)
    }
}

/// How many objects a table had at a moment. Those that crossfade needs for a while are among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectCount {
    /// The table, under the name that it had when the run was registered.
    pub table: String,
    /// When.
    pub moment: Moment,
    /// By the server's clock.
    pub at: DateTime<Utc>,
    /// Columns.
    pub columns: i64,
    /// Indexes.
    pub indexes: i64,
    /// Constraints, but not NOT NULL, which older servers do not count as one.
    pub constraints: i64,
    /// Triggers, but not those that the server makes for foreign keys.
    pub triggers: i64,
}
