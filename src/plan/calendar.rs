//! When work may be done, as instants: the weeks, windows and freezes of a plan. Pure: whoever asks says what time it is.
//!
//! A time of day in a zone becomes an instant in one place, `instant`. All intervals are half-open.

use chrono::{DateTime, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::{GapInfo, Tz};
use serde::Serialize;

use super::{ExtraWindow, Freeze, Schedule, Window};
use crate::amounts::duration;
use crate::phase::Phase;

/// How a day with a time is written in a plan.
pub(super) const MOMENT: &str = "%Y-%m-%d %H:%M";
/// The end of what has no end.
const NEVER: DateTime<Utc> = DateTime::<Utc>::MAX_UTC;
/// So many days after the last freeze and the last extra window, each day of the week has been there three times.
const ROUND: Days = Days::new(22);

/// From an instant to just before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// The first instant.
    pub from: DateTime<Utc>,
    /// The first instant after it.
    pub to: DateTime<Utc>,
}

impl Interval {
    fn contains(&self, at: DateTime<Utc>) -> bool {
        self.from <= at && at < self.to
    }
}

/// Whether work may be done at an instant.
#[derive(Debug, Clone, PartialEq)]
pub enum Opening<'a> {
    /// It may.
    Open {
        /// Until then; `None` for ever.
        until: Option<DateTime<Utc>>,
    },
    /// The days are frozen.
    Frozen(&'a Freeze),
    /// No window is open.
    Outside,
}

/// Why a phase becomes due when it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The week of the phase begins, or that of an earlier phase where the plan names none for it.
    Week(u16),
    /// The date that the plan gives for it.
    NotBefore(NaiveDate),
    /// The phase before has lasted for its time.
    Soak,
}

/// When a phase becomes due, and why not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Due {
    /// From this instant on.
    pub at: DateTime<Utc>,
    /// Why.
    pub cause: Cause,
}

/// A window whose length is not what its times of day say, because the clocks change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OddWindow {
    /// The day on which it opens.
    pub day: NaiveDate,
    /// How long it is; zero if there is none on this day.
    pub length: TimeDelta,
    /// How long it would be on another day.
    pub usual: TimeDelta,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Week(week) => write!(f, "week {week} of its schedule"),
            Self::NotBefore(date) => write!(f, "not before {date}"),
            Self::Soak => f.write_str("the phase before has to last so long"),
        }
    }
}

/// Returns an instant as people in `zone` say it, and in UTC: `Tue 2027-01-05 02:00 EST (07:00 UTC)`.
pub fn in_zone(at: DateTime<Utc>, zone: Tz) -> String {
    let here = at.with_timezone(&zone);
    let shown = here.format("%a %Y-%m-%d %H:%M %Z");
    if here.naive_local() == at.naive_utc() {
        return shown.to_string();
    }
    let format = if here.date_naive() == at.date_naive() { "%H:%M UTC" } else { "%a %H:%M UTC" };
    format!("{shown} ({})", at.format(format))
}

/// Which end of an interval a time of day is.
#[derive(Clone, Copy)]
enum End {
    First,
    Last,
}

/// Returns the instant of a local time. In a gap it is the first instant after it; of the two in an overlap, an interval
/// begins at the earlier and ends at the later.
fn instant(zone: Tz, local: NaiveDateTime, end: End) -> DateTime<Utc> {
    let found = zone.from_local_datetime(&local);
    let either = match end {
        End::First => found.earliest(),
        End::Last => found.latest(),
    };
    let after_gap = || GapInfo::new(&local, &zone).and_then(|gap| gap.end);
    // A zone has an offset at every instant, so that a time that is in no gap is found.
    either.or_else(after_gap).map_or_else(|| local.and_utc(), |at| at.with_timezone(&Utc))
}

impl Schedule {
    /// Returns whether work may be done at `at`.
    pub fn opening(&self, at: DateTime<Utc>) -> Opening<'_> {
        if let Some(freeze) = self.freeze.iter().find(|freeze| self.frozen(freeze).contains(at)) {
            return Opening::Frozen(freeze);
        }
        let Some(mut until) = self.windows_at(at) else { return Opening::Outside };
        for freeze in &self.freeze {
            let begins = self.frozen(freeze).from;
            if begins > at {
                until = until.min(begins);
            }
        }
        Opening::Open { until: (until < NEVER).then_some(until) }
    }

    /// Returns the first instant from `at` on at which work may begin that needs so much time before the next closing;
    /// `None` if there is none.
    pub fn next_opening(&self, at: DateTime<Utc>, needs: TimeDelta) -> Option<DateTime<Utc>> {
        let fits = |at: DateTime<Utc>| match self.opening(at) {
            Opening::Open { until } => until.is_none_or(|until| until - at >= needs),
            Opening::Frozen(_) | Opening::Outside => false,
        };
        if fits(at) {
            return Some(at);
        }
        let frozen = self.freeze.iter().map(|freeze| self.frozen(freeze).to);
        let extra = self.extra.iter().map(|extra| self.extra_window(extra).from);
        let mut moments: Vec<_> = frozen.chain(extra).collect();
        let last = moments.iter().copied().max().map_or(at, |last| last.max(at));
        let last = self.day_of(last).checked_add_days(ROUND)?;
        moments.extend(days_from(self.day_of(at), last).filter_map(|day| self.window_on(day)).map(|w| w.from));
        moments.retain(|moment| *moment > at);
        moments.sort_unstable();
        moments.into_iter().find(|moment| fits(*moment))
    }

    /// Returns when `phase` becomes due. `before` are the phases of the run that come before it, in order; `entered`, when the
    /// last of them was done.
    pub fn due(&self, phase: Phase, before: &[Phase], entered: Option<DateTime<Utc>>) -> Due {
        let week_of = |phase: Phase| self.weekly.iter().find(|(of, _)| *of == phase).map(|(_, week)| *week);
        let week = before.iter().copied().chain([phase]).filter_map(week_of).max().unwrap_or(1);
        let monday =
            self.start.checked_add_days(Days::new(7 * u64::from(week.saturating_sub(1)))).unwrap_or(self.start);
        let mut due = Due { at: self.midnight(monday), cause: Cause::Week(week) };
        if let Some((_, date)) = self.not_before.iter().find(|(of, _)| *of == phase) {
            let at = self.midnight(*date);
            if at > due.at {
                due = Due { at, cause: Cause::NotBefore(*date) };
            }
        }
        let soak = before.last().and_then(|last| self.soak.iter().find(|(of, _)| of == last));
        if let (Some((_, soak)), Some(entered)) = (soak, entered) {
            let at = TimeDelta::from_std(*soak).ok().and_then(|soak| entered.checked_add_signed(soak)).unwrap_or(NEVER);
            if at > due.at {
                due = Due { at, cause: Cause::Soak };
            }
        }
        due
    }

    /// Returns the days from `from` to before `to` whose window is shorter or longer than its times of day say.
    pub fn odd_windows(&self, from: NaiveDate, to: NaiveDate) -> Vec<OddWindow> {
        let Some(window) = &self.window else { return vec![] };
        let usual = usual(window);
        let length = |day| self.window_on(day).map_or(TimeDelta::zero(), |w| w.to - w.from);
        let days = from.iter_days().take_while(|day| *day < to).filter(|day| opens_on(window, *day));
        days.map(|day| OddWindow { day, length: length(day), usual }).filter(|odd| odd.length != usual).collect()
    }

    /// Returns, as a sentence, what happens to the windows of the schedule's first year because the clocks change; `None` if
    /// nothing does.
    pub fn clock_changes(&self) -> Option<String> {
        let year = self.start.checked_add_months(Months::new(12))?;
        let length = |length: TimeDelta| duration(length.as_seconds_f64());
        let day = |odd: &OddWindow| {
            let which = format!("on {} ({})", odd.day, odd.day.format("%a"));
            if odd.length.is_zero() {
                format!("none {which}")
            } else {
                format!("{} of {} {which}", length(odd.length), length(odd.usual))
            }
        };
        let days: Vec<_> = self.odd_windows(self.start, year).iter().map(day).collect();
        let zone = self.timezone;
        (!days.is_empty())
            .then(|| format!("the clocks change in {zone}, so windows have another length: {}", days.join(", ")))
    }

    /// Returns the windows that open once and have not closed at `at`.
    pub fn extra_from(&self, at: DateTime<Utc>) -> Vec<ExtraWindow> {
        self.extra.iter().filter(|extra| self.extra_window(extra).to > at).cloned().collect()
    }

    /// Returns the freezes that are not over at `at`.
    pub fn freezes_from(&self, at: DateTime<Utc>) -> Vec<Freeze> {
        self.freeze.iter().filter(|freeze| self.frozen(freeze).to > at).cloned().collect()
    }

    fn midnight(&self, day: NaiveDate) -> DateTime<Utc> {
        instant(self.timezone, day.and_time(NaiveTime::MIN), End::First)
    }

    fn day_of(&self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.timezone).date_naive()
    }

    fn frozen(&self, freeze: &Freeze) -> Interval {
        let after = freeze.to.succ_opt().unwrap_or(freeze.to);
        let to = instant(self.timezone, after.and_time(NaiveTime::MIN), End::Last);
        Interval { from: self.midnight(freeze.from), to }
    }

    fn extra_window(&self, extra: &ExtraWindow) -> Interval {
        Interval {
            from: instant(self.timezone, extra.from, End::First),
            to: instant(self.timezone, extra.to, End::Last),
        }
    }

    /// The weekly window that opens on `day`; `None` where there is none, or the clocks leave nothing of it.
    fn window_on(&self, day: NaiveDate) -> Option<Interval> {
        let window = self.window.as_ref().filter(|window| opens_on(window, day))?;
        let last = if window.to > window.from { day } else { day.succ_opt()? };
        let from = instant(self.timezone, day.and_time(window.from), End::First);
        let to = instant(self.timezone, last.and_time(window.to), End::Last);
        (from < to).then_some(Interval { from, to })
    }

    /// When the window, or the windows without a break between them, in which `at` lies closes.
    fn windows_at(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.window.is_none() {
            // Extra windows add to windows. Without those it is always open.
            return Some(NEVER);
        }
        let mut until = at;
        loop {
            let day = self.day_of(until);
            let after = day.succ_opt()?.succ_opt()?;
            let weekly = days_from(day, after).filter_map(|day| self.window_on(day));
            let all = weekly.chain(self.extra.iter().map(|extra| self.extra_window(extra)));
            let further = all.filter(|window| window.contains(until)).map(|window| window.to).max();
            match further {
                Some(further) if further - at > TimeDelta::days(370) => return Some(NEVER),
                Some(further) => until = further,
                None => return (until > at).then_some(until),
            }
        }
    }
}

/// The days of a range, and the two before it, whose windows may reach into it.
fn days_from(from: NaiveDate, to: NaiveDate) -> impl Iterator<Item = NaiveDate> {
    let first = from.checked_sub_days(Days::new(2)).unwrap_or(from);
    first.iter_days().take_while(move |day| *day < to)
}

fn opens_on(window: &Window, day: NaiveDate) -> bool {
    window.days.iter().any(|of| of.is(day))
}

/// How long a window is where no clock changes.
fn usual(window: &Window) -> TimeDelta {
    let length = window.to - window.from;
    if length > TimeDelta::zero() { length } else { length + TimeDelta::days(1) }
}

#[cfg(test)]
mod tests;
