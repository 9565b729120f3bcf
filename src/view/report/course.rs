//! The course of a backfill: how far and how fast it was, and what an application felt meanwhile. Pure.

use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;

use crate::run::{Latencies, Sample};

/// The course of a backfill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Course {
    /// When its first pass began.
    pub began: DateTime<Utc>,
    /// How far it was at some moments, oldest first.
    pub points: Vec<CoursePoint>,
    /// The latency that an application saw in all that time; `None` where nobody measured it.
    pub felt: Option<Felt>,
}

/// How far a backfill was at a moment, and what happened since the point before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CoursePoint {
    /// Seconds since it began, with all pauses and holds.
    pub seconds: f64,
    /// Rows filled until then.
    pub rows: i64,
    /// Rows a second, on average since the point before.
    pub rows_per_second: f64,
    /// What half of the probes since then did not exceed, in seconds; `None` where there were none.
    pub p50_seconds: Option<f64>,
    /// What 99 of 100 did not exceed, in seconds.
    pub p99_seconds: Option<f64>,
}

/// The latency that an application saw, in seconds. Percentiles are up to a quarter too high.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Felt {
    /// How many probes there were.
    pub probes: i64,
    /// What half of them did not exceed.
    pub p50_seconds: f64,
    /// What 99 of 100 did not exceed.
    pub p99_seconds: f64,
    /// The goal of the plan; it may have been tuned since.
    pub goal_seconds: Option<f64>,
    /// How many were above the goal that was set when they were made.
    pub over_goal: i64,
}

impl Felt {
    /// Whether nine of ten probes stayed below the goal.
    pub fn is_met(&self) -> bool {
        i128::from(self.over_goal) * 10 <= i128::from(self.probes)
    }
}

impl Course {
    pub(super) fn of(began: DateTime<Utc>, samples: &[Sample], goal_seconds: Option<f64>) -> Self {
        let mut all = Latencies::default();
        let mut rows_of = BTreeMap::new();
        let (mut points, mut before) = (Vec::new(), (0.0, 0));
        for sample in samples {
            all += &sample.latencies;
            rows_of.insert(sample.relation, sample.rows);
            let seconds = (sample.at - began).as_seconds_f64().max(0.0);
            let rows = rows_of.values().sum();
            let (since, had) = before;
            before = (seconds, rows);
            points.push(CoursePoint {
                seconds,
                rows,
                // Two relations may be told of in one moment.
                rows_per_second: if seconds > since { float(rows - had) / (seconds - since) } else { 0.0 },
                p50_seconds: sample.latencies.percentile(50),
                p99_seconds: sample.latencies.percentile(99),
            });
        }
        let felt = all.percentile(50).zip(all.percentile(99)).map(|(p50_seconds, p99_seconds)| Felt {
            probes: all.count(),
            p50_seconds,
            p99_seconds,
            goal_seconds,
            over_goal: all.over_goal,
        });
        Self { began, points, felt }
    }

    /// Returns the highest rate between two points.
    pub fn top_rate(&self) -> f64 {
        self.points.iter().map(|point| point.rows_per_second).fold(0.0, f64::max)
    }

    /// Returns the longest latency of any point, in seconds.
    pub fn top_latency(&self) -> f64 {
        self.points.iter().filter_map(|point| point.p99_seconds).fold(0.0, f64::max)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts for people")]
fn float(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::RelationId;

    #[test]
    fn rates_are_averages_since_the_point_before_and_rows_are_those_of_all_tables() {
        let began: DateTime<Utc> = "2027-01-15T08:00:00Z".parse().unwrap();
        let sample = |relation, seconds, rows, slow| {
            let mut latencies = Latencies::default();
            for _ in 0..slow {
                latencies.took(0.5, 0.005);
            }
            let at = began + chrono::Duration::seconds(seconds);
            Sample { relation: RelationId(relation), at, rows, latencies }
        };
        let samples = [sample(0, 1, 100, 0), sample(0, 3, 500, 3), sample(1, 13, 50, 0)];
        let course = Course::of(began, &samples, Some(0.005));
        let told: Vec<_> = course.points.iter().map(|p| (p.seconds, p.rows, p.rows_per_second)).collect();
        assert_eq!(told, [(1.0, 100, 100.0), (3.0, 500, 200.0), (13.0, 550, 5.0)]);
        assert!((course.top_rate() - 200.0).abs() < 0.1);
        let felt = course.felt.unwrap();
        assert_eq!((felt.probes, felt.over_goal, felt.is_met()), (3, 3, false));
        assert_eq!(course.points[0].p50_seconds, None);
        assert_eq!(Course::of(began, &samples[..1], None).felt, None);
    }
}
