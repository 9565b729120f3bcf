//! Reads the signals, on a connection of its own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sqlx::{PgConnection, Row};
use tokio::sync::watch;

use super::decide::{Reading, Signal, Signals, Value};
use crate::event::{Event, EventSink};
use crate::pg::{self, Connector};

/// Between two looks at what changes quickly.
const QUICK: Duration = Duration::from_millis(100);
/// Between two looks at what changes slowly.
const SLOW: Duration = Duration::from_secs(1);
/// How many WAL positions are remembered; a replica further behind than that is behind by at least that.
const REMEMBERED: usize = 900;

/// Signals with the time at which each was read.
#[derive(Debug, Clone)]
pub(crate) struct Seen(Vec<(Signal, Value, Instant)>);

impl Seen {
    /// Returns the signals before the first look.
    pub(crate) fn nothing() -> Self {
        let now = Instant::now();
        Self([Signal::ReplicaLag, Signal::LockWait].map(|signal| (signal, Value::Unknown, now)).into())
    }

    /// Returns the signals as they are at `now`.
    pub(crate) fn at(&self, now: Instant) -> Signals {
        let reading =
            |&(signal, value, at): &(_, _, Instant)| Reading { signal, value, age: now.saturating_duration_since(at) };
        Signals(self.0.iter().map(reading).collect())
    }

    fn set(&mut self, signal: Signal, value: Value) {
        let now = Instant::now();
        match self.0.iter_mut().find(|(s, ..)| *s == signal) {
            Some(known) => *known = (signal, value, now),
            None => self.0.push((signal, value, now)),
        }
    }
}

/// Reads the signals for ever, connecting again as often as need be, and publishes them. A signal that cannot be read is
/// left to grow old: what that means is decided elsewhere.
pub(crate) async fn sample(connector: Connector, sink: EventSink, seen: watch::Sender<Seen>) {
    let mut sampler = Sampler { sink, seen, lag: LagTracker::default(), said_off: false };
    loop {
        match connector.connect("throttle").await {
            Ok(mut connection) => {
                let error = sampler.run(&mut connection).await;
                tracing::debug!(%error, "throttle connection");
            }
            Err(error) => tracing::debug!(%error, "throttle connection"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

struct Sampler {
    sink: EventSink,
    seen: watch::Sender<Seen>,
    lag: LagTracker,
    said_off: bool,
}

impl Sampler {
    /// Runs until the connection fails.
    async fn run(&mut self, connection: &mut PgConnection) -> sqlx::Error {
        let mut slow_due = Instant::now();
        let mut tick = tokio::time::interval(QUICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if slow_due <= Instant::now() {
                slow_due = Instant::now() + SLOW;
                if let Err(error) = self.replica_lag(connection).await {
                    return error;
                }
            }
            if let Err(error) = self.lock_wait(connection).await {
                return error;
            }
        }
    }

    async fn lock_wait(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let row = pg::query(include_str!("locks.sql")).fetch_one(connection).await?;
        let seconds: f64 = row.try_get(0)?;
        self.seen.send_modify(|seen| seen.set(Signal::LockWait, Value::Known(seconds)));
        Ok(())
    }

    async fn replica_lag(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let rows = pg::query(include_str!("replicas.sql")).fetch_all(connection).await?;
        let now = Instant::now();
        let mut value = Value::Known(0.0);
        for row in rows {
            self.lag.wrote(row.try_get(0)?, now);
            let (replica, hidden): (bool, bool) = (row.try_get(1)?, row.try_get(2)?);
            if !replica {
                continue;
            }
            if hidden {
                value = Value::Off;
                break;
            }
            let (replayed, reported): (Option<i64>, Option<f64>) = (row.try_get(3)?, row.try_get(4)?);
            let lag = self.lag.behind(replayed.unwrap_or(0), reported, now).as_secs_f64();
            if let Value::Known(worst) = &mut value {
                *worst = worst.max(lag);
            }
        }
        if value == Value::Off && !self.said_off {
            self.said_off = true;
            let message =
                "the lag of replicas cannot be seen (the role lacks pg_monitor): the backfill does not hold for it";
            (self.sink)(Event::Warning { message: message.to_owned() });
        }
        self.seen.send_modify(|seen| seen.set(Signal::ReplicaLag, value));
        Ok(())
    }
}

/// Tells how long ago a WAL position was written. The lag that a replica reports stands still while its replay is
/// paused; the age of the oldest WAL that it has not replayed does not.
#[derive(Debug, Default)]
struct LagTracker(VecDeque<(Instant, i64)>);

impl LagTracker {
    /// Takes note that the server has written up to `position` now.
    fn wrote(&mut self, position: i64, now: Instant) {
        if self.0.back().is_some_and(|(_, known)| *known == position) {
            return;
        }
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((now, position));
    }

    /// Returns how far a replica that has replayed up to `position` is behind.
    fn behind(&self, position: i64, reported: Option<f64>, now: Instant) -> Duration {
        let missing = self.0.iter().position(|(_, written)| *written > position);
        let Some((since, _)) = missing.and_then(|at| self.0.get(at)) else { return Duration::ZERO };
        let known = now.saturating_duration_since(*since);
        if missing == Some(0) {
            // Since before our time: the replica's word may be more than we know.
            known.max(Duration::try_from_secs_f64(reported.unwrap_or(0.0)).unwrap_or_default())
        } else {
            known
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paused_replica_falls_behind_by_the_clock() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut lag = LagTracker::default();
        for (second, position) in [(0, 100), (1, 200), (2, 300), (3, 300), (60, 300)] {
            lag.wrote(position, at(second));
        }
        assert_eq!(lag.behind(300, Some(9.0), at(60)), Duration::ZERO);
        assert_eq!(lag.behind(250, None, at(60)), Duration::from_secs(58));
        assert_eq!(lag.behind(100, None, at(60)), Duration::from_secs(59));
        assert_eq!(lag.behind(50, Some(500.0), at(60)), Duration::from_secs(500));
        assert_eq!(lag.behind(50, None, at(60)), Duration::from_mins(1));
    }
}
