//! Whom a run needs before it can go on: what monitoring and `status --exit-code` tell.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::ledger::{LastTick, Run};
use crate::run::{GateKind, GateReading, Opener, Standing, WaitingFor};

/// A run with a schedule is ticked at least so often.
const TICK: TimeDelta = TimeDelta::hours(1);

/// Whom a run needs before it can go on, in the order of urgency: the most urgent of several is that of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Nobody: it is over, at work, waits for its time, or for its next `run` or `advance`.
    #[default]
    Nobody,
    /// Others: applications that still use the old column, a server, another plan.
    Others,
    /// A person who approves, agrees to what cannot be undone, resumes it, finishes its rollback, or finds out why no tick comes.
    Person,
    /// A person: the database differs from the ledger.
    Drifted,
    /// A person: rows are not equal.
    Unequal,
    /// A person: a step failed.
    Failed,
}

impl Need {
    /// Returns the word that JSON and metrics use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Others => "others",
            Self::Person => "person",
            Self::Drifted => "drifted",
            Self::Unequal => "unequal",
            Self::Failed => "failed",
        }
    }

    /// Returns whether it needs a person, and neither only time nor what others do by themselves.
    pub fn is_person(self) -> bool {
        self >= Self::Person
    }

    /// Returns the most urgent of several; nobody is needed where there are none.
    pub fn of_all(needs: impl IntoIterator<Item = Self>) -> Self {
        needs.into_iter().max().unwrap_or_default()
    }

    pub(super) fn of(
        standing: Standing,
        is_led: bool,
        waiting_for: Option<&WaitingFor>,
        tick_overdue_since: Option<DateTime<Utc>>,
    ) -> Self {
        let need = match standing {
            Standing::Done | Standing::RolledBack | Standing::Running => Self::Nobody,
            Standing::RollingBack if is_led => Self::Nobody,
            Standing::Paused | Standing::RollingBack => Self::Person,
            Standing::Drifted => Self::Drifted,
            Standing::Failed | Standing::Waiting => waiting_for.map_or(Self::Nobody, Self::of_waiting),
        };
        if tick_overdue_since.is_some() { need.max(Self::Person) } else { need }
    }

    /// Whom a run needs that nobody works on.
    fn of_waiting(waiting: &WaitingFor) -> Self {
        match waiting {
            WaitingFor::Gate { reading, .. } => match reading.opener() {
                Opener::Time => Self::Nobody,
                Opener::Person => Self::Person,
                Opener::Others => Self::Others,
            },
            WaitingFor::Resume { .. } | WaitingFor::Consent { .. } | WaitingFor::Rollback => Self::Person,
            WaitingFor::Quiet { .. } | WaitingFor::Lock { .. } => Self::Others,
            WaitingFor::Repair { .. } => Self::Unequal,
            WaitingFor::Person { .. } => Self::Failed,
            WaitingFor::Advance { .. } | WaitingFor::Grace { .. } | WaitingFor::Signal { .. } => Self::Nobody,
        }
    }
}

/// Returns since when the next tick of a run with a schedule is overdue: [`TICK`] after the last one. A tick that fills rows takes
/// hours, and while a process is at work no other need come; a paused run needs none.
pub(super) fn tick_overdue_since(
    run: &Run,
    standing: Standing,
    last: Option<&LastTick>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    run.plan.schedule.as_ref()?;
    // A scheduler asks for the run of the key.
    if run.plan.part_of.is_some() {
        return None;
    }
    if !matches!(standing, Standing::Waiting | Standing::Failed | Standing::Drifted) {
        return None;
    }
    let due = last.map_or(run.created_at, |last| last.at) + TICK;
    (due < now).then_some(due)
}

/// Returns whether only an approval, or a window that opens by itself, keeps the phase from beginning that is due.
pub(super) fn awaits_approval(gates: &[GateReading]) -> bool {
    let closed = |kind| gates.iter().any(|reading| reading.gate == kind && !reading.is_open());
    closed(GateKind::Approved) && !closed(GateKind::Due)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Phase;

    fn gate(gate: GateKind) -> WaitingFor {
        WaitingFor::Gate { phase: Phase::Switch, reading: GateReading::fail(gate, ""), zone: chrono_tz::UTC }
    }

    #[test]
    fn what_opens_by_itself_needs_nobody() {
        let of = |waiting: WaitingFor| Need::of(Standing::Waiting, false, Some(&waiting), None);
        assert_eq!(of(gate(GateKind::Due)), Need::Nobody);
        assert_eq!(of(gate(GateKind::Unused)), Need::Others);
        assert_eq!(of(gate(GateKind::Approved)), Need::Person);
        assert_eq!(of(WaitingFor::Advance { phase: Phase::Switch }), Need::Nobody);
        assert_eq!(of(WaitingFor::Repair { rows: 3 }), Need::Unequal);
        let overdue = Need::of(Standing::Waiting, false, Some(&gate(GateKind::Due)), Some(Utc::now()));
        assert_eq!(overdue, Need::Person);
    }

    #[test]
    fn a_process_at_work_needs_nobody() {
        assert_eq!(Need::of(Standing::Running, true, Some(&gate(GateKind::Approved)), None), Need::Nobody);
        assert_eq!(Need::of(Standing::RollingBack, true, Some(&WaitingFor::Rollback), None), Need::Nobody);
        assert_eq!(Need::of(Standing::RollingBack, false, Some(&WaitingFor::Rollback), None), Need::Person);
        let failed = WaitingFor::Person { error: None };
        assert_eq!(Need::of(Standing::Failed, false, Some(&failed), None), Need::Failed);
        assert_eq!(Need::of_all([Need::Person, Need::Others, Need::Unequal]), Need::Unequal);
        assert_eq!(Need::of_all([]), Need::Nobody);
    }
}
