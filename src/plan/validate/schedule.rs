//! Dates, times and weeks of a plan.

use std::time::Duration;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use super::{Code, Validator, suggest};
use crate::phase::Phase;
use crate::plan::calendar::MOMENT;
use crate::plan::file::{ExtraWindowFile, FreezeFile, NotBeforeFile, ScheduleFile, SoakFile, WeeklyFile, WindowFile};
use crate::plan::settings::duration;
use crate::plan::{BuildIndexes, ExtraWindow, Freeze, Schedule, Window};

impl Validator<'_> {
    pub(super) fn schedule(&mut self, file: &ScheduleFile, build: BuildIndexes) -> Option<Schedule> {
        let timezone = file.timezone.as_deref().and_then(|text| self.timezone(text));
        let start = file.start.as_deref().and_then(|text| self.date("/schedule/start", text));
        let window = file.window.as_ref().map(|window| self.window(window));
        let weekly = file.weekly.as_ref().map(|weekly| self.weekly(weekly, build)).unwrap_or_default();
        let extras = file.extra.iter().flatten().enumerate();
        let extra = extras.map(|(index, extra)| self.extra_window(index, extra)).collect::<Vec<_>>();
        if file.window.is_none() && !extra.is_empty() {
            let message = "`extra` has no effect: without `window`, work may be done at any time";
            self.report(Code::NoEffect, self.places.key("/schedule/extra"), message, "remove it, or add `window`");
        }
        let not_before = file.not_before.as_ref().map(|file| self.not_before(file)).unwrap_or_default();
        let soak = file.soak.as_ref().map(|file| self.soak(file)).unwrap_or_default();
        let freezes = file.freeze.iter().flatten().enumerate();
        let freeze = freezes.map(|(index, freeze)| self.freeze(index, freeze)).collect::<Vec<_>>();
        Some(Schedule {
            timezone: timezone?,
            start: start?,
            window: window.flatten(),
            extra: extra.into_iter().flatten().collect(),
            weekly,
            not_before,
            soak,
            freeze: freeze.into_iter().flatten().collect(),
        })
    }

    fn timezone(&mut self, text: &str) -> Option<chrono_tz::Tz> {
        if let Ok(zone) = text.parse() {
            return Some(zone);
        }
        let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let help = match suggest::nearest(text, names) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "expected a name such as `America/New_York`, `Europe/Berlin` or `UTC`".to_owned(),
        };
        let span = self.places.value("/schedule/timezone");
        self.report(Code::UnknownTimezone, span, format!("there is no time zone `{text}`"), help);
        None
    }

    fn date(&mut self, at: &str, text: &str) -> Option<NaiveDate> {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        // chrono also reads 2027-1-5, which editors and people sort wrongly.
        if date.is_some_and(|date| date.to_string() == text) {
            return date;
        }
        let help = match date {
            Some(date) => format!("write `{date}`"),
            None => "expected year-month-day, as in 2027-01-05".to_owned(),
        };
        self.report(Code::BadDate, self.places.value(at), format!("`{text}` is not a date"), help);
        None
    }

    fn time(&mut self, at: &str, text: &str) -> Option<NaiveTime> {
        let time = NaiveTime::parse_from_str(text, "%H:%M").ok();
        if time.is_some_and(|time| time.format("%H:%M").to_string() == text) {
            return time;
        }
        let help = match time {
            Some(time) => format!("write `\"{}\"`", time.format("%H:%M")),
            None if text == "24:00" => "write `\"00:00\"` for midnight".to_owned(),
            None => "expected hours and minutes from \"00:00\" to \"23:59\"".to_owned(),
        };
        self.report(Code::BadTime, self.places.value(at), format!("`{text}` is not a time of day"), help);
        None
    }

    fn window(&mut self, file: &WindowFile) -> Option<Window> {
        let days = file.days.clone();
        let names: Vec<String> = days.iter().flatten().map(|day| format!("{day:?}").to_lowercase()).collect();
        self.no_duplicates("/schedule/window/days", &names);
        let from = file.from.as_deref().and_then(|text| self.time("/schedule/window/from", text));
        let to = file.to.as_deref().and_then(|text| self.time("/schedule/window/to", text));
        let (from, to) = (from?, to?);
        if from == to {
            let span = self.places.value("/schedule/window/to");
            let message = format!("a window from {0} to {0} is empty", from.format("%H:%M"));
            self.report(Code::EmptyWindow, span, message, "leave `window` out for no restriction");
        }
        Some(Window { days: days?, from, to })
    }

    fn weekly(&mut self, file: &WeeklyFile, build: BuildIndexes) -> Vec<(Phase, u16)> {
        let mut phases = Phase::ALL;
        if build == BuildIndexes::AfterBackfill {
            phases.swap(1, 2);
        }
        let mut weeks: Vec<(Phase, u16)> = Vec::new();
        for phase in phases {
            let Some(week) = file.week(phase) else { continue };
            if let Some((earlier, due)) = weeks.iter().copied().find(|(_, due)| *due > week) {
                let span = self.places.value(&format!("/schedule/weekly/{phase}"));
                let message = format!("`{phase}` is due in week {week}, before `{earlier}` in week {due}");
                self.report(Code::WeeksBackwards, span, message, format!("`{phase}` comes after `{earlier}`"));
            }
            weeks.push((phase, week));
        }
        weeks
    }

    fn not_before(&mut self, file: &NotBeforeFile) -> Vec<(Phase, NaiveDate)> {
        let date =
            |phase: Phase| Some((phase, self.date(&format!("/schedule/not_before/{phase}"), file.date(phase)?)?));
        Phase::ALL.into_iter().filter_map(date).collect()
    }

    fn soak(&mut self, file: &SoakFile) -> Vec<(Phase, Duration)> {
        let mut soak = Vec::new();
        for phase in Phase::ALL {
            let Some(text) = file.time(phase) else { continue };
            match duration(text) {
                Ok(time) => soak.push((phase, time)),
                Err(wrong) => {
                    let span = self.places.value(&format!("/schedule/soak/{phase}"));
                    self.report(wrong.code, span, wrong.message, wrong.help);
                }
            }
        }
        soak
    }

    fn extra_window(&mut self, index: usize, file: &ExtraWindowFile) -> Option<ExtraWindow> {
        let at = format!("/schedule/extra/{index}");
        let from = file.from.as_deref().and_then(|text| self.moment(&format!("{at}/from"), text));
        let to = file.to.as_deref().and_then(|text| self.moment(&format!("{at}/to"), text));
        let (from, to) = (from?, to?);
        if from >= to {
            let span = self.places.value(&format!("{at}/to"));
            let message = format!("the window closes at {}, before it opens", to.format(MOMENT));
            self.report(Code::EmptyWindow, span, message, "give it a later end");
        }
        Some(ExtraWindow { from, to, why: file.why.clone()? })
    }

    fn moment(&mut self, at: &str, text: &str) -> Option<NaiveDateTime> {
        let moment = NaiveDateTime::parse_from_str(text, MOMENT).ok();
        if moment.is_some_and(|moment| moment.format(MOMENT).to_string() == text) {
            return moment;
        }
        let help = match moment {
            Some(moment) => format!("write `{}`", moment.format(MOMENT)),
            None => "expected a day and a time, as in 2027-02-06 22:00".to_owned(),
        };
        self.report(Code::BadDate, self.places.value(at), format!("`{text}` is not a date with a time"), help);
        None
    }

    fn freeze(&mut self, index: usize, file: &FreezeFile) -> Option<Freeze> {
        let at = format!("/schedule/freeze/{index}");
        let from = file.from.as_deref().and_then(|text| self.date(&format!("{at}/from"), text));
        let to = file.to.as_deref().and_then(|text| self.date(&format!("{at}/to"), text));
        let (from, to) = (from?, to?);
        if from > to {
            let span = self.places.value(&format!("{at}/to"));
            self.report(
                Code::FreezeBackwards,
                span,
                format!("the freeze ends on {to}, before it begins"),
                "swap the two dates",
            );
        }
        Some(Freeze { from, to, why: file.why.clone()? })
    }
}
