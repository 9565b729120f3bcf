//! Signals in, pace out. A pure function.

use std::time::Duration;

/// The share of its limit to which a signal must fall before a hold is over, and above which the backfill slows down.
const RELEASE: f64 = 0.7;
/// How old the value of a signal may be.
const STALE: Duration = Duration::from_secs(5);
/// The slowest pace short of a hold.
const SLOWEST: f64 = 0.1;

/// Something about the database that the backfill can make worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Seconds by which the slowest streaming replica is behind.
    ReplicaLag,
    /// Seconds that some session has waited on a lock of ours.
    LockWait,
}

impl Signal {
    /// Returns the name as settings and reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReplicaLag => "replica_lag",
            Self::LockWait => "lock_wait",
        }
    }

    /// Returns whether not knowing its value is a reason to hold. For other signals the last pace is kept.
    pub fn is_safety(self) -> bool {
        match self {
            Self::ReplicaLag => true,
            Self::LockWait => false,
        }
    }

    /// Returns a value with its unit.
    pub fn format(self, value: f64) -> String {
        match self {
            Self::ReplicaLag | Self::LockWait if value < 1.0 => format!("{:.0} ms", value * 1000.0),
            Self::ReplicaLag | Self::LockWait => format!("{value:.1} s"),
        }
    }
}

/// What is known of a signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// It cannot be had here, for want of a privilege for example; a person has been told.
    Off,
    /// Its value, in the unit of the signal.
    Known(f64),
    /// Nothing yet.
    Unknown,
}

/// A signal as it was last seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Which.
    pub signal: Signal,
    /// What.
    pub value: Value,
    /// How long ago.
    pub age: Duration,
}

/// All signals, as they were last seen.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Signals(pub Vec<Reading>);

/// The limit of each signal that counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits(pub Vec<(Signal, f64)>);

/// How fast the backfill may go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as it can.
    Run,
    /// At this share of its speed.
    Slow {
        /// Above 0, below 1.
        factor: f64,
    },
    /// Not at all.
    Hold {
        /// Because of this signal.
        signal: Signal,
        /// Its value; for one that is not known, the seconds for which it has not been.
        value: f64,
        /// Its limit.
        limit: f64,
    },
}

/// Returns the pace that `signals` allow: hold above a limit until the signal has fallen well below it, slow down when
/// one comes near. A safety signal that has not been seen for 5 s holds too; another one keeps the pace it led to.
pub fn decide(signals: &Signals, limits: &Limits, previous: &Pace) -> Pace {
    let mut slowest = 1.0_f64;
    for &(signal, limit) in &limits.0 {
        let reading = signals.0.iter().find(|reading| reading.signal == signal);
        let age = reading.map_or(Duration::MAX, |reading| reading.age);
        let held = matches!(previous, Pace::Hold { signal: by, .. } if *by == signal);
        match reading.map(|reading| reading.value) {
            Some(Value::Off) => {}
            Some(Value::Known(value)) if age <= STALE => {
                if value > limit || (held && value > limit * RELEASE) {
                    return Pace::Hold { signal, value, limit };
                }
                let room = (limit - value) / (limit * (1.0 - RELEASE));
                if room < 1.0 {
                    slowest = slowest.min(room.max(SLOWEST));
                }
            }
            _ if signal.is_safety() && age > STALE => {
                return Pace::Hold { signal, value: age.min(Duration::from_hours(1)).as_secs_f64(), limit };
            }
            _ => match *previous {
                Pace::Hold { value, .. } if held => return Pace::Hold { signal, value, limit },
                Pace::Slow { factor } => slowest = slowest.min(factor),
                _ => {}
            },
        }
    }
    if slowest < 1.0 { Pace::Slow { factor: slowest } } else { Pace::Run }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(signal: Signal, value: Value, seconds_ago: u64) -> Reading {
        Reading { signal, value, age: Duration::from_secs(seconds_ago) }
    }

    #[test]
    fn the_table_of_paces() {
        use Signal::{LockWait, ReplicaLag};
        use Value::{Known, Off, Unknown};
        let limits = Limits(vec![(ReplicaLag, 10.0), (LockWait, 0.1)]);
        let lag_hold = |value| Pace::Hold { signal: ReplicaLag, value, limit: 10.0 };
        let lock_hold = |value| Pace::Hold { signal: LockWait, value, limit: 0.1 };
        let half = Pace::Slow { factor: 0.5 };
        let table = [
            // replica lag, lock wait, previous pace, pace
            ((Known(0.0), 0), (Known(0.0), 0), Pace::Run, Pace::Run),
            ((Known(6.9), 0), (Known(0.0), 0), Pace::Run, Pace::Run),
            ((Known(8.5), 0), (Known(0.0), 0), Pace::Run, half),
            ((Known(10.0), 0), (Known(0.0), 0), Pace::Run, Pace::Slow { factor: SLOWEST }),
            ((Known(10.1), 0), (Known(0.0), 0), Pace::Run, lag_hold(10.1)),
            // Hysteresis: released below 70 % only.
            ((Known(8.5), 0), (Known(0.0), 0), lag_hold(12.0), lag_hold(8.5)),
            ((Known(6.9), 0), (Known(0.0), 0), lag_hold(12.0), Pace::Run),
            ((Known(8.5), 0), (Known(0.0), 0), lock_hold(0.2), half),
            // The first signal over its limit is named.
            ((Known(11.0), 0), (Known(0.2), 0), Pace::Run, lag_hold(11.0)),
            ((Known(0.0), 0), (Known(0.2), 0), Pace::Run, lock_hold(0.2)),
            // A stale safety signal holds, whatever it said.
            ((Known(0.0), 6), (Known(0.0), 0), Pace::Run, lag_hold(6.0)),
            ((Unknown, 9), (Known(0.0), 0), Pace::Run, lag_hold(9.0)),
            // A stale load signal keeps the pace.
            ((Known(0.0), 0), (Known(0.0), 6), Pace::Run, Pace::Run),
            ((Known(0.0), 0), (Known(0.0), 6), half, half),
            ((Known(0.0), 0), (Known(0.0), 6), lock_hold(0.3), lock_hold(0.3)),
            // One that cannot be had is off.
            ((Off, 60), (Known(0.0), 0), Pace::Run, Pace::Run),
            ((Off, 60), (Known(0.0), 0), lag_hold(12.0), Pace::Run),
        ];
        for (lag, wait, previous, expected) in table {
            let signals = Signals(vec![seen(ReplicaLag, lag.0, lag.1), seen(LockWait, wait.0, wait.1)]);
            let pace = decide(&signals, &limits, &previous);
            assert!(same(pace, expected), "{signals:?} after {previous:?}: {pace:?}");
        }
        assert_eq!(decide(&Signals::default(), &Limits::default(), &Pace::Run), Pace::Run);
        assert!(matches!(decide(&Signals::default(), &limits, &Pace::Run), Pace::Hold { signal: ReplicaLag, .. }));
    }

    fn same(a: Pace, b: Pace) -> bool {
        match (a, b) {
            (Pace::Slow { factor: a }, Pace::Slow { factor: b }) => (a - b).abs() < 1e-9,
            _ => a == b,
        }
    }
}
