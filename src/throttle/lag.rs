//! How far replicas are behind.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many WAL positions are remembered; a replica further behind than that is behind by at least that.
const REMEMBERED: usize = 900;

/// Tells how long ago a WAL position was written. The lag that a replica reports stands still while its replay is
/// paused; the age of the oldest WAL that it has not replayed does not.
#[derive(Debug, Default)]
pub(super) struct LagTracker(VecDeque<(Instant, i64)>);

impl LagTracker {
    /// Takes note that the server has written up to `position` now.
    pub(super) fn wrote(&mut self, position: i64, now: Instant) {
        if self.0.back().is_some_and(|(_, known)| *known == position) {
            return;
        }
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((now, position));
    }

    /// Returns how far a replica that has replayed up to `position` is behind.
    pub(super) fn behind(&self, position: i64, reported: Option<f64>, now: Instant) -> Duration {
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
