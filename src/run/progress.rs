//! How far something that goes through all rows is.

use serde::Serialize;

/// How far a backfill or a check is. What a bar, a line, `status` and JSON show of it comes from here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Progress {
    /// Rows in all; an estimate until it is over.
    pub rows_total: i64,
    /// Rows gone through; in a backfill an estimate from pages, and no fewer than were filled.
    pub rows_done: i64,
    /// Their share, from 0 to 100; `None` when there are no rows, or nothing goes through them.
    pub rows_percent: Option<i64>,
    /// Rows a second over the last few seconds; 0 when nobody is at work.
    pub rows_per_second: f64,
    /// Seconds to go at this rate; `None` while there is no rate.
    pub eta_seconds: Option<f64>,
}

impl Progress {
    /// Returns how far `rows_done` of `rows_total` is.
    pub fn new(rows_done: i64, rows_total: i64, rows_per_second: f64, eta_seconds: Option<f64>) -> Self {
        let percent = |total| 100 * i128::from(rows_done.clamp(0, total)) / i128::from(total);
        let rows_percent = (rows_total > 0).then(|| i64::try_from(percent(rows_total)).unwrap_or(100));
        Self { rows_total, rows_done, rows_percent, rows_per_second, eta_seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_rounded_down_and_never_above_100() {
        let percent = |done, total| Progress::new(done, total, 0.0, None).rows_percent;
        assert_eq!((percent(0, 0), percent(0, 10), percent(999, 1000)), (None, Some(0), Some(99)));
        assert_eq!(
            (percent(1000, 1000), percent(1001, 1000), percent(i64::MAX, i64::MAX)),
            (Some(100), Some(100), Some(100))
        );
    }
}
