//! What a run waits for, holds for or is slowed down by, in words.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::look::Look;
use super::printable;
use crate::amounts::{duration, plural};
use crate::event::Wait;
use crate::ledger::Undelivered;
use crate::plan::calendar::in_zone;
use crate::run::{Cause, GateKind, GateReading, Level, Signal, Standing, Verdict, WaitingFor, Written, WrittenBy};
use crate::view::RunView;

/// Returns what lets a backfill go on that stands still, and why it does, with value and limit; to stand after "waits for".
fn held(level: &Level) -> String {
    let Level { signal, value, limit } = *level;
    let (name, shown) = (signal.name(), signal.format(limit));
    match value {
        Some(value) if signal == Signal::Wraparound => {
            format!(
                "the end of an autovacuum to prevent wraparound, which has been running for {}",
                signal.format(value)
            )
        }
        None => format!("{name}, which is not known (its limit is {shown})"),
        Some(value) => {
            let was = if value > limit { "above" } else { "and was above" };
            let release = signal.format(level.release());
            format!("{name} to fall to {release}: it is {}, {was} {shown}", signal.format(value))
        }
    }
}

/// Returns why the backfill goes slowly, with value and limit.
pub(super) fn slowed(level: &Level) -> String {
    let Level { signal, value, limit } = *level;
    let value = value.map_or_else(|| "not known yet".to_owned(), |value| signal.format(value));
    format!("{} is {value}, to stay below {}", signal.name(), signal.format(limit))
}

/// Returns what a hold that begins is told as.
pub(super) fn holding(level: &Level) -> String {
    let Level { signal, value, limit } = *level;
    match value {
        Some(_) if signal == Signal::Wraparound => {
            "holding: an autovacuum to prevent wraparound is running on the table".to_owned()
        }
        value => {
            let value = value.map_or_else(|| "unknown".to_owned(), |value| signal.format(value));
            format!("holding: {} is {value}, the limit is {}", signal.words(), signal.format(limit))
        }
    }
}

/// Returns what time was spent on, as a sentence has it.
pub(super) fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Paused => "a pause",
        Cause::Signal(signal) => signal.words(),
    }
}

/// Returns a moment, to the second, with its time zone. What is printed of one run has one zone: that of its plan's schedule.
pub(super) fn time(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// Returns what a run waits for, to stand after "waits for"; of one that failed, why.
pub(super) fn waiting_for(waiting: &WaitingFor, zone: Tz) -> String {
    match waiting {
        WaitingFor::Advance { phase } => format!("somebody to continue it with {phase}"),
        WaitingFor::Gate { phase, reading, .. } if reading.gate == GateKind::Approved => {
            format!("the approval of {phase}: {}", printable(&reading.reason))
        }
        WaitingFor::Gate { reading, zone, .. } => gate(reading, *zone),
        WaitingFor::Resume { by } => {
            let by = by.as_ref().map(|by| format!(" (paused by {})", printable(by))).unwrap_or_default();
            format!("somebody to resume it{by}")
        }
        WaitingFor::Lock { step, blockers } => {
            let who =
                if blockers.is_empty() { "an unknown session".to_owned() } else { printable(&blockers.join("; ")) };
            format!("a lock for {step}, held by {who}")
        }
        WaitingFor::Consent { title, .. } => format!("your consent to {}", printable(title)),
        WaitingFor::Rollback => "the end of its rollback".to_owned(),
        WaitingFor::Quiet { quiet_seconds, left_seconds } => format!(
            "{} without a write to the old column; {} to go if nobody writes it from now on",
            duration(*quiet_seconds),
            duration(*left_seconds)
        ),
        WaitingFor::Grace { grace_seconds, until } => {
            let until = until.map(|at| format!(", until {}", time(at, zone))).unwrap_or_default();
            format!("the grace period of the retired column ({}{until})", duration(*grace_seconds))
        }
        WaitingFor::Person { error } => {
            printable(error.as_deref().unwrap_or("for a reason that the history of the run tells"))
        }
        WaitingFor::Repair { rows } => format!("{} not equal", plural(*rows, "row")),
        WaitingFor::Signal { level, since } => {
            let since = since.map(|at| format!(", since {}", time(at, zone))).unwrap_or_default();
            held(level) + &since
        }
    }
}

/// Returns how a row was last written, as far as that is known.
pub(super) fn written(written: &Written, zone: Tz) -> String {
    let how = match (written.by, &written.origin) {
        (Some(WrittenBy::OlderTransaction), _) => ", which is older than the sync trigger".to_owned(),
        (Some(WrittenBy::Backfill), _) => ", by the backfill".to_owned(),
        (Some(WrittenBy::Replication), Some(origin)) => format!(", by replication from {}", printable(origin)),
        (Some(WrittenBy::Replication), None) => ", by replication".to_owned(),
        (Some(WrittenBy::PastTrigger), _) => ", past the sync trigger".to_owned(),
        (None, _) => String::new(),
    };
    let at = written.at.map(|at| format!(" at {}", time(at, zone))).unwrap_or_default();
    format!("written{at} in transaction {}{how}", printable(&written.transaction))
}

/// Returns a gate, whether it is open, and why: a line of what stands in front of a run.
pub(super) fn reading(reading: &GateReading, zone: Tz, look: Look) -> String {
    let verdict = match reading.verdict {
        Verdict::Pass => look.green("open"),
        Verdict::Fail => look.yellow("closed"),
        Verdict::Unknown => look.red("unknown"),
    };
    let opens = until(reading, zone);
    let since = reading.since.filter(|_| reading.gate == GateKind::Verified);
    let since = since.map(|at| format!(" ({})", in_zone(at, zone))).unwrap_or_default();
    format!("{} {verdict}: {}{since}{opens}", reading.gate, printable(&reading.reason))
}

/// Returns until when a gate is closed, where that is known; the schedule's own reasons name their dates.
fn until(reading: &GateReading, zone: Tz) -> String {
    let opens = reading.opens.filter(|_| !reading.gate.is_scheduled());
    opens.map(|at| format!(", until {}", in_zone(at, zone))).unwrap_or_default()
}

/// Returns what must be so for a gate to open, and what was found of it.
fn gate(reading: &GateReading, zone: Tz) -> String {
    let what = match reading.gate {
        GateKind::Due => "its date",
        GateKind::Window => "a window",
        GateKind::Requires => "what its plan requires",
        GateKind::Approved => "an approval",
        GateKind::Verified => "a check of all rows",
        GateKind::Quiet => "the last write to the old column",
        GateKind::Unused => "the last use of the old column",
        GateKind::Grace => "the grace period",
        GateKind::Consent => "your consent",
        GateKind::Hook => "a hook",
    };
    format!("{what}: {}{}", printable(&reading.reason), until(reading, zone))
}

/// Returns the same as [`waiting_for`] for a list of runs: of what went wrong, not the whole statement.
pub(super) fn in_short(waiting: &WaitingFor, zone: Tz) -> String {
    let mut text = waiting_for(waiting, zone);
    if waiting.is_failure()
        && let Some(at) = text.find("; the statement was: ")
    {
        text.truncate(at);
    }
    text
}

/// Returns that no tick comes, where one should have come.
pub(super) fn tick_overdue(run: &RunView) -> Option<String> {
    let since = in_zone(run.tick_overdue_since?, run.zone);
    Some(format!("overdue since {since}: a scheduler has to call crossfade advance --all at least every hour"))
}

/// Returns what has not reached a destination.
pub(super) fn undelivered(of: &Undelivered) -> String {
    let error = match &of.error {
        Some(error) => printable(error),
        None => "no process has tried that has its address".to_owned(),
    };
    let then = if of.given_up { "given up" } else { "tried again" };
    format!("{}: {}, {then} ({error})", of.to, plural(of.count, "announcement"))
}

/// A command to type, and what it does or when, where that must be said.
pub(super) type Next = (String, String);

/// Returns what can be typed next about a run, the best first.
pub(super) fn next_of(run: &RunView) -> Vec<Next> {
    let at_work = run.holder.is_some() || !run.joined.is_empty();
    let name = run.part_of.as_ref().unwrap_or(&run.name);
    // The key is at its end before its parts are.
    let turn = run.parts.iter().find(|part| run.state.is_over() && run.part.as_ref() == Some(&part.name));
    let state = turn.map_or(run.state, |part| part.state);
    // A check that failed is repeated in vain until its rows are equal. Values that do not convert are nothing to repair.
    let repair = run.mismatches.filter(|rows| *rows > 0 && run.unequal.iter().all(|key| key.class != "unconverted"));
    let repair = repair.map(|rows| WaitingFor::Repair { rows });
    let waiting = match &run.waiting_for {
        Some(WaitingFor::Person { .. }) if state == Standing::Failed => repair.as_ref().or(run.waiting_for.as_ref()),
        waiting => waiting.as_ref(),
    };
    next((name, run.zone), state, waiting, at_work)
}

/// Returns what can be typed next about the run of this name, the best first, with times in a zone.
pub(super) fn next(
    (name, zone): (&str, Tz),
    state: Standing,
    waiting: Option<&WaitingFor>,
    at_work: bool,
) -> Vec<Next> {
    let type_ = |what: &str, note: &str| (format!("crossfade {what} {name}"), note.to_owned());
    let watch = || (format!("crossfade status {name} --watch"), String::new());
    let consenting = |note: String| (format!("crossfade advance {name} --yes"), note);
    match (state, waiting) {
        (Standing::Paused, _) | (_, Some(WaitingFor::Resume { .. })) => vec![type_("resume", "")],
        (_, Some(WaitingFor::Signal { level, .. })) if at_work && level.signal != Signal::Wraparound => vec![
            watch(),
            (format!("crossfade tune {name} {}=...", level.signal.name()), "changes the limit".to_owned()),
        ],
        _ if at_work && !state.is_over() => vec![watch()],
        (Standing::Done | Standing::RolledBack, _) => vec![type_("history", "")],
        (Standing::RollingBack, _) => vec![type_("rollback", "")],
        (_, Some(WaitingFor::Repair { .. })) => vec![
            (
                format!("crossfade verify {name} --repair old"),
                "after a look at these rows (or new: the side that is right)".to_owned(),
            ),
            type_("advance", "compares all rows again, and goes on"),
        ],
        (Standing::Failed | Standing::Drifted, _) => vec![
            type_("history", "tells what happened"),
            type_("advance", "continues, once the cause is removed"),
            type_("rollback", "undoes the run"),
        ],
        (_, Some(WaitingFor::Consent { .. })) => {
            vec![consenting("does it; there is no way back".to_owned()), type_("rollback", "goes back")]
        }
        (_, Some(WaitingFor::Grace { until: Some(until), .. })) => {
            vec![consenting(format!("after {}", time(*until, zone))), type_("rollback", "goes back")]
        }
        (_, Some(WaitingFor::Gate { reading, .. })) if reading.gate == GateKind::Unused => vec![
            type_("advance", "once nobody uses the old column"),
            (format!("crossfade advance {name} --accept-evidence REASON"), "goes on in spite of it".to_owned()),
        ],
        (_, Some(WaitingFor::Gate { phase, reading, .. })) if reading.gate == GateKind::Approved => {
            vec![
                (format!("crossfade approve {name} {phase}"), "by somebody who did not start it".to_owned()),
                type_("advance", "goes on then"),
            ]
        }
        (_, Some(WaitingFor::Gate { .. })) => {
            vec![type_("schedule", "shows all dates"), type_("advance", "when it is time")]
        }
        (_, Some(WaitingFor::Quiet { .. })) => vec![type_("advance", "once no release writes the old column")],
        _ => vec![type_("advance", "")],
    }
}

/// Returns what a process waits for, to stand after "waiting:".
pub(super) fn wait(wait: &Wait) -> String {
    match wait {
        Wait::Quiet => "the old column must not be written for a while".to_owned(),
        Wait::Unused => "nobody may use the old column for a while".to_owned(),
        Wait::Grace => "the retired column is kept for its grace period".to_owned(),
        Wait::Statement { pid } => format!("process {pid} of an earlier runner has to end first"),
        Wait::IndexBuild { pid, index } => format!("process {pid} is still building index {}", printable(index)),
        Wait::Hook { hook } => format!("hook {hook} is running"),
        Wait::OtherProcesses => "other processes are still filling the pages that they have taken".to_owned(),
        Wait::Horizon { rows, hot, holder, holder_seconds } => {
            let holder = printable(holder.as_deref().unwrap_or("an old snapshot"));
            let since = holder_seconds.map(|s| format!(", in a transaction for {s:.0} s")).unwrap_or_default();
            format!(
                "most updates find no room on their pages ({hot} of {rows} did): {holder}{since} keeps dead rows from \
                 being pruned, and the plan says to wait"
            )
        }
        Wait::Run { name } => format!("run {name} has not been started yet"),
        Wait::Backfill { name, phase } => format!("run {name} is in {phase}; its backfill has not begun"),
        Wait::Rollback { name, to } => format!("run {name} is being rolled back to the end of {to}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_a_sentence() {
        let lag = |value| held(&Level { signal: Signal::ReplicaLag, value, limit: 10.0 });
        assert_eq!(lag(Some(12.34)), "replica_lag to fall to 7.0 s: it is 12.3 s, above 10.0 s");
        assert_eq!(lag(Some(8.5)), "replica_lag to fall to 7.0 s: it is 8.5 s, and was above 10.0 s");
        assert_eq!(lag(None), "replica_lag, which is not known (its limit is 10.0 s)");
        let vacuum = Level { signal: Signal::Wraparound, value: Some(75.0), limit: 0.0 };
        assert_eq!(held(&vacuum), "the end of an autovacuum to prevent wraparound, which has been running for 75.0 s");
        let slow = Level { signal: Signal::GoalLatency, value: Some(0.0062), limit: 0.005 };
        assert_eq!(slowed(&slow), "goal_latency is 6.2 ms, to stay below 5.0 ms");
    }

    #[test]
    fn what_a_run_waits_for_is_a_sentence_and_what_to_type_follows_from_it() {
        let until = chrono::DateTime::from_timestamp(1_800_000_000, 0);
        let step = || "contract.drop".parse().unwrap();
        let lock = WaitingFor::Lock { step: step(), blockers: vec!["pid 7 of anna".to_owned()] };
        let said = [
            (Standing::Waiting, WaitingFor::Advance { phase: crate::run::Phase::Verify }, false),
            (Standing::Paused, WaitingFor::Resume { by: Some("anna@web1, pid 7".to_owned()) }, true),
            (Standing::RollingBack, WaitingFor::Rollback, false),
            (Standing::RollingBack, WaitingFor::Rollback, true),
            (Standing::Waiting, WaitingFor::Quiet { quiet_seconds: 60.0, left_seconds: 48.0 }, false),
            (Standing::Waiting, WaitingFor::Grace { grace_seconds: 3600.0, until }, false),
            (Standing::Waiting, WaitingFor::Consent { step: step(), title: "drop column a".to_owned() }, false),
            (Standing::Failed, WaitingFor::Person { error: Some("no room".to_owned()) }, false),
            (Standing::Running, lock, true),
        ]
        .map(|(state, waiting, at_work)| {
            let next = next(("p", Tz::UTC), state, Some(&waiting), at_work);
            let next: Vec<_> = next.iter().map(|(command, note)| format!("  {command}: {note}")).collect();
            format!("{}\n{}", waiting_for(&waiting, Tz::UTC), next.join("\n"))
        });
        insta::assert_snapshot!(said.join("\n"), @"
        somebody to continue it with verify
          crossfade advance p: 
        somebody to resume it (paused by anna@web1, pid 7)
          crossfade resume p: 
        the end of its rollback
          crossfade rollback p: 
        the end of its rollback
          crossfade status p --watch: 
        1 min without a write to the old column; 48 s to go if nobody writes it from now on
          crossfade advance p: once no release writes the old column
        the grace period of the retired column (1 h, until 2027-01-15 08:00:00 UTC)
          crossfade advance p --yes: after 2027-01-15 08:00:00 UTC
          crossfade rollback p: goes back
        your consent to drop column a
          crossfade advance p --yes: does it; there is no way back
          crossfade rollback p: goes back
        no room
          crossfade history p: tells what happened
          crossfade advance p: continues, once the cause is removed
          crossfade rollback p: undoes the run
        a lock for contract.drop, held by pid 7 of anna
          crossfade status p --watch:
        ");
    }
}
