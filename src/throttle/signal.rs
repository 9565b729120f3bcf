//! The signals: their names, their units, and what each of them is for.

use std::time::Duration;

use crate::plan::Bytes;

/// Something about the database that the backfill can make worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Seconds by which the slowest streaming replica is behind.
    ReplicaLag,
    /// Bytes of WAL that the replication slot furthest behind keeps on the server.
    SlotRetainedWal,
    /// WAL segments that wait to be archived.
    WalArchiveBacklog,
    /// Seconds for which an autovacuum to prevent wraparound has been at work on the table.
    Wraparound,
    /// What the user's query says.
    Probe,
    /// Seconds that some session has waited for one of crossfade's locks.
    LockWait,
    /// Active sessions other than crossfade's, on average over the last second.
    ActiveSessions,
    /// Bytes of WAL that the server wrote in the last second.
    WalRate,
    /// Seconds that a small transaction takes, as nine of ten do.
    GoalLatency,
}

impl Signal {
    /// Every signal. Where several are over their limits, the first is named.
    pub const ALL: [Self; 9] = [
        Self::Wraparound,
        Self::ReplicaLag,
        Self::SlotRetainedWal,
        Self::WalArchiveBacklog,
        Self::Probe,
        Self::LockWait,
        Self::ActiveSessions,
        Self::WalRate,
        Self::GoalLatency,
    ];

    /// Returns the name as settings and reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReplicaLag => "replica_lag",
            Self::SlotRetainedWal => "slot_retained_wal",
            Self::WalArchiveBacklog => "wal_archive_backlog",
            Self::Wraparound => "wraparound",
            Self::Probe => "probe",
            Self::LockWait => "lock_wait",
            Self::ActiveSessions => "active_sessions",
            Self::WalRate => "wal_rate",
            Self::GoalLatency => "goal_latency",
        }
    }

    /// Returns the name as a sentence has it.
    pub fn words(self) -> &'static str {
        match self {
            Self::ReplicaLag => "replica lag",
            Self::SlotRetainedWal => "WAL kept by a slot",
            Self::WalArchiveBacklog => "WAL not archived",
            Self::Wraparound => "an autovacuum to prevent wraparound",
            Self::Probe => "the probe query",
            Self::LockWait => "lock wait",
            Self::ActiveSessions => "active sessions",
            Self::WalRate => "WAL rate",
            Self::GoalLatency => "goal latency",
        }
    }

    /// Returns the signal of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }

    /// Returns whether not knowing its value is a reason to hold. For other signals the last pace is kept.
    pub fn is_safety(self) -> bool {
        match self {
            Self::ReplicaLag | Self::SlotRetainedWal | Self::WalArchiveBacklog | Self::Wraparound | Self::Probe => true,
            Self::LockWait | Self::ActiveSessions | Self::WalRate | Self::GoalLatency => false,
        }
    }

    /// Returns whether the backfill is steered so that the signal stays below its limit, and never held for it.
    pub fn is_steered(self) -> bool {
        matches!(self, Self::WalRate | Self::GoalLatency)
    }

    /// Returns a value with its unit.
    pub fn format(self, value: f64) -> String {
        match self {
            Self::ReplicaLag | Self::LockWait | Self::GoalLatency | Self::Wraparound => seconds(value),
            Self::SlotRetainedWal => bytes(value),
            Self::WalRate => format!("{}/s", bytes(value)),
            Self::WalArchiveBacklog => format!("{value:.0} segments"),
            Self::ActiveSessions => format!("{} sessions", tenths(value)),
            Self::Probe => tenths(value),
        }
    }
}

fn seconds(value: f64) -> String {
    if value < 0.01 && value > 0.0 {
        format!("{:.1} ms", value * 1000.0)
    } else if value < 1.0 {
        format!("{:.0} ms", value * 1000.0)
    } else {
        format!("{value:.1} s")
    }
}

fn bytes(value: f64) -> String {
    // More than there can be, and never below nothing.
    let value = Duration::try_from_secs_f64(value.max(0.0)).map_or(u64::MAX, |d| d.as_secs());
    Bytes(value).to_string()
}

fn tenths(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_units() {
        let said = Signal::ALL.map(|signal| format!("{} {}", signal.name(), signal.format(2_000_000.0)));
        insta::assert_snapshot!(said.join("\n"), @"
        wraparound 2000000.0 s
        replica_lag 2000000.0 s
        slot_retained_wal 1.9 MB
        wal_archive_backlog 2000000 segments
        probe 2000000
        lock_wait 2000000.0 s
        active_sessions 2000000 sessions
        wal_rate 1.9 MB/s
        goal_latency 2000000.0 s
        ");
        assert_eq!(Signal::ReplicaLag.format(0.25), "250 ms");
        assert_eq!(Signal::GoalLatency.format(0.0042), "4.2 ms");
        assert_eq!(Signal::Wraparound.format(0.0), "0 ms");
        assert_eq!(Signal::ActiveSessions.format(3.25), "3.2 sessions");
        assert_eq!(Signal::ALL.map(|signal| Signal::named(signal.name())), Signal::ALL.map(Some));
    }
}
