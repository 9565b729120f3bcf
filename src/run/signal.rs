//! The signals: their names, their units, and what each of them is for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::Bytes;

/// The share of its limit to which a signal must fall before a hold is over, and above which the backfill slows down.
pub const RELEASE: f64 = 0.7;

/// Something about the database that the backfill can make worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

    /// The table of signals: all that is known of each but how its value is read.
    fn traits(self) -> Traits {
        let of = |name, words, unit| Traits { name, words, unit, safety: true, steered: false };
        let at_ease = |traits| Traits { safety: false, ..traits };
        let steered = |traits| Traits { safety: false, steered: true, ..traits };
        match self {
            Self::Wraparound => of("wraparound", "an autovacuum to prevent wraparound", Unit::Seconds),
            Self::ReplicaLag => of("replica_lag", "replica lag", Unit::Seconds),
            Self::SlotRetainedWal => of("slot_retained_wal", "WAL kept by a slot", Unit::Bytes),
            Self::WalArchiveBacklog => of("wal_archive_backlog", "WAL not archived", Unit::Segments),
            Self::Probe => of("probe", "the probe query", Unit::Number),
            Self::LockWait => at_ease(of("lock_wait", "lock wait", Unit::Seconds)),
            Self::ActiveSessions => at_ease(of("active_sessions", "active sessions", Unit::Sessions)),
            Self::WalRate => steered(of("wal_rate", "WAL rate", Unit::BytesPerSecond)),
            Self::GoalLatency => steered(of("goal_latency", "goal latency", Unit::Seconds)),
        }
    }

    /// Returns the name as reports write it. It is also that of the setting which limits the signal
    /// ([`crate::plan::settings`]); wraparound has none.
    pub fn name(self) -> &'static str {
        self.traits().name
    }

    /// Returns the name as a sentence has it.
    pub fn words(self) -> &'static str {
        self.traits().words
    }

    /// Returns the signal of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }

    /// Returns whether not knowing its value is a reason to hold. For other signals the last pace is kept.
    pub fn is_safety(self) -> bool {
        self.traits().safety
    }

    /// Returns whether the backfill is steered so that the signal stays below its limit, and never held for it.
    pub fn is_steered(self) -> bool {
        self.traits().steered
    }

    /// Returns a value with its unit.
    pub fn format(self, value: f64) -> String {
        match self.traits().unit {
            Unit::Seconds => seconds(value),
            Unit::Bytes => bytes(value),
            Unit::BytesPerSecond => format!("{}/s", bytes(value)),
            Unit::Segments => format!("{value:.0} segments"),
            Unit::Sessions => format!("{} sessions", tenths(value)),
            Unit::Number => tenths(value),
        }
    }
}

/// What is known of a signal.
struct Traits {
    name: &'static str,
    words: &'static str,
    unit: Unit,
    safety: bool,
    steered: bool,
}

/// What a signal is measured in.
#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Bytes,
    BytesPerSecond,
    Segments,
    Sessions,
    Number,
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
    use crate::plan::settings::Setting;

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
        for signal in Signal::ALL {
            assert_eq!(serde_json::to_value(signal).unwrap(), signal.name());
        }
        assert_eq!(Signal::ALL.map(|signal| Signal::named(signal.name())), Signal::ALL.map(Some));
        // Each has a setting of its name.
        let limited = Signal::ALL.into_iter().filter(|signal| *signal != Signal::Wraparound);
        assert!(limited.into_iter().all(|signal| Setting::named(signal.name()).is_some()));
    }
}
