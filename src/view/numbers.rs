//! What is counted and measured of a run. Counts come from the ledger, so they survive every process.

use chrono::{DateTime, Utc};

use crate::ledger::{Leader, LoggedEntry, Run};
use crate::run::{Cause, Entry, State};

/// What is counted and measured of a run besides what people are shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Numbers {
    /// The plan's name.
    pub plan: String,
    /// Its number among the runs of the plan.
    pub number: i32,
    /// The table that it works on.
    pub table: String,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When its log's latest entry was written, if it has ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Entries of its log.
    pub log_entries: i64,
    /// Steps that ended with an error.
    pub step_failures: i64,
    /// Waits for a lock that were long enough to be noted.
    pub lock_waits: i64,
    /// Checks of all rows.
    pub checks: i64,
    /// Rows filled, in all passes.
    pub rows_filled: i64,
    /// Those of them that touched no index; 0 where the server does not count them.
    pub hot_rows_filled: i64,
    /// What its backfill stands still for; `None` when it does not, or is not at work.
    pub held_by: Option<Cause>,
    /// Who leads it; `None` when nobody does.
    pub leader: Option<Leader>,
    /// How many processes work on it.
    pub at_work: i64,
    /// Whether its phase is due and waits for an approval.
    pub awaits_approval: bool,
}

impl Numbers {
    /// Returns what the log of a run tells.
    pub(super) fn of(run: &Run, state: &State, log: &[LoggedEntry]) -> Self {
        let count = |is: fn(&Entry) -> bool| {
            i64::try_from(log.iter().filter(|line| is(&line.entry)).count()).unwrap_or(i64::MAX)
        };
        Self {
            plan: run.name().to_string(),
            number: run.number,
            table: run.program.relations.first().map(|relation| relation.table.to_string()).unwrap_or_default(),
            created_at: run.created_at,
            ended_at: log.last().map(|line| line.at).filter(|_| state.is_over()),
            log_entries: count(|_| true),
            step_failures: count(|entry| matches!(entry, Entry::StepFailed { .. })),
            lock_waits: count(|entry| matches!(entry, Entry::LockWait { .. })),
            checks: count(|entry| matches!(entry, Entry::Verified { .. })),
            ..Self::default()
        }
    }

    /// Returns what the run is called for good, `NAME@NUMBER`: its name alone would be that of a later run some day.
    pub fn run(&self) -> String {
        format!("{}@{}", self.plan, self.number)
    }
}
