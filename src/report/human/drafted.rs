//! What a plan that was just written would do, in a few lines.

use super::super::look::{Look, printable};
use super::preview::{one_finding, shell_word};
use super::summary::cost;
use crate::catalog::Outline;
use crate::import::Trouble;
use crate::lines::command;
use crate::runner::Draft;

/// Returns what the reader of a plan should know of the file that it comes from.
pub(crate) fn noted(notes: &[String], look: Look) -> String {
    let mut text = String::new();
    for note in notes {
        look.wrap(&mut text, (&format!("  {}: ", look.yellow("note")), "    "), &printable(note));
    }
    text
}

/// Returns what in a migration does not become a plan, by its lines.
pub(crate) fn troubles(file: &str, troubles: &[Trouble], look: Look) -> String {
    let mut text = String::new();
    for Trouble { line, message, help } in troubles {
        look.wrap(&mut text, (&format!("  {}:{line}: ", printable(file)), "    "), &printable(message));
        look.wrap(&mut text, ("    help: ", "    "), &printable(help));
    }
    text
}

/// Returns where a plan is that was written without a look at a database, and what comes next.
pub(crate) fn unseen(file: Option<&str>, look: Look) -> String {
    let shown = file.map(shell_word);
    let wrote = shown.as_ref().map(|file| format!("The plan is in {file}. ")).unwrap_or_default();
    let next = command(&format!("crossfade plan {}", shown.as_deref().unwrap_or("PLAN")));
    let mut text = String::new();
    look.wrap(&mut text, ("", ""), &format!("{wrote}No database was looked at. Next, with one: {next}"));
    text
}

/// Returns what was found when the plan was tried. `file` is where it was written to; `keep` is the command that writes it to one.
pub(crate) fn drafted(file: Option<&str>, keep: Option<&str>, outline: &Outline, draft: &Draft, look: Look) -> String {
    let (preview, mut text) = (&draft.preview, String::new());
    if outline.by_path {
        let table = printable(&outline.table.to_string());
        look.wrap(
            &mut text,
            ("", "  "),
            &format!("table {}, the first of that name in the search_path", look.bold(&table)),
        );
    }
    for finding in &preview.refusals {
        text.push_str(&one_finding(&look.red("refused"), finding, look));
    }
    for finding in &preview.warnings {
        text.push_str(&one_finding(&look.yellow("warning"), finding, look));
    }
    for line in cost(preview) {
        look.wrap(&mut text, ("  ", "    "), &line);
    }
    let shown = file.map(shell_word);
    let plan = shown.as_deref().unwrap_or("PLAN");
    let wrote = shown.as_ref().map(|file| format!("The plan is in {file}. ")).unwrap_or_default();
    let next = if let Some(keep) = keep {
        format!("The plan is in no file yet: {}", command(&printable(keep)))
    } else if preview.refusals.is_empty() {
        format!("Next: {}", command(&format!("crossfade run {plan}")))
    } else {
        format!("Fix these problems, then run {}", command(&format!("crossfade plan {plan}")))
    };
    look.wrap(&mut text, ("", ""), &format!("{wrote}Nothing was changed in the database. {next}"));
    text
}
