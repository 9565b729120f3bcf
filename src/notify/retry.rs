//! When an attempt that failed is repeated.

use std::time::Duration;

/// How long after each attempt the next one is made, as the Standard Webhooks specification has it: ten attempts in three days.
const DELAYS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];

/// A receiver cannot put a message off for longer than this.
const LONGEST: Duration = Duration::from_hours(24);

/// Returns how long to wait after attempt number `attempts`; `None` when it was the last. `jitter` is between 0 and 1:
/// receivers that were down are not met by everything at once. A receiver may ask for more time.
pub(crate) fn after(attempts: i32, jitter: f64, asked: Option<Duration>) -> Option<Duration> {
    let number = usize::try_from(attempts).ok()?.checked_sub(1)?;
    let delay = DELAYS.get(number)?.mul_f64(0.9 + 0.2 * jitter.clamp(0.0, 1.0));
    Some(delay.max(asked.unwrap_or_default()).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_spread_over_three_days_and_end() {
        let delays: Vec<_> = (1..=9).map(|attempt| after(attempt, 0.5, None).unwrap()).collect();
        assert!(delays.is_sorted());
        let days = delays.iter().sum::<Duration>().as_secs_f64() / 86400.0;
        assert!((3.0..3.3).contains(&days), "{days}");
        assert_eq!(after(10, 0.5, None), None);
        assert_eq!(after(0, 0.5, None), None);
        assert!(after(2, 0.0, None) < after(2, 1.0, None));
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_up_to_a_day() {
        let asked = |time| after(1, 0.0, Some(time)).unwrap();
        assert_eq!(asked(Duration::from_secs(1)), Duration::from_millis(4500));
        assert_eq!(asked(Duration::from_hours(3)), Duration::from_hours(3));
        assert_eq!(asked(Duration::from_hours(300)), Duration::from_hours(24));
    }
}
