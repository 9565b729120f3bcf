//! The row rate.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Rows per second, paid for after they were written: nobody knows in advance how many rows a range of pages has.
pub(crate) struct RowRate {
    rows_per_second: NonZeroU32,
    /// Rows that may be written at once: those of a tenth of a second.
    burst: NonZeroU32,
    limiter: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

impl RowRate {
    /// Returns the rate; `None` stands for no bound, and so does 0.
    pub(crate) fn new(rows_per_second: Option<u32>) -> Option<Self> {
        let rows_per_second = NonZeroU32::new(rows_per_second?)?;
        let burst = NonZeroU32::new(rows_per_second.get() / 10).unwrap_or(NonZeroU32::MIN);
        let limiter = RateLimiter::direct(Quota::per_second(rows_per_second).allow_burst(burst));
        Some(Self { rows_per_second, burst, limiter, clock: DefaultClock::default() })
    }

    /// Returns rows a second.
    pub(crate) fn rows_per_second(&self) -> u32 {
        self.rows_per_second.get()
    }

    /// Pays for as many of `debt` rows as can be paid for now. Returns how long to wait before paying again; `None` when
    /// all is paid.
    pub(crate) fn pay(&self, debt: &mut u64) -> Option<Duration> {
        while *debt > 0 {
            let chunk = u32::try_from(*debt).unwrap_or(u32::MAX).min(self.burst.get());
            let Some(cells) = NonZeroU32::new(chunk) else { break };
            match self.limiter.check_n(cells) {
                Ok(Ok(())) => *debt -= u64::from(chunk),
                Ok(Err(not_until)) => return Some(not_until.wait_time_from(self.clock.now())),
                // More than a burst is never asked for.
                Err(_) => *debt = 0,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debt_is_paid_at_the_rate() {
        let rate = RowRate::new(Some(1000)).unwrap();
        let mut debt = 150;
        let wait = rate.pay(&mut debt).unwrap();
        assert_eq!(debt, 50);
        assert!(wait <= Duration::from_millis(50), "{wait:?}");
        std::thread::sleep(wait);
        assert_eq!(rate.pay(&mut debt), None);
        assert_eq!(debt, 0);
        assert!(RowRate::new(Some(0)).is_none() && RowRate::new(None).is_none());
        assert_eq!(RowRate::new(Some(3)).unwrap().pay(&mut 1), None);
    }
}
