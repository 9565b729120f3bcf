//! Results as text for people: short lines, always with the next command.

mod checked;
mod cleanup;
mod demo;
mod drafted;
mod estimates;
mod folder;
mod history;
mod inventory;
mod listed;
mod preview;
mod summary;
mod timetable;

pub(crate) use crate::amounts::{bytes, duration, number, plural, rate};
pub(crate) use checked::checked;
pub(crate) use cleanup::{cleaned, cleanup, lost_ledger};
pub(crate) use demo::{Demo, demo};
pub(crate) use drafted::{drafted, noted, troubles, unseen};
pub(crate) use estimates::{compared, percent, range, share};
pub(crate) use folder::folder;
pub(crate) use history::history;
pub(crate) use inventory::inventory;
#[cfg(feature = "serve")]
pub(crate) use listed::FIRST;
pub(crate) use listed::{listed, no_runs, statuses};
pub(crate) use preview::{changes, locks, one_finding, preview, purpose, shell_word, stored, time, way_back};
pub(crate) use summary::{cost, summary};
pub(crate) use timetable::timetable;

use std::fmt::Write as _;
use std::path::Path;

use chrono_tz::Tz;

use super::look::{Look, printable};
use super::words;
use crate::ledger::LastTick;
use crate::lines::{NO_BREAK, command};
use crate::run::{Entry, Evidence, HoldTime, MismatchKey, Outcome, Progress, Signal, Standing, WrittenBy};
use crate::runner::{Approved, Compared, Finish, Joined};
use crate::view::{PartView, PartitionsView, RunView};

/// Returns what a call that moves a run has done, and what to do next.
pub(crate) fn finish(finish: &Finish, look: Look) -> String {
    let name = look.bold(&finish.name);
    let did = match finish.did.as_slice() {
        [] => String::new(),
        phases => format!(" ({} done)", phases.iter().map(|phase| phase.as_str()).collect::<Vec<_>>().join(", ")),
    };
    let of = finish.part.as_ref().map(|part| format!(" of {}", printable(part))).unwrap_or_default();
    let said = match finish.state {
        Standing::Done => format!("{name} is {}{did}", look.green("done")),
        Standing::RolledBack => {
            let but =
                if finish.stays.is_empty() { String::new() } else { format!(", but {}", finish.stays.join(", ")) };
            format!(
                "{name} is rolled back; the table's columns, indexes and constraints are as before the run{}",
                printable(&but)
            )
        }
        state if finish.did.is_empty() => format!("{name} is in {}{of}, {state}", finish.phase),
        _ => format!("{name} is ready for {}{of}{did}", finish.phase),
    };
    let mut text = String::new();
    look.wrap(&mut text, ("", "  "), &said);
    let waiting = finish.waiting_for.as_ref();
    // A reason that only repeats the next command is left out.
    if let Some(waiting) = waiting.filter(|waiting| !waiting.is_command()) {
        look.wrap(&mut text, ("  waits for ", "    "), &words::waiting_for(waiting, finish.zone));
    }
    next(&mut text, &words::next((&finish.name, finish.zone), finish.state, waiting, false), look);
    text
}

/// Returns what a rollback will drop, as lines.
pub(crate) fn drops(name: &str, drops: &[String], look: Look) -> String {
    let mut text = String::new();
    let sentence = format!("Rolling back {name} drops what the run has made. It runs, among others:");
    look.wrap(&mut text, ("", ""), &sentence);
    for statement in drops {
        look.statement(&mut text, ("  ", "    "), statement);
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
    let sentence = format!("{name}: the backfill is {}; {here}", look.green("done"));
    said(&sentence, &format!("crossfade status {}", joined.name), look)
}

/// Returns what was approved, by whom and until when.
pub(crate) fn approved(name: &str, all: &[Approved], look: Look) -> String {
    let mut text = String::new();
    for approved in all {
        one_approved(&mut text, approved, look);
    }
    if all.len() > 1 {
        let later =
            "A table whose turn has not come is looked at again then. If that changes its SQL, its approval is void.";
        look.wrap(&mut text, ("", ""), later);
    }
    next(&mut text, &[(format!("crossfade status {name}"), String::new())], look);
    text
}

fn one_approved(text: &mut String, approved: &Approved, look: Look) {
    let (phase, person) = (approved.phase, printable(&approved.person));
    let until = words::time(approved.expires, approved.zone);
    let (name, role) = (look.bold(&approved.name), printable(&approved.role));
    let first = format!("{name}: {phase} is approved by {person} (role {role}) until {until}");
    look.wrap(text, ("", "  "), &first);
    for step in &approved.steps {
        look.wrap(text, ("  - ", "    "), &printable(step));
    }
    for warning in &approved.warnings {
        look.wrap(text, ("  known when it began: ", "    "), &printable(warning));
    }
    let of = format!("plan, SQL and warnings have the digest {}; a change of one voids the approval", approved.digest);
    look.wrap(text, ("  ", "  "), &of);
}

/// Returns that the report of a run was written.
pub(crate) fn written(name: &str, file: &Path, bytes: usize, look: Look) -> String {
    let mut text = String::new();
    let (name, file) = (look.bold(name), look.file(file));
    let size = self::bytes(i64::try_from(bytes).unwrap_or(i64::MAX));
    look.wrap(&mut text, ("", "  "), &format!("{name}: the report is in {file} ({size})"));
    text
}

/// Returns that the migration of a run was written, or was there already, and the command that applies it.
pub(crate) fn exported(name: &str, file: &Path, written: bool, apply: &str, look: Look) -> String {
    let file = printable(&file.display().to_string());
    let did = if written { "the migration is in" } else { "nothing to write: the migration is there already, in" };
    let when = "It does nothing where the run has ended, and fails while the run is under way.";
    said(&format!("{}: {did} {file}. {when}", look.bold(name)), apply, look)
}

/// Returns a sentence and the command that comes next.
pub(crate) fn said(sentence: &str, then: &str, look: Look) -> String {
    let mut text = String::new();
    look.wrap(&mut text, ("", "  "), sentence);
    next(&mut text, &[(then.to_owned(), String::new())], look);
    text
}

/// Writes what to type next, a line a command.
fn next(text: &mut String, next: &[words::Next], look: Look) {
    let width = next.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    for (at, (what, note)) in next.iter().enumerate() {
        let first = if at == 0 { "  next: " } else { "        " };
        let padded = if note.is_empty() { what.clone() } else { format!("{what:<width$} ") };
        look.wrap(text, (first, "          "), &format!("{} {note}", command(&padded)));
    }
}

/// Returns the state of a run.
pub(crate) fn status(status: &RunView, look: Look) -> String {
    let state = state(status.state, look);
    let mut text = format!("{}   {}, {state}\n", look.bold(&status.name), status.phase);
    let mut row = |name: &str, value: String| {
        look.wrap(&mut text, (&format!("  {name:<10} "), "             "), &value);
    };
    if let Some(waiting) = status.waiting_for.as_ref().filter(|waiting| !waiting.is_command()) {
        let what = printable(&status.of_part()) + &words::waiting_for(waiting, status.zone);
        row(if waiting.is_failure() { "failed" } else { "waits for" }, what);
    }
    for (at, reading) in status.gates.iter().enumerate() {
        let of = if at == 0 { printable(&status.of_part()) } else { String::new() };
        row(if at == 0 { "gates" } else { "" }, of + &words::reading(reading, status.zone, look));
    }
    if let Some(LastTick { host, seconds_ago, .. }) = &status.last_tick {
        let on = if host.is_empty() { String::new() } else { format!(" on {}", printable(host)) };
        row("last tick", format!("{} ago{on}", duration(*seconds_ago)));
    } else if status.scheduled && !status.state.is_over() {
        row("last tick", "none yet: call crossfade advance --all from a scheduler".to_owned());
    }
    if let Some(overdue) = words::tick_overdue(status) {
        row("next tick", overdue);
    }
    if let Some(holder) = &status.holder {
        row("worker", printable(holder));
    }
    if let Some(key) = &status.part_of {
        row("part of", printable(key));
    }
    for (at, part) in status.parts.iter().enumerate() {
        let is_its_turn = status.part.as_ref() == Some(&part.name);
        row(if at == 0 { "parts" } else { "" }, of_part(part, is_its_turn, look));
    }
    for peer in &status.joined {
        row("joined", format!("{}, {}", printable(&peer.holder), plural(peer.rows, "row")));
    }
    if status.progress.rows_percent.is_some() && status.state != Standing::RolledBack {
        row("rows", rows(&status.progress));
    }
    if let Some(partitions) = status.partitions.as_ref().filter(|of| of.filled < of.total) {
        row(partitions.kind.plural(), self::partitions(partitions));
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
    for (at, of) in status.undelivered.iter().enumerate() {
        row(if at == 0 { "not told" } else { "" }, words::undelivered(of));
    }
    if status.compares {
        equality(status, &mut row);
        text.push_str(&unequal((&status.unequal, status.zone), status.mismatches.unwrap_or(0), look));
    }
    let mut row = |name: &str, value: String| {
        look.wrap(&mut text, (&format!("  {name:<10} "), "             "), &value);
    };
    for (how, what) in status.evidence.iter().flat_map(|evidence| uses(evidence, status.zone)) {
        row(how, what);
    }
    for bypass in &status.bypassed {
        let (person, role, reason) = (printable(&bypass.person), printable(&bypass.role), printable(&bypass.reason));
        let what = look.red("the approval of");
        let at = words::time(bypass.at, status.zone);
        row("BYPASSED", format!("{what} {} by {person} (role {role}) on {at}: {reason}", bypass.phase));
    }
    if let Some(head) = &status.head {
        row("head", printable(&head.to_string()));
    }
    next(&mut text, &words::next_of(status), look);
    text
}

/// Returns where a part stands.
fn of_part(part: &PartView, is_its_turn: bool, look: Look) -> String {
    let (name, table) = (printable(&part.name), printable(&part.table));
    let percent = part.rows_percent.map(|percent| format!(", {percent}{NO_BREAK}% of its rows")).unwrap_or_default();
    let turn = if is_its_turn { " (its turn)" } else { "" };
    format!("{name} ({table}): {}, {}{percent}{turn}", part.phase, state(part.state, look))
}

/// How many of those who use a column have a line of their own.
const MOST_USES: usize = 5;

/// Returns the lines about who still uses the old column.
fn uses(evidence: &Evidence, zone: Tz) -> Vec<(&'static str, String)> {
    let Evidence { uses, lost, unseen } = evidence;
    let told = uses.iter().take(MOST_USES).map(|of| {
        let last = of.last.map(|at| format!(" (last {})", words::time(at, zone))).unwrap_or_default();
        printable(&format!("{}{last}", of.subject()))
    });
    let more = uses.len().saturating_sub(MOST_USES);
    let more = (more > 0).then(|| format!("and {more} more, which --format json lists"));
    let lost = lost.iter().map(|lost| format!("incomplete: {}", printable(lost)));
    let unseen = unseen.iter().map(|unseen| format!("not looked at: {}", printable(unseen)));
    let lines = told.chain(more).chain(lost).chain(unseen);
    lines.enumerate().map(|(at, line)| (if at == 0 { "used by" } else { "" }, line)).collect()
}

/// Returns the lines about two columns that are kept equal.
fn equality(status: &RunView, mut row: impl FnMut(&str, String)) {
    let quiet = status.old_quiet_seconds.filter(|_| status.old_column_write_seconds > 0);
    let quiet = quiet.map(|seconds| format!(" (last {} ago)", duration(as_f64(seconds)))).unwrap_or_default();
    let (old, new) = match (status.old_column_write_seconds, status.new_column_write_seconds) {
        (0, 0) => ("never".to_owned(), "never".to_owned()),
        (0, new) => ("never".to_owned(), format!("in {}", plural(new, "second"))),
        (old, 0) => (format!("in {}", plural(old, "second")), "never".to_owned()),
        (old, new) => (format!("in {}", plural(old, "second")), format!("in {}", number(new))),
    };
    // Nobody counts before the columns are there, nor of a run that was taken back.
    let counted =
        status.old_quiet_seconds.is_some() || status.old_column_write_seconds + status.new_column_write_seconds > 0;
    if counted {
        row("written", format!("the old column {old}{quiet}, the new one {new}"));
    }
    if status.conflicts > 0 {
        let seconds = plural(status.conflicts, "second");
        row("conflicts", format!("in {seconds}, statements set both columns to different values"));
    }
    match (status.mismatches, status.verified_at) {
        (None, _) if status.state.is_over() => row("verified", "never".to_owned()),
        (None, _) => row("verified", "not yet".to_owned()),
        (Some(mismatches), at) => {
            let found = if mismatches == 0 {
                "all rows equal".to_owned()
            } else {
                format!("{} not equal", plural(mismatches, "row"))
            };
            let at = at.map(|at| format!(" at {}", words::time(at, status.zone))).unwrap_or_default();
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
    text + &pace(progress)
}

/// Returns in how many partitions every row is filled, and which are filled now.
fn partitions(of: &PartitionsView) -> String {
    let mut now = String::new();
    if let Some((first, others)) = of.now.split_first() {
        let _ = write!(now, ", now {}", printable(first));
        if !others.is_empty() {
            let _ = write!(now, " and {} more", others.len());
        }
    }
    format!("{} of {} filled{now}", number(of.filled), number(of.total))
}

/// How fast it is and how long it takes, to stand after how far it is.
fn pace(progress: &Progress) -> String {
    let mut text = String::new();
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

/// Returns what the checks of all rows of a run and of its parts found.
pub(crate) fn outcomes(all: &[Compared], repaired: bool, look: Look) -> String {
    let mut text = String::new();
    for Compared { name, outcome, not_compared, zone } in all {
        if let Some(outcome) = outcome {
            text.push_str(&self::outcome((name, *zone), outcome, repaired, look));
        } else if let Some(why) = not_compared {
            look.wrap(&mut text, ("- ", "  "), &printable(why));
        }
    }
    text
}

/// Returns what a check of all rows found.
pub(crate) fn outcome((name, zone): (&str, Tz), outcome: &Outcome, repaired: bool, look: Look) -> String {
    let counts = &outcome.counts;
    let took = duration(outcome.seconds);
    let bold = look.bold(name);
    let mut text = String::new();
    if outcome.is_clean() {
        let rows = plural(counts.rows, "row");
        look.wrap(&mut text, ("", "  "), &format!("{} {bold}: {rows} compared in {took}, all equal", look.done()));
    } else {
        let (wrong, of) = (plural(counts.mismatches(), "row"), number(counts.rows));
        look.wrap(&mut text, ("", "  "), &format!("{} {bold}: {wrong} of {of} not equal ({took})", look.failed()));
        let _ = writeln!(
            text,
            "  {} empty, {} different, {} that do not convert",
            number(counts.empty),
            number(counts.different),
            number(counts.unconverted)
        );
        text.push_str(&unequal((&outcome.keys, zone), counts.mismatches(), look));
    }
    if counts.only_new > 0 {
        let values = plural(counts.only_new, "value");
        look.wrap(
            &mut text,
            ("  ", "  "),
            &format!("{values} exist only in the new column: a rollback would lose them"),
        );
    }
    if outcome.counts.unconverted > 0 {
        let advice = "values that do not convert cannot be repaired from either side: UPDATE the old column of those rows to \
                      values that do";
        look.wrap(&mut text, ("  next: ", "        "), advice);
    } else if !outcome.is_clean() && !repaired {
        let repair = format!("crossfade verify {name} --repair old");
        let note = "after a look at these rows (or new: the side that is right)".to_owned();
        next(&mut text, &[(repair, note)], look);
    }
    text
}

/// Returns the rows that are not equal, one per line, with times in a zone; `all` is how many there are.
pub(crate) fn unequal((named, zone): (&[MismatchKey], Tz), all: i64, look: Look) -> String {
    let mut text = String::new();
    for key in named {
        let parts: Vec<_> =
            key.key.as_object().into_iter().flatten().map(|(column, value)| key_part(column, value)).collect();
        let parts = if parts.is_empty() { key.key.to_string() } else { parts.join(", ") };
        let values: Vec<_> =
            key.values.as_object().into_iter().flatten().map(|(column, value)| shown(column, value)).collect();
        let values = if values.is_empty() { String::new() } else { format!(": {}", values.join(", ")) };
        let first = format!("    {:<11} ", key.class);
        let said = format!("{}; {}", printable(&format!("{parts}{values}")), words::written(&key.written, zone));
        look.wrap(&mut text, (&first, "                "), &said);
    }
    let more = all - i64::try_from(named.len()).unwrap_or(i64::MAX);
    if more > 0 && !named.is_empty() {
        let _ = writeln!(text, "    and {} more", number(more));
    }
    if named.iter().any(|key| key.written.by == Some(WrittenBy::PastTrigger)) {
        let why = "past the sync trigger: it did not fire (session_replication_role = replica, a subscription, DISABLE TRIGGER), or \
                   the conversion gave another value then";
        look.wrap(&mut text, ("    ", "      "), why);
    }
    text
}

fn shown(column: &str, value: &serde_json::Value) -> String {
    match value.as_str() {
        Some(value) => format!("{column} '{value}'"),
        None => format!("{column} NULL"),
    }
}

fn key_part(column: &str, value: &serde_json::Value) -> String {
    match value.as_str() {
        Some(value) => format!("{column} = {value}"),
        None => format!("{column} = {value}"),
    }
}

/// Returns what an entry of the log says, with times in a zone.
pub(super) fn entry(entry: &Entry, zone: Tz, look: Look) -> String {
    match entry {
        Entry::Registered => "the run was registered".to_owned(),
        Entry::PhaseStarted { phase, gates } => {
            let gates: Vec<_> = gates.iter().map(|gate| format!("{} {}", gate.gate, gate.verdict.as_str())).collect();
            let found = if gates.is_empty() { String::new() } else { format!(" ({})", gates.join(", ")) };
            format!("{phase} begins{found}")
        }
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
        Entry::CutShort => "stopped at once by a second Ctrl-C".to_owned(),
        Entry::Warned { of } => format!("known when it began: {}", printable(&of.join("; "))),
        Entry::Approved { phase, person, comment, .. } => {
            let comment = comment.as_ref().map(|comment| format!(": {}", printable(comment))).unwrap_or_default();
            format!("{phase} was approved by {}{comment}", printable(person))
        }
        Entry::ApprovalRevoked { phase, person } => format!("{} took the approval of {phase} back", printable(person)),
        Entry::ApprovalBypassed { phase, person, reason, .. } => {
            let what = look.red("APPROVAL BYPASSED");
            format!("{what}: {} goes on with {phase} without one: {}", printable(person), printable(reason))
        }
        Entry::Consented { to } => format!("consent was given to: {}", printable(&to.join("; "))),
        Entry::EvidenceAccepted { reason, evidence } => format!(
            "{}: {}; in spite of: {}",
            look.red("evidence of use was overridden"),
            printable(reason),
            printable(&evidence.join("; "))
        ),
        Entry::LockWait { step, blockers } => {
            let who =
                if blockers.is_empty() { "an unknown session".to_owned() } else { printable(&blockers.join("; ")) };
            format!("{step} waits for a lock of {who}")
        }
        Entry::Blocked { reason, .. } => printable(reason),
        Entry::Nearing { step, at } => {
            format!("{step} cannot be undone, and may be done from {} on", words::time(*at, zone))
        }
        Entry::HookStarted { hook, .. } => format!("hook {hook} started"),
        Entry::HookEnded { hook, ok, how, output, .. } => {
            let sign = if *ok { look.done() } else { look.failed() };
            let output = if output.is_empty() {
                String::new()
            } else {
                format!(": {}", printable(&output.replace('\n', " / ")))
            };
            format!("hook {hook} {sign} ({how}){output}")
        }
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
