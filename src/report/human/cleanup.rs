//! What `crossfade cleanup` drops.

use super::{Look, plural, printable, said};
use crate::runner::Cleanup;

/// Returns what will be dropped, as lines.
pub(crate) fn cleanup(cleanup: &Cleanup, look: Look) -> String {
    let mut text = String::new();
    let logs = match cleanup.runs {
        0 => String::new(),
        runs => format!(", with the log of {}", plural(runs, "run")),
    };
    let database = printable(&cleanup.database);
    let first = format!("Everything of crossfade is removed from database {database}{logs}, in one transaction:");
    look.wrap(&mut text, ("", ""), &first);
    for statement in &cleanup.drops {
        look.statement(&mut text, ("  ", "      "), statement);
    }
    if !cleanup.copied.is_empty() {
        let runs = printable(&cleanup.copied.join(", "));
        let copy = format!(
            "Not ended in the database of which this one is a copy: {runs}. Here they cannot be continued afterwards; if this database \
             was made by pg_upgrade, do not go on, because it is the original now."
        );
        look.wrap(&mut text, ("", ""), &copy);
    }
    kept(&mut text, cleanup, look);
    text
}

/// Returns what was removed.
pub(crate) fn cleaned(cleanup: &Cleanup, look: Look) -> String {
    let mut text = String::new();
    let database = look.bold(&printable(&cleanup.database));
    let done = if cleanup.drops.is_empty() {
        format!("there is nothing of crossfade to remove from database {database}")
    } else {
        format!(
            "{} nothing of crossfade is left in database {database}{}",
            look.done(),
            if cleanup.kept.is_empty() { "" } else { ", but:" }
        )
    };
    look.wrap(&mut text, ("", "  "), &done);
    kept(&mut text, cleanup, look);
    text
}

fn kept(text: &mut String, cleanup: &Cleanup, look: Look) {
    for kept in &cleanup.kept {
        look.wrap(text, ("  - ", "    "), &printable(kept));
    }
}

/// Returns that somebody has dropped the ledger in mid-run.
pub(crate) fn lost_ledger(look: Look) -> String {
    let sentence = "there is no ledger in this database, but objects of a run are left in its tables: somebody has dropped crossfade's schema \
                    in the middle of a run. The sync trigger went with it, so what applications write to one column does not reach the other. \
                    What is left and goes is shown first, and columns with values stay";
    said(sentence, "crossfade cleanup", look)
}
