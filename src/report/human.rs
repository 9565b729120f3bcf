//! Results as text for people: short lines, always with the next command.

mod amounts;
mod demo;
mod estimates;
mod preview;

pub(crate) use amounts::{bytes, duration, number, plural, rate};
pub(crate) use demo::{Demo, demo};
pub(crate) use estimates::{compared, range};
pub(crate) use preview::{changes, one_finding, preview, stored};

use std::fmt::Write as _;

use super::look::{Look, printable};
use super::words;
use crate::ledger::LoggedEntry;
use crate::run::{Entry, HoldTime, Outcome, Progress, Signal, Standing};
use crate::runner::{Finish, Joined};
use crate::view::RunView;

/// Returns what a call that moves a run has done, and what to do next.
pub(crate) fn finish(finish: &Finish, look: Look) -> String {
    let name = look.bold(&finish.name);
    let did = match finish.did.as_slice() {
        [] => String::new(),
        phases => format!(" ({} done)", phases.iter().map(|phase| phase.as_str()).collect::<Vec<_>>().join(", ")),
    };
    let mut text = match finish.state {
        Standing::Done => format!("{name} is {}{did}\n", look.green("done")),
        Standing::RolledBack => {
            let but =
                if finish.stays.is_empty() { String::new() } else { format!(", but {}", finish.stays.join(", ")) };
            format!(
                "{name} is rolled back; the table's columns, indexes and constraints are as before the run{}\n",
                printable(&but)
            )
        }
        state if finish.did.is_empty() => format!("{name} is in {}, {state}\n", finish.phase),
        _ => format!("{name} continues with {}{did}\n", finish.phase),
    };
    // A reason that only repeats the next command is left out.
    if let Some(waiting) = finish.waiting_for.as_ref().filter(|waiting| !waiting.is_command()) {
        let _ = writeln!(text, "  waits for {}", words::waiting_for(waiting, &finish.name));
    }
    next_command(&mut text, &finish.name, finish.state);
    text
}

/// Returns what a rollback will drop.
pub(crate) fn drops(name: &str, drops: &[String]) -> String {
    let mut text = format!("rolling back {name} will run, among others:");
    for statement in drops {
        let _ = write!(text, "\n  {}", printable(statement));
    }
    text
}

/// Returns the result of joining a backfill.
pub(crate) fn joined(joined: &Joined, look: Look) -> String {
    let name = look.bold(&joined.name);
    let here = match joined.rows {
        0 => "there was nothing left to fill".to_owned(),
        rows => format!("this process filled {}", plural(rows, "row")),
    };
    format!("{name}: the backfill is {}; {here}\n  next: crossfade status {}\n", look.green("done"), joined.name)
}

fn next_command(text: &mut String, name: &str, state: Standing) {
    let next = match state {
        Standing::Done | Standing::RolledBack => format!("crossfade history {name}"),
        Standing::Paused => format!("crossfade resume {name}"),
        Standing::Failed | Standing::Drifted => {
            format!("crossfade history {name}, then crossfade advance {name} or crossfade rollback {name}")
        }
        Standing::RollingBack => format!("crossfade rollback {name}"),
        Standing::Running | Standing::Waiting => format!("crossfade advance {name}"),
    };
    let _ = writeln!(text, "  next: {next}");
}

/// Returns the state of a run.
pub(crate) fn status(status: &RunView, look: Look) -> String {
    let state = state(status.state, look);
    let mut text = format!("{}   {}, {state}\n", look.bold(&status.name), status.phase);
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<10} {value}");
    };
    if let Some(waiting) = status.waiting_for.as_ref().filter(|waiting| !waiting.is_command()) {
        row("waits for", words::waiting_for(waiting, &status.name));
    }
    if let Some(holder) = &status.holder {
        row("worker", printable(holder));
    }
    for peer in &status.joined {
        row("joined", format!("{}, {}", printable(&peer.holder), plural(peer.rows, "row")));
    }
    if status.progress.rows_percent.is_some() {
        row("rows", rows(&status.progress));
    }
    for (at, line) in status.filled.iter().flat_map(|f| compared(f, status.predicted.as_ref())).enumerate() {
        row(if at == 0 { "backfill" } else { "" }, line);
    }
    if let Some(pace) = &status.pace {
        if let Some(level) = &pace.slowed_by {
            row("pace", format!("slowed to {:.0} %: {}", pace.speed * 100.0, words::slowed(level)));
        }
        let told = pace.slowed_by.is_some_and(|level| level.signal == Signal::GoalLatency);
        if let Some(latency) = pace.latency_seconds.filter(|_| !told) {
            let limit = |goal| format!(", the goal is {}", Signal::GoalLatency.format(goal));
            let goal = pace.goal_latency_seconds.map(limit).unwrap_or_default();
            row("latency", format!("{} (nine of ten probes){goal}", Signal::GoalLatency.format(latency)));
        }
    }
    for (how, what) in status.holds.iter().flat_map(hold_times) {
        row(how, what);
    }
    if status.compares {
        equality(status, row);
    }
    if status.holder.is_some() {
        let _ = writeln!(text, "  next: crossfade status {} --watch", status.name);
    } else {
        next_command(&mut text, &status.name, status.state);
    }
    text
}

/// Returns the lines about two columns that are kept equal.
fn equality(status: &RunView, mut row: impl FnMut(&str, String)) {
    let quiet = status.old_quiet_seconds.filter(|_| status.old_column_write_seconds > 0);
    let quiet =
        quiet.map(|seconds| format!(" (the last one seen {} ago)", duration(as_f64(seconds)))).unwrap_or_default();
    let (old, new) = (number(status.old_column_write_seconds), number(status.new_column_write_seconds));
    row("written", format!("the old column in {old} seconds{quiet}, the new one in {new}"));
    if status.conflicts > 0 {
        row(
            "conflicts",
            format!("in {} statements set both columns to different values", plural(status.conflicts, "second")),
        );
    }
    match (status.mismatches, status.verified_at) {
        (None, _) => row("verified", "not yet".to_owned()),
        (Some(mismatches), at) => {
            let found = if mismatches == 0 {
                "all rows equal".to_owned()
            } else {
                format!("{} not equal", plural(mismatches, "row"))
            };
            let at = at.map(|at| format!(" at {}", at.format("%Y-%m-%d %H:%M:%S UTC"))).unwrap_or_default();
            row("verified", format!("{found}{at}"));
        }
    }
}

/// Returns what one signal cost: `held`, `12 s for replica lag (3 times, at worst 14.0 s of 10.0 s)`; the same with
/// `slowed`; or both.
pub(crate) fn hold_times(hold: &HoldTime) -> Vec<(&'static str, String)> {
    let signal = hold.signal.signal();
    let name = words::cause(hold.signal);
    let worst = match (signal, hold.worst, hold.limit) {
        (Some(Signal::Wraparound) | None, _, _) | (_, None, _) | (_, _, None) => None,
        (Some(signal), Some(worst), Some(limit)) => {
            Some(format!("at worst {} of {}", signal.format(worst), signal.format(limit)))
        }
    };
    let mut lines = Vec::new();
    if hold.times > 0 {
        let times: Vec<_> = [Some(plural(hold.times, "time")), worst.clone()].into_iter().flatten().collect();
        lines.push(("held", format!("{} for {name} ({})", duration(hold.seconds), times.join(", "))));
    }
    // A very short time is not worth a line.
    if hold.slowed_seconds >= 0.5 {
        let worst = worst.filter(|_| hold.times == 0).map(|worst| format!(" ({worst})")).unwrap_or_default();
        lines.push(("slowed", format!("{} for {name}{worst}", duration(hold.slowed_seconds))));
    }
    lines
}

fn rows(progress: &Progress) -> String {
    let mut text = format!("{} of {}", number(progress.rows_done), number(progress.rows_total));
    if let Some(percent) = progress.rows_percent {
        let _ = write!(text, " ({percent} %)");
    }
    if progress.rows_per_second > 0.0 {
        let _ = write!(text, ", {}", rate(progress.rows_per_second));
    }
    if let Some(eta) = progress.eta_seconds {
        let _ = write!(text, ", {} to go", duration(eta));
    }
    text
}

fn state(state: Standing, look: Look) -> String {
    let word = state.to_string();
    match state {
        Standing::Done => look.green(&word),
        Standing::Failed | Standing::Drifted => look.red(&word),
        Standing::Paused | Standing::Waiting => look.yellow(&word),
        Standing::Running | Standing::RollingBack | Standing::RolledBack => word,
    }
}

/// Returns the states of several runs, one per line.
pub(crate) fn statuses(all: &[RunView], look: Look) -> String {
    if all.is_empty() {
        return "there are no runs in this database yet\n  next: crossfade plan PLAN\n".to_owned();
    }
    let width = all.iter().map(|status| status.name.len()).max().unwrap_or(0).max(4);
    let head = format!("{:<width$}  {:<9} {:<12} {}", "NAME", "PHASE", "STATE", "ROWS");
    let mut text = format!("{}\n", look.dim(&head));
    for status in all {
        let _ = write!(
            text,
            "{:<width$}  {:<9} {:<12} {}",
            status.name,
            status.phase,
            status.state,
            rows(&status.progress)
        );
        if let Some(waiting) = &status.waiting_for {
            let _ = write!(text, "; waits for {}", words::waiting_for(waiting, &status.name));
        }
        text.push('\n');
    }
    text
}

/// Returns what a check of all rows found.
pub(crate) fn outcome(name: &str, outcome: &Outcome, repaired: bool, look: Look) -> String {
    let counts = &outcome.counts;
    let took = duration(outcome.seconds);
    let mut text = String::new();
    if outcome.is_clean() {
        let _ = writeln!(
            text,
            "{} {}: {} compared in {took}, all equal",
            look.done(),
            look.bold(name),
            plural(counts.rows, "row")
        );
    } else {
        let wrong = plural(counts.mismatches(), "row");
        let _ = writeln!(
            text,
            "{} {}: {wrong} of {} not equal ({took})",
            look.failed(),
            look.bold(name),
            number(counts.rows)
        );
        let _ = writeln!(
            text,
            "  {} empty, {} different, {} that do not convert",
            number(counts.empty),
            number(counts.different),
            number(counts.unconverted)
        );
        text.push_str(&keys(outcome));
    }
    if counts.only_new > 0 {
        let _ = writeln!(
            text,
            "  {} exist only in the new column: a rollback would lose them",
            plural(counts.only_new, "value")
        );
    }
    if outcome.counts.unconverted > 0 {
        let advice = "values that do not convert cannot be repaired from either side: UPDATE the old column of those rows to \
                      values that do";
        super::look::wrap(&mut text, ("  next: ", "        "), advice);
    } else if !outcome.is_clean() && !repaired {
        let _ = writeln!(
            text,
            "  next: look at these rows, then run crossfade verify {name} --repair old (or new: the side that is right)"
        );
    }
    text
}

/// Returns the keys of rows that are not equal, one per line.
pub(crate) fn keys(outcome: &Outcome) -> String {
    let mut text = String::new();
    for key in &outcome.keys {
        let parts: Vec<_> =
            key.key.as_object().into_iter().flatten().map(|(column, value)| key_part(column, value)).collect();
        let parts = if parts.is_empty() { key.key.to_string() } else { parts.join(", ") };
        let value = key.value.as_ref().map(|value| format!(": '{value}'")).unwrap_or_default();
        let _ = writeln!(text, "    {:<11} {}", key.class, printable(&format!("{parts}{value}")));
    }
    let more = outcome.counts.mismatches() - i64::try_from(outcome.keys.len()).unwrap_or(i64::MAX);
    if more > 0 && !outcome.keys.is_empty() {
        let _ = writeln!(text, "    and {} more", number(more));
    }
    text
}

fn key_part(column: &str, value: &serde_json::Value) -> String {
    match value.as_str() {
        Some(value) => format!("{column} = {value}"),
        None => format!("{column} = {value}"),
    }
}

/// Returns the log of a run.
pub(crate) fn history(log: &[LoggedEntry], look: Look) -> String {
    let mut text = String::new();
    for line in log {
        let at = line.at.format("%Y-%m-%d %H:%M:%S");
        let _ = writeln!(
            text,
            "{} {:<9} {}  {}",
            look.dim(&at.to_string()),
            line.phase,
            entry(&line.entry, look),
            look.dim(&printable(&line.actor))
        );
    }
    text
}

fn entry(entry: &Entry, look: Look) -> String {
    match entry {
        Entry::Registered => "the run was registered".to_owned(),
        Entry::StepStarted { step } => format!("{step} started"),
        Entry::StepDone { step, adopted: false } => format!("{step} {}", look.done()),
        Entry::StepDone { step, adopted: true } => format!("{step} {} (was already done)", look.done()),
        Entry::StepFailed { step, error } => format!("{step} {}: {}", look.failed(), printable(error)),
        Entry::PhaseDone { phase } => look.bold(&format!("{phase} is done")),
        Entry::UndoStarted { to: None } => "rolling everything back".to_owned(),
        Entry::UndoStarted { to: Some(phase) } => format!("rolling back to the end of {phase}"),
        Entry::StepUndone { step } => format!("{step} undone"),
        Entry::UndoDone => "rollback finished".to_owned(),
        Entry::Paused => "paused".to_owned(),
        Entry::Resumed => "resumed".to_owned(),
        Entry::Interrupted => "stopped by a signal".to_owned(),
        Entry::LockWait { step, blockers } => {
            let who = if blockers.is_empty() { "somebody".to_owned() } else { printable(&blockers.join("; ")) };
            format!("{step} waits for a lock of {who}")
        }
        Entry::Blocked { reason, .. } => printable(reason),
        Entry::Joined => "joined the backfill".to_owned(),
        Entry::Left { rows } => format!("left the backfill after filling {}", plural(*rows, "row")),
        Entry::Removed { holder } => {
            format!("{} has stopped; its pages were taken over", printable(holder))
        }
        Entry::ClockSetBack { seconds } => format!("the server's clock was set back by {seconds} s or more"),
        Entry::Tuned { key, value } => format!("{} set to {}", printable(key), printable(value)),
        Entry::Filled(filled) => estimates::filled(filled),
        Entry::Verified { counts } if counts.mismatches() == 0 => {
            format!("{} compared, all equal", plural(counts.rows, "row"))
        }
        Entry::Verified { counts } => {
            format!("{} of {} not equal", plural(counts.mismatches(), "row"), number(counts.rows))
        }
        Entry::Repaired { winner, rows } => {
            let side = match winner {
                crate::run::Side::Old => "old",
                crate::run::Side::New => "new",
            };
            format!("{} repaired from the {side} column", plural(*rows, "row"))
        }
        Entry::Replanned { changes, .. } => format!("followed: {}", printable(&changes.join("; "))),
        Entry::Surrounded { triggers } => {
            format!("put the sync trigger around new triggers of the table: {}", printable(&triggers.join(", ")))
        }
        Entry::Drifted { facts } => format!("{}: {}", look.red("drifted"), printable(&facts.join("; "))),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn as_f64(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
