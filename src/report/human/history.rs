//! The logs of runs.

use std::fmt::Write as _;

use chrono_tz::Tz;

use super::entry;
use crate::ledger::LoggedEntry;
use crate::report::look::{Look, printable};
use crate::report::words;

/// A log, and the zone in which its times are shown.
pub(crate) type Told = (Vec<LoggedEntry>, Tz);

/// Returns the logs of all runs of a name, oldest first, and those of their parts, each with what it is called. On a terminal, who did
/// something stands below the first line of what he did; elsewhere each line says it, for `grep`.
pub(crate) fn history(attempts: &[Told], parts: &[(String, Told)], look: Look) -> String {
    let mut text = String::new();
    for (number, log) in attempts.iter().enumerate() {
        if attempts.len() > 1 {
            let which = format!("run {} of {}", number + 1, attempts.len());
            let _ = writeln!(text, "{}{}", if number == 0 { "" } else { "\n" }, look.bold(&which));
        }
        one(&mut text, log, look);
    }
    for (name, log) in parts {
        let _ = writeln!(text, "\n{}", look.bold(&format!("its part {}", printable(name))));
        one(&mut text, log, look);
    }
    text
}

fn one(text: &mut String, (log, zone): &Told, look: Look) {
    let each = look.columns == Look::ENDLESS;
    let mut last = None;
    for line in log {
        let at = words::time(line.at, *zone);
        let indent = " ".repeat(at.len() + 2);
        let (what, actor) = (entry(&line.entry, *zone, look), format!("by {}", printable(&line.actor.to_string())));
        if each {
            let _ = writeln!(text, "{at}  {what}  {}", look.dim(&actor));
            continue;
        }
        look.wrap(text, (&format!("{}  ", look.dim(&at)), &indent), &what);
        if last.replace(&line.actor) != Some(&line.actor) {
            look.wrap(text, (&indent, &format!("{indent}   ")), &look.dim(&actor));
        }
    }
    if let Some(line) = log.last() {
        let _ = writeln!(text, "head {}", printable(&line.head.to_string()));
    }
}
