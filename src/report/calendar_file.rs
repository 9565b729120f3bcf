//! The dates of a run as a file for calendar programs (iCalendar, RFC 5545).

use chrono::TimeDelta;
use icalendar::{Calendar, Component as _, Event, EventLike as _};

use super::printable;
use crate::view::Timetable;

/// How long an event is shown.
const LENGTH: TimeDelta = TimeDelta::hours(1);

/// Returns one event a phase that has a date. An event has the same identity in every file of the run, and a sequence number
/// that only grows, so that programs replace what they have.
pub(crate) fn calendar_file(dates: &Timetable) -> String {
    let mut calendar = Calendar::new();
    calendar.name(&format!("crossfade {}", dates.name));
    for of in &dates.phases {
        let Some(at) = of.done.or(of.opens) else { continue };
        let (summary, about) = match (of.done, of.due) {
            (Some(_), _) => ("done", "It was done then.".to_owned()),
            (None, Some(due)) => ("from here on", format!("The earliest tick that may do it: {}.", due.cause)),
            (None, None) => continue,
        };
        let mut event = Event::new();
        event
            .uid(&format!("{}.{}@crossfade", dates.name, of.phase))
            .sequence(u32::try_from(dates.entries).unwrap_or(u32::MAX))
            .timestamp(dates.at)
            .summary(&printable(&format!("{}: {} {summary}", dates.name, of.phase)))
            .description(&about)
            .starts(at)
            .ends(at + LENGTH);
        calendar.push(event.done());
    }
    calendar.to_string()
}
