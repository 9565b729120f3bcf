//! The latencies of many probes, counted by size.

use std::ops::AddAssign;

use serde::Serialize;

/// The upper limit of the first class, in seconds.
const SHORTEST: f64 = 0.0001;
/// Classes in a decade: each is a quarter wider than the one before.
const IN_A_DECADE: u8 = 10;
/// The last class holds everything above 8 s. No probe takes longer: a timeout ends it.
const LAST: u8 = 50;

/// Latencies, as the number of those in each of 51 classes from 0.1 ms to 10 s. Those of two times can be added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Latencies {
    /// How many are in each class; classes at the end may be missing.
    pub(crate) counts: Vec<i64>,
    /// How many were above the goal that was set then.
    pub over_goal: i64,
}

impl Latencies {
    /// Takes note of one, in seconds, and whether it is above the goal.
    pub(crate) fn took(&mut self, seconds: f64, goal: f64) {
        let class = (0..LAST).find(|class| seconds <= limit(*class)).unwrap_or(LAST);
        let class = usize::from(class);
        if self.counts.len() <= class {
            self.counts.resize(class + 1, 0);
        }
        self.counts[class] += 1;
        self.over_goal += i64::from(seconds > goal);
    }

    /// Takes out those of `other`, which were counted here before.
    pub(crate) fn take_out(&mut self, other: &Self) {
        for (count, out) in self.counts.iter_mut().zip(&other.counts) {
            *count -= out;
        }
        while self.counts.last() == Some(&0) {
            self.counts.pop();
        }
        self.over_goal -= other.over_goal;
    }

    /// Returns how many there are.
    pub fn count(&self) -> i64 {
        self.counts.iter().sum()
    }

    /// Returns a time, in seconds, that `percent` of a hundred did not exceed: the upper limit of a class, so up to a quarter
    /// more than the exact one. `None` where there are none.
    pub fn percentile(&self, percent: u8) -> Option<f64> {
        let wanted = i128::from(self.count()) * i128::from(percent);
        let mut so_far = 0;
        let enough = |count: &i64| {
            so_far += i128::from(*count);
            so_far > 0 && so_far * 100 >= wanted
        };
        let class = self.counts.iter().position(enough)?;
        Some(limit(u8::try_from(class).unwrap_or(LAST)))
    }
}

impl AddAssign<&Self> for Latencies {
    fn add_assign(&mut self, other: &Self) {
        let length = self.counts.len().max(other.counts.len());
        self.counts.resize(length, 0);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.over_goal += other.over_goal;
    }
}

/// Returns the upper limit of a class, in seconds.
fn limit(class: u8) -> f64 {
    SHORTEST * 10_f64.powf(f64::from(class) / f64::from(IN_A_DECADE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(seconds: impl IntoIterator<Item = f64>) -> Latencies {
        let mut latencies = Latencies::default();
        for one in seconds {
            latencies.took(one, 0.005);
        }
        latencies
    }

    #[test]
    fn a_percentile_is_never_too_low_and_at_most_a_quarter_too_high() {
        for exact in [0.000_07, 0.0001, 0.000_3, 0.0042, 0.1, 0.999, 9.9] {
            let found = of([exact]).percentile(99).unwrap();
            assert!(found >= exact && found <= (exact * 1.26).max(SHORTEST), "{exact} {found}");
        }
        assert_eq!(of([]).percentile(50), None);
    }

    #[test]
    fn one_in_a_hundred_is_above_the_99th_percentile() {
        let hundred = |slow: usize| of((0..100).map(|n| if n < slow { 0.5 } else { 0.001 }));
        assert!(hundred(1).percentile(99).unwrap() < 0.002);
        assert!(hundred(2).percentile(99).unwrap() > 0.4);
        assert!(hundred(2).percentile(50).unwrap() < 0.002);
        assert_eq!((hundred(2).count(), hundred(2).over_goal), (100, 2));
    }

    #[test]
    fn what_was_taken_out_is_as_if_it_had_never_been_there() {
        let (one, two) = (of([0.001, 0.2]), of([0.003, 4.0]));
        let mut both = one.clone();
        both += &two;
        assert_eq!((both.count(), both.over_goal), (4, 2));
        both.take_out(&two);
        assert_eq!(both, one);
    }
}
