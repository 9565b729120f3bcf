//! How fast a backfill is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::ledger::FillProgress;

/// The time over which the rate is measured.
const RATE_OVER: Duration = Duration::from_secs(5);

/// Rows and pages over the last few seconds.
#[derive(Default)]
pub(super) struct Rate(VecDeque<(Instant, FillProgress)>);

impl Rate {
    /// Returns rows per second and seconds to go.
    pub(super) fn over(&mut self, done: &FillProgress) -> (f64, Option<f64>) {
        let now = Instant::now();
        self.0.push_back((now, done.clone()));
        while self.0.len() > 2 && self.0.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= RATE_OVER) {
            self.0.pop_front();
        }
        let Some((since, before)) = self.0.front() else { return (0.0, None) };
        let seconds = now.duration_since(*since).as_secs_f64().max(0.001);
        let pages_per_second = float(done.done - before.done) / seconds;
        let eta = (pages_per_second > 0.0).then(|| float(done.bound - done.done) / pages_per_second);
        (float(done.rows - before.rows) / seconds, eta)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts for people")]
fn float(count: i64) -> f64 {
    count as f64
}
