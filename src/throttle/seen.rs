//! The last readings of the signals that somebody needs.

use std::time::Instant;

use super::Signal;
use super::decide::{Limits, Reading, Signals, Value};

/// The signals that count, with what was last seen of each and when. The control loop says which ones those are, those
/// who look say what they saw.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Vec<Entry>);

#[derive(Debug, Clone)]
struct Entry {
    reading: Reading,
    limit: f64,
    /// When it was read, or when it began to count.
    at: Instant,
}

impl Seen {
    /// Wants the signals of `limits`, from now on, and no others. Returns whether that is a change.
    pub(crate) fn want(&mut self, limits: &Limits, now: Instant) -> bool {
        let same = self.0.len() == limits.0.len()
            && self.0.iter().all(|entry| limits.get(entry.reading.signal) == Some(entry.limit));
        if same {
            return false;
        }
        let old = std::mem::take(&mut self.0);
        for &(signal, limit) in &limits.0 {
            let known = old.iter().find(|entry| entry.reading.signal == signal);
            let new = || {
                let reading = Reading {
                    signal,
                    value: Value::Unknown,
                    age: std::time::Duration::ZERO,
                    number: 0,
                    server_limit: None,
                };
                Entry { reading, limit, at: now }
            };
            self.0.push(known.map_or_else(new, |entry| Entry { limit, ..entry.clone() }));
        }
        true
    }

    /// Returns the limit of a signal, if it counts.
    pub(crate) fn limit(&self, signal: Signal) -> Option<f64> {
        self.0.iter().find(|entry| entry.reading.signal == signal).map(|entry| entry.limit)
    }

    /// Returns whether a signal counts.
    pub(crate) fn wants(&self, signal: Signal) -> bool {
        self.limit(signal).is_some()
    }

    /// Returns the signals as they are at `now`.
    pub(crate) fn at(&self, now: Instant) -> Signals {
        let reading = |entry: &Entry| Reading { age: now.saturating_duration_since(entry.at), ..entry.reading };
        Signals(self.0.iter().map(reading).collect())
    }

    /// Takes note of what was seen just now; nothing happens where the signal does not count any more.
    pub(super) fn set(&mut self, signal: Signal, value: Value, server_limit: Option<f64>) {
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.reading.signal == signal) {
            entry.at = Instant::now();
            entry.reading = Reading { value, number: entry.reading.number + 1, server_limit, ..entry.reading };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_signal_that_begins_to_count_is_not_stale() {
        let (start, mut seen) = (Instant::now(), Seen::default());
        let lag = Limits(vec![(Signal::ReplicaLag, 10.0)]);
        assert!(seen.want(&lag, start));
        assert!(!seen.want(&lag, start + Duration::from_mins(1)));
        seen.set(Signal::ReplicaLag, Value::Known(3.0), None);
        // Not wanted: forgotten.
        seen.set(Signal::LockWait, Value::Known(3.0), None);
        let later = start + Duration::from_mins(2);
        let both = Limits(vec![(Signal::LockWait, 0.1), (Signal::ReplicaLag, 5.0)]);
        assert!(seen.want(&both, later));
        let signals = seen.at(later);
        let lock = signals.get(Signal::LockWait).unwrap();
        assert_eq!((lock.value, lock.age), (Value::Unknown, Duration::ZERO));
        let lag = signals.get(Signal::ReplicaLag).unwrap();
        assert_eq!((lag.value, lag.number), (Value::Known(3.0), 1));
        assert!(lag.age > Duration::from_mins(1));
        assert_eq!(seen.limit(Signal::ReplicaLag), Some(5.0));
    }
}
