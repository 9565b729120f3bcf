//! Whether the logs of a name's runs are what was recorded, as far as their hashes can tell.

use serde::Serialize;

use crate::ledger::Record;
use crate::run::{Broken, Head};
use crate::runner::{Error, Tool};

/// The result of checking the chains of all runs of a name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedLog {
    /// The plan's name.
    pub name: String,
    /// Each run, oldest first.
    pub runs: Vec<CheckedRun>,
    /// The head that somebody had noted, and where it is.
    pub noted: Option<NotedHead>,
    /// The logs of its parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Self>,
}

/// The result of checking the chain of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedRun {
    /// Its number among the runs of the plan.
    pub number: i32,
    /// How many entries its log has.
    pub entries: usize,
    /// The hash of the latest.
    pub head: Head,
    /// Where the chain does not hold; `None` where it does.
    pub broken: Option<Broken>,
}

/// A head that somebody had noted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NotedHead {
    /// Its first digits, or all of them.
    pub digits: String,
    /// The number of the run whose head it was; `None` if no entry of any has this hash.
    pub run: Option<i32>,
    /// The number of the entry.
    pub seq: Option<i64>,
}

impl CheckedLog {
    /// Whether every chain holds, and the noted head is in one of them.
    pub fn is_intact(&self) -> bool {
        self.runs.iter().all(|run| run.broken.is_none())
            && self.noted.as_ref().is_none_or(|noted| noted.seq.is_some())
            && self.parts.iter().all(Self::is_intact)
    }
}

impl Tool {
    /// Checks the chain of hashes of each run of this name and of their parts, and whether `head` (12 to 64 hex digits) is in one of its own. The hashes
    /// are computed here, not by the database. Changes nothing.
    ///
    /// # Errors
    /// The ledger's. A chain that does not hold is a result, not an error.
    pub async fn check_log(&self, name: &str, head: Option<&str>) -> Result<CheckedLog, Error> {
        let records = self.attempts(name).await?;
        let run_of = |digits: &str| {
            records.iter().find_map(|record| record.entry_of(digits).map(|entry| (record.number, entry.seq)))
        };
        let noted = head.map(|digits| {
            let found = run_of(digits);
            NotedHead { digits: digits.to_owned(), run: found.map(|(run, _)| run), seq: found.map(|(_, seq)| seq) }
        });
        let mut parts: Vec<CheckedLog> = Vec::new();
        for record in &self.attempts_of_parts(&records).await? {
            match parts.iter_mut().find(|part| part.name == record.name) {
                Some(part) => part.runs.push(CheckedRun::of(record)),
                None => parts.push(CheckedLog {
                    name: record.name.clone(),
                    runs: vec![CheckedRun::of(record)],
                    noted: None,
                    parts: vec![],
                }),
            }
        }
        Ok(CheckedLog { name: name.to_owned(), runs: records.iter().map(CheckedRun::of).collect(), noted, parts })
    }
}

impl CheckedRun {
    fn of(record: &Record) -> Self {
        Self {
            number: record.number,
            entries: record.entries.len(),
            head: record.head.clone(),
            broken: record.broken(),
        }
    }
}
