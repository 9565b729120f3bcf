//! The dates of a run as text.

use super::super::look::{Look, printable};
use super::super::words;
use super::{NO_BREAK, next, state};
use crate::plan::calendar::in_zone;
use crate::run::Standing;
use crate::view::{PhaseDates, Timetable};

/// Returns the dates of a run.
pub(crate) fn timetable(dates: &Timetable, look: Look) -> String {
    let mut text = format!("{}   {}\n", look.bold(&dates.name), state(dates.state, look));
    let zone = dates.zone.unwrap_or(chrono_tz::UTC);
    for of in &dates.phases {
        let first = format!("  {:<9} ", of.phase.as_str());
        look.wrap(&mut text, (&first, "            "), &date(of, dates, zone, look));
    }
    let mut row = |first: &str, rest: &str| look.wrap(&mut text, (&format!("  {first:<9} "), "            "), rest);
    if let Some(window) = &dates.window {
        let days: Vec<_> = window.days.iter().map(|day| day.as_str()).collect();
        let time = |time: chrono::NaiveTime| time.format("%H:%M").to_string();
        row("window", &format!("{} from {} to {} ({zone})", days.join(", "), time(window.from), time(window.to)));
    }
    for extra in &dates.extra {
        let at = |at: chrono::NaiveDateTime| at.format("%Y-%m-%d %H:%M").to_string();
        row("once", &format!("{} to {} ({zone}): {}", at(extra.from), at(extra.to), printable(&extra.why)));
    }
    for freeze in &dates.freezes {
        row("frozen", &format!("{} to {} ({zone}): {}", freeze.from, freeze.to, printable(&freeze.why)));
    }
    let waiting = dates.waiting_for.as_ref();
    if let Some(waiting) = waiting.filter(|waiting| !waiting.is_command()) {
        let how = if waiting.is_failure() { "  failed: " } else { "  waits for " };
        look.wrap(&mut text, (how, "    "), &words::in_short(waiting, zone));
    }
    let mut commands = words::next((&dates.name, zone), dates.state, waiting, dates.state == Standing::Running);
    // These are all dates.
    commands.retain(|(command, _)| !command.starts_with("crossfade schedule "));
    next(&mut text, &commands, look);
    text
}

fn date(of: &PhaseDates, dates: &Timetable, zone: chrono_tz::Tz, look: Look) -> String {
    let at = |at| in_zone(at, zone).replace(' ', &NO_BREAK.to_string());
    match (of.done, of.due, of.opens) {
        (Some(done), ..) => format!("{} {}", look.done(), at(done)),
        (_, Some(due), Some(opens)) if opens > dates.at => format!("from {} on ({})", at(opens), due.cause),
        (_, Some(_), Some(_)) => "from now on".to_owned(),
        (_, Some(due), None) => format!("never: it is due {}, and no window opens after that", at(due.at)),
        (_, None, _) if dates.state.is_over() => "not done".to_owned(),
        (_, None, _) if dates.zone.is_some() => "after that".to_owned(),
        (_, None, _) => "when somebody advances it: the plan has no schedule".to_owned(),
    }
}
