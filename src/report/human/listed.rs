//! The runs of a ledger: their states, and a list of all that there were.

use std::fmt::Write as _;

use chrono_tz::Tz;

use super::{Look, NO_BREAK, next, number, pace, plural, printable};
use crate::ledger::Listed;
use crate::lines::command;
use crate::report::words;
use crate::view::{PartitionsView, RunView};

/// What is typed first where there are no runs.
pub(crate) const FIRST: &str = "crossfade new";

/// Returns that there are no runs.
pub(crate) fn no_runs(look: Look) -> String {
    let mut text = String::new();
    look.wrap(&mut text, ("", "  "), "there are no runs in this database yet");
    next(&mut text, &[(FIRST.to_owned(), "writes a plan for a column".to_owned())], look);
    text
}

/// The longest name that has a column of the table.
const LONGEST_NAME: usize = 40;

/// Returns the states of several runs, one per line, and below it what the run waits for.
pub(crate) fn statuses(all: &[RunView], look: Look) -> String {
    if all.is_empty() {
        return no_runs(look);
    }
    let width = all.iter().map(|status| status.name.len()).max().unwrap_or(0).clamp(4, LONGEST_NAME);
    let head = format!("{:<width$}  {:<9} {:<12} {}", "NAME", "PHASE", "STATE", "ROWS");
    let mut text = format!("{}\n", look.dim(&head));
    for status in all {
        // A longer name has a line of its own.
        let name = if status.name.len() > width {
            let _ = writeln!(text, "{}", status.name);
            ""
        } else {
            &status.name
        };
        let first = format!("{name:<width$}  {:<9} {:<12} ", status.phase, status.state);
        let progress = &status.progress;
        let rows = match progress.rows_percent {
            Some(percent) if percent < 100 => {
                let in_partitions = status.partitions.as_ref().map(some_of).unwrap_or_default();
                format!("{percent}{NO_BREAK}%{in_partitions}{}", pace(progress))
            }
            _ => number(progress.rows_total),
        };
        look.wrap(&mut text, (&first, "    "), &rows);
        if let Some(part) = &status.part {
            look.wrap(&mut text, ("    waits for ", "      "), &format!("its part {}", printable(part)));
        } else if let Some(waiting) = status.waiting_for.as_ref().filter(|waiting| !waiting.is_command()) {
            let how = if waiting.is_failure() { "    failed: " } else { "    waits for " };
            look.wrap(&mut text, (how, "      "), &words::in_short(waiting, status.zone));
        } else if status.waiting_for.is_some()
            && let Some((what, _)) = words::next_of(status).first()
        {
            look.wrap(&mut text, ("    next: ", "      "), &command(what));
        }
        if let Some(overdue) = words::tick_overdue(status) {
            look.wrap(&mut text, ("    next tick ", "      "), &overdue);
        }
    }
    text
}

/// Returns in how many partitions every row is filled, to stand behind a share.
fn some_of(of: &PartitionsView) -> String {
    format!(", {} of {} {}", number(of.filled), number(of.total), of.kind.plural())
}

/// Returns the latest runs, each in two sentences.
pub(crate) fn listed(listed: &Listed, look: Look) -> String {
    let Some(first) = listed.runs.first() else {
        return no_runs(look);
    };
    let mut text = String::new();
    for run in &listed.runs {
        let state = printable(&run.state.replace('_', " "));
        let line = format!(
            "{}: {}, {}, {state}",
            look.bold(&printable(&run.name)),
            printable(&run.table),
            printable(&run.phase)
        );
        look.wrap(&mut text, ("", "    "), &line);
        let (from, to) = (words::time(run.created_at, Tz::UTC), words::time(run.last_at, Tz::UTC));
        let who = printable(&run.created_by);
        let when = format!("from {from} (role {who}) to {to}, {}", plural(run.entries, "line"));
        look.wrap(&mut text, ("    ", "      "), &when);
    }
    if listed.older > 0 {
        let more = format!("and {} older: --limit shows more", number(listed.older));
        look.wrap(&mut text, ("", "  "), &more);
    }
    next(&mut text, &[(format!("crossfade history {}", first.name), String::new())], look);
    text
}
