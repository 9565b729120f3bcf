//! How many pages the next batch takes: as many as fit into a time, going by what the last ones took.

use std::collections::VecDeque;
use std::time::Duration;

/// Batches that are remembered.
const REMEMBERED: usize = 10;
/// The size of the first batch.
const FIRST_PAGES: u32 = 4;
/// A batch grows at most by this factor over the one before.
const GROWTH: f64 = 1.5;
/// A batch that takes this many times its target cuts the size to a tenth at once.
const FAR_OVER: u32 = 5;

/// Sizes batches by time. It knows nothing of waiting: only the UPDATE itself is measured.
#[derive(Debug, Clone)]
pub(crate) struct BatchSize {
    target: Duration,
    pages: u32,
    /// Seconds a page and rows a page of the last batches that changed rows.
    recent: VecDeque<Measured>,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    seconds_per_page: f64,
    rows_per_page: f64,
}

impl BatchSize {
    /// Returns the size for batches that should take `target`.
    pub(crate) fn new(target: Duration) -> Self {
        Self { target, pages: FIRST_PAGES, recent: VecDeque::new() }
    }

    /// Returns the pages of the next batch, at least 1; no more than `max_rows` rows should be on them.
    pub(crate) fn pages(&self, max_rows: Option<u32>) -> u32 {
        let densest = self.recent.iter().map(|m| m.rows_per_page).fold(1.0, f64::max);
        max_rows.map_or(self.pages, |rows| self.pages.min(whole(f64::from(rows) / densest)))
    }

    /// Sets another target for the batches to come.
    pub(crate) fn set_target(&mut self, target: Duration) {
        self.target = target;
    }

    /// Takes note that `pages` pages with `rows` rows to fill took `time`.
    pub(crate) fn took(&mut self, pages: u32, rows: u64, time: Duration) {
        if time > self.target * FAR_OVER {
            // What came before says nothing about what is coming: start again from a tenth.
            self.recent.clear();
            self.pages = (pages / 10).max(1);
            self.remember(pages, rows, time);
            return;
        }
        if rows > 0 {
            self.remember(pages, rows, time);
        }
        // One that had to be smaller, because its window ended, says nothing against the size of the one before.
        let grown = whole(f64::from(pages) * GROWTH).max(pages.saturating_add(1)).max(self.pages);
        self.pages = match self.p90() {
            // Pages without rows to fill cost almost nothing, so they may come in greater numbers; but not in any
            // number, for the rows start again somewhere.
            Some(cost) if rows > 0 => whole(self.target.as_secs_f64() / cost).min(grown),
            Some(cost) => whole(4.0 * self.target.as_secs_f64() / cost).min(grown),
            None => grown,
        };
    }

    /// Takes note that the batch could not get a lock: the next one is half as large.
    pub(crate) fn contended(&mut self, pages: u32) {
        self.pages = (pages / 2).max(1);
    }

    fn remember(&mut self, pages: u32, rows: u64, time: Duration) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        let pages = f64::from(pages.max(1));
        let rows = f64::from(u32::try_from(rows).unwrap_or(u32::MAX));
        self.recent.push_back(Measured { seconds_per_page: time.as_secs_f64() / pages, rows_per_page: rows / pages });
    }

    /// The cost of a page, in seconds, that nine of ten recent batches stayed below.
    fn p90(&self) -> Option<f64> {
        let mut costs: Vec<_> = self.recent.iter().map(|m| m.seconds_per_page).collect();
        costs.sort_by(f64::total_cmp);
        let at = (costs.len() * 9).div_ceil(10).checked_sub(1)?;
        costs.get(at).copied().filter(|cost| *cost > 0.0)
    }
}

/// Rounds down to a number of pages, at least 1.
fn whole(pages: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded on both sides")]
    let whole = pages.clamp(1.0, f64::from(u32::MAX)) as u32;
    whole
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TARGET: Duration = Duration::from_millis(100);

    /// Runs batches over a table on which each page costs `cost(page)`; returns (pages, time) of each.
    fn simulate(batches: usize, cost: impl Fn(u64) -> Duration) -> Vec<(u32, Duration)> {
        let mut size = BatchSize::new(TARGET);
        let mut page = 0;
        let mut done = Vec::new();
        for _ in 0..batches {
            let pages = size.pages(None);
            let time = (page..page + u64::from(pages)).map(&cost).sum();
            size.took(pages, u64::from(pages) * 50, time);
            page += u64::from(pages);
            done.push((pages, time));
        }
        done
    }

    #[test]
    fn it_finds_the_target_and_stays() {
        let done = simulate(40, |_| Duration::from_micros(700));
        assert!(done[20..].iter().all(|(_, time)| (90..=110).contains(&time.as_millis())), "{done:?}");
    }

    #[test]
    fn a_table_that_turns_slow_costs_one_long_batch() {
        let done = simulate(60, |page| Duration::from_micros(if page < 2000 { 500 } else { 10_000 }));
        let slow = done.iter().position(|(_, time)| *time > TARGET * FAR_OVER).unwrap();
        assert!(done[slow + 1].0 <= done[slow].0 / 10);
        assert!(done[slow + 1..].iter().all(|(_, time)| *time <= TARGET * 3), "{done:?}");
    }

    #[test]
    fn empty_pages_do_not_make_it_forget() {
        let mut size = BatchSize::new(TARGET);
        for _ in 0..20 {
            size.took(size.pages(None), 1000, Duration::from_millis(u64::from(size.pages(None))));
        }
        let before = size.pages(None);
        for _ in 0..100 {
            size.took(size.pages(None), 0, Duration::from_millis(1));
        }
        assert!(size.pages(None) <= before * 5, "{} after {before}", size.pages(None));
    }

    proptest! {
        #[test]
        fn growth_is_bounded_and_a_page_is_the_least(costs in prop::collection::vec((0u64..2_000_000, any::<bool>(), 0u64..5000), 1..200)) {
            let mut size = BatchSize::new(TARGET);
            for (micros, locked, rows) in costs {
                let pages = size.pages(None);
                if locked {
                    size.contended(pages);
                    prop_assert_eq!(size.pages(None), (pages / 2).max(1));
                } else {
                    let time = Duration::from_micros(micros);
                    size.took(pages, rows, time);
                    prop_assert!(f64::from(size.pages(None)) <= (f64::from(pages) * GROWTH).max(f64::from(pages) + 1.0));
                    if time > TARGET * FAR_OVER {
                        prop_assert!(size.pages(None) <= (pages / 10).max(1));
                    }
                }
                prop_assert!(size.pages(None) >= 1);
                prop_assert!(size.pages(Some(10)) <= size.pages(None));
            }
        }
    }
}
