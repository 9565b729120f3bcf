//! Signals in, pace out. A pure function.

use std::time::Duration;

use super::Signal;
use crate::run::{Level, RELEASE};

/// How old the value of a signal may be.
pub(super) const STALE: Duration = Duration::from_secs(5);
/// The slowest pace short of a hold.
const SLOWEST: f64 = 0.1;

/// What is known of a signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// It is not available, for example for lack of a privilege; a person has been told.
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
    /// Counts the readings of this signal, so that no one is taken for two.
    pub number: u64,
    /// A limit of the server's own, which counts where it is lower than the one that is set.
    pub server_limit: Option<f64>,
}

/// All signals, as they were last seen.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Signals(pub Vec<Reading>);

impl Signals {
    /// Returns what was last seen of a signal.
    pub fn get(&self, signal: Signal) -> Option<&Reading> {
        self.0.iter().find(|reading| reading.signal == signal)
    }
}

/// The limit of each signal that counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits(pub Vec<(Signal, f64)>);

impl Limits {
    /// Returns the limit of a signal, if it counts.
    pub fn get(&self, signal: Signal) -> Option<f64> {
        self.0.iter().find(|(known, _)| *known == signal).map(|(_, limit)| *limit)
    }
}

/// How fast the backfill may go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as it can.
    Run,
    /// At this share of its speed.
    Slow {
        /// Because of this signal.
        signal: Signal,
        /// Its value; `None` when it is not known yet.
        value: Option<f64>,
        /// Its limit.
        limit: f64,
        /// Above 0, below 1.
        factor: f64,
    },
    /// Not at all.
    Hold {
        /// Because of this signal.
        signal: Signal,
        /// Its value; `None` when it is not known.
        value: Option<f64>,
        /// Its limit.
        limit: f64,
    },
}

impl Pace {
    /// Returns the share of its speed at which the backfill runs: 0 when it is held.
    pub fn speed(&self) -> f64 {
        match self {
            Self::Run => 1.0,
            Self::Slow { factor, .. } => *factor,
            Self::Hold { .. } => 0.0,
        }
    }

    /// Returns the signal that the backfill stands still for, if it does.
    pub fn held_by(&self) -> Option<Level> {
        match *self {
            Self::Hold { signal, value, limit } => Some(Level { signal, value, limit }),
            Self::Run | Self::Slow { .. } => None,
        }
    }

    /// Returns the signal that the backfill goes slowly for, if it does.
    pub fn slowed_by(&self) -> Option<Level> {
        match *self {
            Self::Slow { signal, value, limit, .. } => Some(Level { signal, value, limit }),
            Self::Run | Self::Hold { .. } => None,
        }
    }

    /// Returns the slower of two paces.
    #[must_use]
    pub fn slower(self, other: Self) -> Self {
        if other.speed() < self.speed() { other } else { self }
    }
}

/// Returns the pace that `signals` allow: hold above a limit until the signal has fallen well below it, slow down when
/// one comes near. A safety signal that has not been read for 5 s holds too; another one keeps its last pace.
/// Signals that the backfill is steered by are not looked at.
pub fn decide(signals: &Signals, limits: &Limits, previous: &Pace) -> Pace {
    let mut pace = Pace::Run;
    for &(signal, limit) in limits.0.iter().filter(|(signal, _)| !signal.is_steered()) {
        let reading = signals.get(signal);
        let limit = reading.and_then(|reading| reading.server_limit).map_or(limit, |server| server.min(limit));
        let age = reading.map_or(Duration::MAX, |reading| reading.age);
        // Who raises the limit does not want to wait for the signal to fall.
        let held = matches!(previous, Pace::Hold { signal: by, limit: then, .. } if *by == signal && *then >= limit);
        match reading.map(|reading| reading.value) {
            Some(Value::Off) => {}
            Some(Value::Known(value)) if age <= STALE => {
                if value > limit || (held && value > limit * RELEASE) {
                    return Pace::Hold { signal, value: Some(value), limit };
                }
                let room = (limit - value) / (limit * (1.0 - RELEASE));
                if room < 1.0 {
                    pace = pace.slower(Pace::Slow { signal, value: Some(value), limit, factor: room.max(SLOWEST) });
                }
            }
            _ if signal.is_safety() && age > STALE => return Pace::Hold { signal, value: None, limit },
            _ => match *previous {
                Pace::Hold { value, .. } if held => return Pace::Hold { signal, value, limit },
                slow @ Pace::Slow { signal: by, .. } if by == signal => pace = pace.slower(slow),
                _ => {}
            },
        }
    }
    pace
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(signal: Signal, value: Value, seconds_ago: u64) -> Reading {
        Reading { signal, value, age: Duration::from_secs(seconds_ago), number: 1, server_limit: None }
    }

    #[test]
    fn the_table_of_paces() {
        use Signal::{LockWait, ReplicaLag};
        use Value::{Known, Off, Unknown};
        let limits = Limits(vec![(ReplicaLag, 10.0), (LockWait, 0.1)]);
        let lag_hold = |value| Pace::Hold { signal: ReplicaLag, value: Some(value), limit: 10.0 };
        let lower = Pace::Hold { signal: ReplicaLag, value: Some(8.6), limit: 8.0 };
        let lag_stale = Pace::Hold { signal: ReplicaLag, value: None, limit: 10.0 };
        let lag_slow = |value, factor| Pace::Slow { signal: ReplicaLag, value: Some(value), limit: 10.0, factor };
        let lock_hold = |value| Pace::Hold { signal: LockWait, value: Some(value), limit: 0.1 };
        let lock_slow = Pace::Slow { signal: LockWait, value: Some(0.08), limit: 0.1, factor: 0.6 };
        let table = [
            // replica lag, lock wait, previous pace, pace
            ((Known(0.0), 0), (Known(0.0), 0), Pace::Run, Pace::Run),
            ((Known(6.9), 0), (Known(0.0), 0), Pace::Run, Pace::Run),
            ((Known(8.5), 0), (Known(0.0), 0), Pace::Run, lag_slow(8.5, 0.5)),
            ((Known(10.0), 0), (Known(0.0), 0), Pace::Run, lag_slow(10.0, SLOWEST)),
            ((Known(10.1), 0), (Known(0.0), 0), Pace::Run, lag_hold(10.1)),
            // Hysteresis: released below 70 % only.
            ((Known(8.5), 0), (Known(0.0), 0), lag_hold(12.0), lag_hold(8.5)),
            ((Known(6.9), 0), (Known(0.0), 0), lag_hold(12.0), Pace::Run),
            // But not when the limit has been raised since.
            ((Known(8.5), 0), (Known(0.0), 0), lower, lag_slow(8.5, 0.5)),
            ((Known(8.5), 0), (Known(0.0), 0), lock_hold(0.2), lag_slow(8.5, 0.5)),
            // The first signal over its limit is named; of two that slow down, the slower.
            ((Known(11.0), 0), (Known(0.2), 0), Pace::Run, lag_hold(11.0)),
            ((Known(0.0), 0), (Known(0.2), 0), Pace::Run, lock_hold(0.2)),
            ((Known(8.5), 0), (Known(0.08), 0), Pace::Run, lag_slow(8.5, 0.5)),
            // A stale safety signal holds, whatever it said, until it is seen to be low.
            ((Known(0.0), 6), (Known(0.0), 0), Pace::Run, lag_stale),
            ((Unknown, 9), (Known(0.0), 0), Pace::Run, lag_stale),
            ((Unknown, 3), (Known(0.0), 0), Pace::Run, Pace::Run),
            ((Known(8.5), 0), (Known(0.0), 0), lag_stale, lag_hold(8.5)),
            ((Known(1.0), 0), (Known(0.0), 0), lag_stale, Pace::Run),
            // A stale load signal keeps the pace that it led to.
            ((Known(0.0), 0), (Known(0.0), 6), Pace::Run, Pace::Run),
            ((Known(0.0), 0), (Known(0.0), 6), lock_slow, lock_slow),
            ((Known(0.0), 0), (Known(0.0), 6), lag_slow(8.5, 0.5), Pace::Run),
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
        assert_eq!(decide(&Signals::default(), &limits, &Pace::Run), lag_stale);
    }

    /// The same rules for each signal, by its class.
    #[test]
    fn every_signal_holds_or_is_steered() {
        for signal in Signal::ALL {
            let limits = Limits(vec![(signal, 100.0)]);
            let at = |value, age| decide(&Signals(vec![seen(signal, value, age)]), &limits, &Pace::Run);
            let hold = |value| Pace::Hold { signal, value, limit: 100.0 };
            if signal.is_steered() {
                assert_eq!(at(Value::Known(200.0), 0), Pace::Run);
                assert_eq!(at(Value::Unknown, 60), Pace::Run);
                continue;
            }
            assert_eq!(at(Value::Known(101.0), 0), hold(Some(101.0)));
            assert_eq!(at(Value::Known(69.0), 0), Pace::Run);
            assert!(at(Value::Known(90.0), 0).speed() < 0.5);
            assert_eq!(at(Value::Off, 60), Pace::Run);
            let stale = if signal.is_safety() { hold(None) } else { Pace::Run };
            assert_eq!((at(Value::Known(0.0), 6), at(Value::Unknown, 6)), (stale, stale));
            let before = hold(Some(120.0));
            let next = |value| decide(&Signals(vec![seen(signal, Value::Known(value), 0)]), &limits, &before);
            assert_eq!((next(71.0), next(69.0)), (hold(Some(71.0)), Pace::Run));
        }
    }

    /// An autovacuum to prevent wraparound holds by being there.
    #[test]
    fn a_limit_of_zero_is_crossed_by_anything() {
        let limits = Limits(vec![(Signal::Wraparound, 0.0)]);
        let at = |value| decide(&Signals(vec![seen(Signal::Wraparound, Value::Known(value), 0)]), &limits, &Pace::Run);
        assert_eq!((at(0.0), at(0.001).speed()), (Pace::Run, 0.0));
    }

    #[test]
    fn the_lower_of_two_limits_counts() {
        let limits = Limits(vec![(Signal::SlotRetainedWal, 100.0)]);
        let at = |value, server| {
            let reading = seen(Signal::SlotRetainedWal, Value::Known(value), 0);
            decide(&Signals(vec![Reading { server_limit: Some(server), ..reading }]), &limits, &Pace::Run)
        };
        let hold = |value, limit| Pace::Hold { signal: Signal::SlotRetainedWal, value: Some(value), limit };
        assert_eq!((at(60.0, 50.0), at(60.0, 500.0)), (hold(60.0, 50.0), Pace::Run));
        assert_eq!(at(120.0, 500.0), hold(120.0, 100.0));
    }

    fn same(a: Pace, b: Pace) -> bool {
        match (a, b) {
            (Pace::Slow { factor: a, signal: s, .. }, Pace::Slow { factor: b, signal: t, .. }) => {
                s == t && (a - b).abs() < 1e-9
            }
            _ => a == b,
        }
    }
}
