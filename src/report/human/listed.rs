//! The runs of a ledger, newest first.

use super::{Look, next, number, plural, printable};
use crate::ledger::Listed;
use crate::report::words;

/// Returns the latest runs, each in two sentences.
pub(crate) fn listed(listed: &Listed, look: Look) -> String {
    let Some(first) = listed.runs.first() else {
        return "there are no runs in this database yet\n  next: crossfade plan PLAN\n".to_owned();
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
        let (from, to) = (words::time(run.created_at), words::time(run.last_at));
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
