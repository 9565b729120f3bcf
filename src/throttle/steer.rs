//! Keeps a measure below its limit by going faster and slower. Pure.

use super::Signal;
use super::decide::{Limits, Pace, STALE, Signals, Value, decide};

/// The slowest speed: the backfill never stops completely.
const FLOOR: f64 = 0.01;
/// What one measure leaves of the speed, at the least. WAL is written in proportion to the speed, so what is too much of it
/// says how much slower to go; how latency depends on the speed, nobody knows.
const CUT_FOR_WAL: f64 = 0.1;
const CUT_FOR_LATENCY: f64 = 0.5;
/// Up to this share of the limit there is room to go faster; between it and the limit all stays as it is.
const ROOM: f64 = 0.8;
/// How much faster one step is, at the most, as a share of the speed that it has and of full speed.
const GROWTH: (f64, f64) = (0.25, 0.05);
/// The speed at which a steered backfill begins, while its effect on others is unknown.
const CAUTIOUS: f64 = 0.1;

/// A speed that follows a measure: cut in proportion when the measure is above its limit; raised
/// by a small step when there is room (additive increase, multiplicative decrease, as TCP does, so that several who
/// share a server end up with a share each).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Steering {
    speed: f64,
    /// What one measure leaves of it, at the least.
    cut: f64,
    /// The last reading that it followed.
    number: Option<u64>,
}

impl Steering {
    fn new(speed: f64, cut: f64) -> Self {
        Self { speed, cut, number: None }
    }

    /// Follows one measure.
    fn step(&mut self, value: f64, limit: f64) {
        if value > limit {
            self.speed = (self.speed * (limit / value).clamp(self.cut, 0.95)).max(FLOOR);
        } else if value < limit * ROOM {
            self.speed = (self.speed + (self.speed * GROWTH.0).min(GROWTH.1)).min(1.0);
        }
    }
}

/// Decides on the pace, tick by tick: `decide` for the signals that hold, a steering for each of the others.
#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    gate: Pace,
    wal: Steering,
    latency: Option<Steering>,
}

impl Pacer {
    pub(crate) fn new() -> Self {
        Self { gate: Pace::Run, wal: Steering::new(1.0, CUT_FOR_WAL), latency: None }
    }

    /// Returns the pace that the signals allow now. While the backfill stands still (`paused`, or held), measures say
    /// nothing about it and are not followed.
    pub(crate) fn pace(&mut self, signals: &Signals, limits: &Limits, paused: bool) -> Pace {
        self.gate = decide(signals, limits, &self.gate);
        let still = paused || matches!(self.gate, Pace::Hold { .. });
        let wal = follow(&mut self.wal, Signal::WalRate, signals, limits, still);
        let latency = if limits.get(Signal::GoalLatency).is_some() {
            let steering = self.latency.get_or_insert(Steering::new(CAUTIOUS, CUT_FOR_LATENCY));
            follow(steering, Signal::GoalLatency, signals, limits, still)
        } else {
            self.latency = None;
            Pace::Run
        };
        self.gate.slower(wal).slower(latency)
    }

    /// Returns the share of its time that a batch may take. Slower batches are shorter too, for they keep rows locked and
    /// the disk busy in one go; the square root divides the burden between fewer and shorter.
    pub(crate) fn batch_share(&self) -> f64 {
        self.latency.map_or(1.0, |latency| latency.speed.sqrt())
    }
}

fn follow(steering: &mut Steering, signal: Signal, signals: &Signals, limits: &Limits, still: bool) -> Pace {
    let Some(limit) = limits.get(signal) else {
        steering.speed = 1.0;
        return Pace::Run;
    };
    let reading = signals.get(signal);
    let known = reading.and_then(|reading| match reading.value {
        Value::Known(value) if reading.age <= STALE => Some((reading.number, value)),
        _ => None,
    });
    if let Some((number, value)) = known.filter(|(number, _)| steering.number != Some(*number)) {
        steering.number = Some(number);
        if !still {
            steering.step(value, limit);
        }
    }
    if steering.speed >= 1.0 {
        return Pace::Run;
    }
    let value = reading.and_then(|reading| if let Value::Known(value) = reading.value { Some(value) } else { None });
    Pace::Slow { signal, value, limit, factor: steering.speed }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::decide::Reading;
    use super::*;

    fn reading(signal: Signal, value: f64, number: u64) -> Signals {
        let value = Value::Known(value);
        Signals(vec![Reading { signal, value, age: Duration::ZERO, number, server_limit: None }])
    }

    /// Runs `steps` readings in which the latency is `latency(speed)`; returns the speeds.
    fn simulate(pacer: &mut Pacer, from: u64, steps: u64, goal: f64, latency: impl Fn(f64) -> f64) -> Vec<f64> {
        let limits = Limits(vec![(Signal::GoalLatency, goal)]);
        let mut speed = pacer.latency.map_or(CAUTIOUS, |latency| latency.speed);
        (from..from + steps)
            .map(|number| {
                let signals = reading(Signal::GoalLatency, latency(speed), number);
                speed = pacer.pace(&signals, &limits, false).speed();
                speed
            })
            .collect()
    }

    #[test]
    fn it_finds_the_speed_at_which_the_goal_is_kept() {
        let mut pacer = Pacer::new();
        // 1 ms idle, 9 ms at full speed, the goal is 5 ms: half speed.
        let latency = |speed: f64| 0.001 + 0.008 * speed;
        let speeds = simulate(&mut pacer, 0, 100, 0.005, latency);
        assert!(speeds[40..].iter().all(|speed| (0.3..=0.52).contains(speed)), "{speeds:?}");
        // Something else makes everything slow: down to the floor, within a few steps, and not further.
        let speeds = simulate(&mut pacer, 100, 20, 0.005, |_| 0.05);
        assert!(speeds[2] < 0.1 && (speeds[19] - FLOOR).abs() < 1e-9, "{speeds:?}");
        assert!((pacer.batch_share() - 0.1).abs() < 1e-9);
        // It is over: up again to full speed where there is room for that.
        let speeds = simulate(&mut pacer, 120, 60, 0.005, |_| 0.001);
        assert!(speeds[15] > 0.1 && speeds[59] >= 1.0, "{speeds:?}");
    }

    #[test]
    fn wal_is_kept_below_its_rate() {
        let limits = Limits(vec![(Signal::WalRate, 100.0)]);
        let mut pacer = Pacer::new();
        let mut speed = 1.0;
        let mut rates = Vec::new();
        for number in 0..30 {
            rates.push(700.0 * speed);
            speed = pacer.pace(&reading(Signal::WalRate, 700.0 * speed, number), &limits, false).speed();
        }
        assert!(rates[2..].iter().all(|rate| (70.0..=105.0).contains(rate)), "{rates:?}");
        // Switched off, nothing is left of it.
        assert_eq!(pacer.pace(&Signals::default(), &Limits::default(), false), Pace::Run);
    }

    #[test]
    fn a_reading_counts_once_and_not_while_the_backfill_stands_still() {
        let limits = Limits(vec![(Signal::GoalLatency, 0.005)]);
        let mut pacer = Pacer::new();
        let mut speed =
            |value, number, paused| pacer.pace(&reading(Signal::GoalLatency, value, number), &limits, paused).speed();
        let first = speed(0.001, 1, false);
        assert!(first > CAUTIOUS);
        assert_eq!(speed(0.001, 1, false).to_bits(), first.to_bits());
        assert_eq!(speed(0.001, 2, true).to_bits(), first.to_bits());
        assert!(speed(0.001, 3, false) > first);
        assert!(speed(0.02, 4, false) < first);
    }

    #[test]
    fn a_stale_measure_keeps_the_speed() {
        let limits = Limits(vec![(Signal::WalRate, 100.0)]);
        let mut pacer = Pacer::new();
        let slowed = pacer.pace(&reading(Signal::WalRate, 150.0, 1), &limits, false).speed();
        let mut stale = reading(Signal::WalRate, 500.0, 2);
        stale.0[0].age = Duration::from_secs(6);
        assert_eq!(pacer.pace(&stale, &limits, false).speed().to_bits(), slowed.to_bits());
        assert!(slowed < 0.7);
    }

    proptest! {
        #[test]
        fn it_never_stops_and_never_passes_full_speed(values in prop::collection::vec(0.0..10.0f64, 1..200)) {
            let limits = Limits(vec![(Signal::GoalLatency, 1.0), (Signal::WalRate, 2.0)]);
            let mut pacer = Pacer::new();
            for (number, value) in (0..).zip(values) {
                let signals = Signals([reading(Signal::GoalLatency, value, number).0, reading(Signal::WalRate, value, number).0].concat());
                let speed = pacer.pace(&signals, &limits, false).speed();
                prop_assert!((FLOOR..=1.0).contains(&speed));
                prop_assert!((0.1..=1.0).contains(&pacer.batch_share()));
            }
        }
    }
}
