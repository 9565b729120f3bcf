//! What a check found.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Counts by class. Every row is in exactly one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows compared.
    pub rows: i64,
    /// Both sides agree.
    pub equal: i64,
    /// The new side is empty and should not be.
    pub empty: i64,
    /// Both sides are filled and do not agree.
    pub different: i64,
    /// The old value does not convert.
    pub unconverted: i64,
    /// Rows whose value lives in the new column only, because there is no way back for it. They count as equal too.
    pub only_new: i64,
}

impl Counts {
    /// Returns the number of rows that are not equal.
    pub fn mismatches(&self) -> i64 {
        self.empty + self.different + self.unconverted
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.equal += other.equal;
        self.empty += other.empty;
        self.different += other.different;
        self.unconverted += other.unconverted;
        self.only_new += other.only_new;
    }
}

/// The key of a row that is not equal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MismatchKey {
    /// Column and value of each part of the key; values as text.
    pub key: serde_json::Value,
    /// `empty`, `different` or `unconverted`.
    pub class: String,
    /// The values that do not agree, by column, as text, shortened; `null` where a column is NULL.
    pub values: serde_json::Value,
    /// What is known of how the row was last written.
    pub written: Written,
}

/// What is known of how a row was last written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The transaction that did it: the row's `xmin`.
    pub transaction: String,
    /// By which way, where that is known.
    pub by: Option<WrittenBy>,
    /// When it was committed, where the server keeps that (`track_commit_timestamp`).
    pub at: Option<DateTime<Utc>>,
    /// The replication origin that it came from, where the server keeps that.
    pub origin: Option<String>,
}

/// By which way a row was last written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrittenBy {
    /// A transaction that is older than the sync trigger, whenever it wrote the row.
    OlderTransaction,
    /// A batch of the backfill.
    Backfill,
    /// A subscription, or whatever else replays the changes of another server.
    Replication,
    /// Somebody who wrote when the sync trigger was there, and not as it writes: it did not fire, or its conversion gave another
    /// value then.
    PastTrigger,
}

impl WrittenBy {
    /// Returns the word that the ledger and JSON use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OlderTransaction => "older_transaction",
            Self::Backfill => "backfill",
            Self::Replication => "replication",
            Self::PastTrigger => "past_trigger",
        }
    }

    /// Returns the way of this word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::OlderTransaction, Self::Backfill, Self::Replication, Self::PastTrigger]
            .into_iter()
            .find(|way| way.as_str() == word)
    }
}

/// What a check of all rows found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Counts by class.
    #[serde(flatten)]
    pub counts: Counts,
    /// How long it took.
    pub seconds: f64,
    /// The first keys of rows that are not equal.
    pub keys: Vec<MismatchKey>,
}

impl Outcome {
    /// Returns whether every row is equal.
    pub fn is_clean(&self) -> bool {
        self.counts.mismatches() == 0
    }
}
