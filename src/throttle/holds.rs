//! Why the backfill stands still or goes slowly, and for how long it has done so, added up by reason.

use std::time::Instant;

use crate::run::{Cause, HoldDelta, PaceReport};

use super::decide::Pace;
use super::{Signal, Signals, Value};

impl PaceReport {
    /// Returns what the signals and the pace that they led to look like.
    pub(crate) fn new(pace: &Pace, paused: bool, signals: &Signals, goal: Option<f64>) -> Self {
        let latency = signals.get(Signal::GoalLatency).map(|reading| reading.value);
        Self {
            speed: if paused { 0.0 } else { pace.speed() },
            slowed_by: pace.slowed_by(),
            latency_seconds: latency.and_then(|value| if let Value::Known(value) = value { Some(value) } else { None }),
            goal_latency_seconds: goal,
        }
    }
}

/// Adds up the time, until somebody takes the sums away.
#[derive(Debug, Clone)]
pub(crate) struct Holds {
    /// What has been the reason since then.
    now: (Option<Reason>, Instant),
    deltas: Vec<HoldDelta>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reason {
    signal: Cause,
    /// Whether the backfill stands still, and does not just go slowly.
    still: bool,
}

impl Holds {
    pub(crate) fn new(now: Instant) -> Self {
        Self { now: (None, now), deltas: vec![] }
    }

    /// Takes note of the pace from `now` on. Returns whether a hold has ended.
    pub(crate) fn at(&mut self, now: Instant, paused: bool, pace: &Pace) -> bool {
        let (before, since) = self.now;
        if let Some(reason) = before {
            let seconds = now.saturating_duration_since(since).as_secs_f64();
            let delta = self.of(reason.signal);
            *(if reason.still { &mut delta.seconds } else { &mut delta.slowed_seconds }) += seconds;
        }
        let (reason, worst) = match *pace {
            _ if paused => (Some(Reason { signal: Cause::Paused, still: true }), None),
            Pace::Run => (None, None),
            Pace::Slow { signal, value, limit, .. } => {
                (Some(Reason { signal: Cause::Signal(signal), still: false }), value.map(|value| (value, limit)))
            }
            Pace::Hold { signal, value, limit } => {
                (Some(Reason { signal: Cause::Signal(signal), still: true }), value.map(|value| (value, limit)))
            }
        };
        if let Some(reason) = reason {
            let delta = self.of(reason.signal);
            if reason.still && before != Some(reason) {
                delta.times += 1;
            }
            if let Some((value, limit)) = worst.filter(|(value, _)| delta.worst.is_none_or(|worst| *value > worst)) {
                (delta.worst, delta.limit) = (Some(value), Some(limit));
            }
        }
        self.now = (reason, now);
        before.is_some_and(|reason| reason.still) && before != reason
    }

    fn of(&mut self, signal: Cause) -> &mut HoldDelta {
        let at = self.deltas.iter().position(|delta| delta.signal == signal).unwrap_or_else(|| {
            self.deltas.push(HoldDelta {
                signal,
                times: 0,
                seconds: 0.0,
                slowed_seconds: 0.0,
                worst: None,
                limit: None,
            });
            self.deltas.len() - 1
        });
        &mut self.deltas[at]
    }

    /// Returns the sums since they were last forgotten.
    pub(crate) fn sums(&self) -> &[HoldDelta] {
        &self.deltas
    }

    /// Begins to add up anew: the sums are where they belong.
    pub(crate) fn forget(&mut self) {
        self.deltas.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_is_added_up_by_reason() {
        let start = Instant::now();
        let mut holds = Holds::new(start);
        let mut at = |second, paused, pace| holds.at(start + Duration::from_secs(second), paused, &pace);
        let lag = |value| Pace::Hold { signal: Signal::ReplicaLag, value, limit: 10.0 };
        let slow = Pace::Slow { signal: Signal::ReplicaLag, value: Some(8.0), limit: 10.0, factor: 0.6 };
        assert!(!at(1, false, Pace::Run));
        assert!(!at(2, false, lag(Some(11.0))));
        assert!(!at(4, false, lag(Some(14.0))));
        assert!(!at(5, false, lag(None)));
        assert!(at(7, false, slow));
        assert!(!at(10, true, lag(Some(12.0))));
        assert!(at(11, false, lag(Some(12.0))));
        assert!(at(12, false, Pace::Run));
        let lag = HoldDelta {
            signal: Cause::Signal(Signal::ReplicaLag),
            times: 2,
            seconds: 6.0,
            slowed_seconds: 3.0,
            worst: Some(14.0),
            limit: Some(10.0),
        };
        let paused =
            HoldDelta { signal: Cause::Paused, times: 1, seconds: 1.0, slowed_seconds: 0.0, worst: None, limit: None };
        assert_eq!(holds.sums(), [lag, paused]);
        holds.forget();
        holds.at(start + Duration::from_secs(20), false, &Pace::Run);
        assert_eq!(holds.sums(), []);
    }
}
