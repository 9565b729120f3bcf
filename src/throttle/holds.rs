//! Why the backfill stands still or is slow, in words, and for how long, added up by reason.

use std::time::Instant;

use crate::run::{HoldDelta, PaceReport};

use super::decide::{Pace, RELEASE};
use super::{Signal, Signals, Value};

/// The reason of time that the backfill stood still because somebody paused it.
const PAUSED: &str = "paused";

impl PaceReport {
    /// Returns what the signals and the pace that they led to look like.
    pub(crate) fn new(pace: &Pace, paused: bool, signals: &Signals, goal: Option<f64>) -> Self {
        let latency = signals.get(Signal::GoalLatency).map(|reading| reading.value);
        Self {
            speed: if paused { 0.0 } else { pace.speed() },
            slowed_by: matches!(pace, Pace::Slow { .. }).then(|| pace.reason()).flatten(),
            latency_seconds: latency.and_then(|value| if let Value::Known(value) = value { Some(value) } else { None }),
            goal_latency_seconds: goal,
        }
    }
}

impl Pace {
    /// Returns why the backfill does not run at full speed, with value and limit; `None` when it does.
    pub fn reason(&self) -> Option<String> {
        match *self {
            Self::Run => None,
            Self::Slow { signal, value, limit, .. } => {
                let value = value.map_or_else(|| "not known yet".to_owned(), |value| signal.format(value));
                Some(format!("{} is {value}, to stay below {}", signal.name(), signal.format(limit)))
            }
            Self::Hold { signal: Signal::Wraparound, value: Some(value), .. } => {
                let value = Signal::Wraparound.format(value);
                Some(format!("an autovacuum to prevent wraparound has been running on the table for {value}"))
            }
            Self::Hold { signal, value: None, limit } => {
                Some(format!("{} is not known (its limit is {})", signal.name(), signal.format(limit)))
            }
            Self::Hold { signal, value: Some(value), limit } => {
                let name = signal.name();
                let shown = signal.format(value);
                Some(if value > limit {
                    format!("{name} is {shown}, above {}", signal.format(limit))
                } else {
                    format!(
                        "{name} is {shown}, and was above {}: waiting for {}",
                        signal.format(limit),
                        signal.format(limit * RELEASE)
                    )
                })
            }
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
    signal: &'static str,
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
            _ if paused => (Some(Reason { signal: PAUSED, still: true }), None),
            Pace::Run => (None, None),
            Pace::Slow { signal, value, limit, .. } => {
                (Some(Reason { signal: signal.name(), still: false }), value.map(|value| (value, limit)))
            }
            Pace::Hold { signal, value, limit } => {
                (Some(Reason { signal: signal.name(), still: true }), value.map(|value| (value, limit)))
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

    fn of(&mut self, signal: &'static str) -> &mut HoldDelta {
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
            signal: "replica_lag",
            times: 2,
            seconds: 6.0,
            slowed_seconds: 3.0,
            worst: Some(14.0),
            limit: Some(10.0),
        };
        let paused =
            HoldDelta { signal: "paused", times: 1, seconds: 1.0, slowed_seconds: 0.0, worst: None, limit: None };
        assert_eq!(holds.sums(), [lag, paused]);
        holds.forget();
        holds.at(start + Duration::from_secs(20), false, &Pace::Run);
        assert_eq!(holds.sums(), []);
    }

    #[test]
    fn every_reason_is_a_sentence() {
        let lag = |value| Pace::Hold { signal: Signal::ReplicaLag, value, limit: 10.0 }.reason().unwrap();
        assert_eq!(lag(Some(12.34)), "replica_lag is 12.3 s, above 10.0 s");
        assert_eq!(lag(Some(8.5)), "replica_lag is 8.5 s, and was above 10.0 s: waiting for 7.0 s");
        assert_eq!(lag(None), "replica_lag is not known (its limit is 10.0 s)");
        let vacuum = Pace::Hold { signal: Signal::Wraparound, value: Some(75.0), limit: 0.0 };
        assert_eq!(
            vacuum.reason().unwrap(),
            "an autovacuum to prevent wraparound has been running on the table for 75.0 s"
        );
        let slow = Pace::Slow { signal: Signal::GoalLatency, value: Some(0.0062), limit: 0.005, factor: 0.4 };
        assert_eq!(slow.reason().unwrap(), "goal_latency is 6.2 ms, to stay below 5.0 ms");
        assert_eq!(Pace::Run.reason(), None);
    }
}
