//! What a check found.

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
    /// The old value, shortened, where it does not convert.
    pub value: Option<String>,
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
