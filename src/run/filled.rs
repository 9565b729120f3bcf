//! The outcome of a backfill.

use serde::Serialize;

/// The outcome of a backfill, measured when its last page was done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Filled {
    /// Rows filled.
    pub rows: i64,
    /// Those of them that touched no index; `None` where the server does not count (`track_counts`).
    pub hot: Option<i64>,
    /// Seconds since the first pass began, with all pauses, holds and stops.
    pub seconds: f64,
    /// Seconds of them for which a person had paused the run.
    pub paused_seconds: f64,
    /// What the whole server wrote to its log in that time, whoever caused it.
    pub wal_bytes: i64,
    /// Bytes of the heap when it began.
    pub heap_before: i64,
    /// Bytes of the heap when it was done.
    pub heap_after: i64,
    /// Bytes of the TOAST table when it began.
    pub toast_before: i64,
    /// Bytes of the TOAST table when it was done.
    pub toast_after: i64,
    /// Bytes of all indexes when it began.
    pub indexes_before: i64,
    /// Bytes of all indexes when it was done.
    pub indexes_after: i64,
}

impl Filled {
    /// Returns the rows filled a second, pauses apart; `None` where it was over at once.
    pub fn rows_per_second(&self) -> Option<f64> {
        let seconds = self.seconds - self.paused_seconds;
        (seconds >= 0.05 && self.rows > 0).then(|| float(self.rows) / seconds)
    }

    /// Returns the share of updates that touched no index.
    pub fn hot_share(&self) -> Option<f64> {
        let hot = self.hot.filter(|_| self.rows > 0)?;
        Some(float(hot) / float(self.rows))
    }

    /// Returns what the heap has grown by, as a share of what it was.
    pub fn heap_growth_share(&self) -> Option<f64> {
        growth(self.heap_before, self.heap_after)
    }

    /// Returns what the indexes have grown by, as a share of what they were.
    pub fn index_growth_share(&self) -> Option<f64> {
        growth(self.indexes_before, self.indexes_after)
    }
}

fn growth(before: i64, after: i64) -> Option<f64> {
    (before > 0).then(|| float(after - before) / float(before))
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn float(count: i64) -> f64 {
    count as f64
}
