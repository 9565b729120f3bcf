//! Dates, times and weeks of a plan.

use chrono::{NaiveDate, NaiveTime};

use super::{Code, Validator, suggest};
use crate::phase::Phase;
use crate::plan::file::{FreezeFile, ScheduleFile, WeeklyFile, WindowFile};
use crate::plan::{BuildIndexes, Freeze, Schedule, Window};

impl Validator<'_> {
    pub(super) fn schedule(&mut self, file: &ScheduleFile, build: BuildIndexes) -> Option<Schedule> {
        let timezone = file.timezone.as_deref().and_then(|text| self.timezone(text));
        let start = file.start.as_deref().and_then(|text| self.date("/schedule/start", text));
        let window = file.window.as_ref().map(|window| self.window(window));
        let weekly = file.weekly.as_ref().map(|weekly| self.weekly(weekly, build)).unwrap_or_default();
        let freezes = file.freeze.iter().flatten().enumerate();
        let freeze = freezes.map(|(index, freeze)| self.freeze(index, freeze)).collect::<Vec<_>>();
        Some(Schedule {
            timezone: timezone?,
            start: start?,
            window: window.flatten(),
            weekly,
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
