//! What a run waits for, holds for or is slowed down by, in words.

use std::time::Duration;

use humantime::format_duration;

use super::printable;
use crate::event::Wait;
use crate::run::{Cause, Level, Signal, WaitingFor};

/// Returns why the backfill stands still, with value and limit.
pub(super) fn held(level: &Level) -> String {
    let Level { signal, value, limit } = *level;
    let (name, shown) = (signal.name(), signal.format(limit));
    match value {
        Some(value) if signal == Signal::Wraparound => {
            format!("an autovacuum to prevent wraparound has been running on the table for {}", signal.format(value))
        }
        None => format!("{name} is not known (its limit is {shown})"),
        Some(value) if value > limit => format!("{name} is {}, above {shown}", signal.format(value)),
        Some(value) => format!(
            "{name} is {}, and was above {shown}: waiting for {}",
            signal.format(value),
            signal.format(level.release())
        ),
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

/// Returns what the run of this name waits for, to stand after "waits for".
pub(super) fn waiting_for(waiting: &WaitingFor, name: &str) -> String {
    let time = |seconds: &f64| format_duration(Duration::try_from_secs_f64(*seconds).unwrap_or_default()).to_string();
    match waiting {
        WaitingFor::Advance { phase } => format!("crossfade run or advance to continue with {phase}"),
        WaitingFor::Resume { by } => {
            let by = by.as_ref().map(|by| format!(" (paused by {})", printable(by))).unwrap_or_default();
            format!("crossfade resume {name}{by}")
        }
        WaitingFor::Lock { step, blockers } => {
            let who = if blockers.is_empty() { "somebody else".to_owned() } else { printable(&blockers.join("; ")) };
            format!("a lock for {step}, held by {who}")
        }
        WaitingFor::Consent { title, .. } => {
            format!("your consent to {}: crossfade run PLAN --yes, or crossfade advance {name} --yes", printable(title))
        }
        WaitingFor::Rollback => format!("the end of its rollback: crossfade rollback {name}"),
        WaitingFor::Quiet { quiet_seconds } => {
            format!("{} without a write to the old column", time(quiet_seconds))
        }
        WaitingFor::Grace { grace_seconds, until } => {
            let until = until.map(|at| format!(", until {}", at.format("%Y-%m-%d %H:%M UTC"))).unwrap_or_default();
            format!("the grace period of the retired column ({}{until})", time(grace_seconds))
        }
        WaitingFor::Person { error } => {
            format!("a person: {}", printable(error.as_deref().unwrap_or("see crossfade history")))
        }
        WaitingFor::Signal(level) => held(level),
    }
}

/// Returns what a process waits for, to stand after "waiting:".
pub(super) fn wait(wait: &Wait) -> String {
    match wait {
        Wait::Quiet => "the old column must not be written for a while".to_owned(),
        Wait::Grace => "the retired column is kept for its grace period".to_owned(),
        Wait::Statement { pid } => format!("process {pid} of an earlier runner has to end first"),
        Wait::IndexBuild { pid, index } => format!("process {pid} is still building index {}", printable(index)),
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
        assert_eq!(lag(Some(12.34)), "replica_lag is 12.3 s, above 10.0 s");
        assert_eq!(lag(Some(8.5)), "replica_lag is 8.5 s, and was above 10.0 s: waiting for 7.0 s");
        assert_eq!(lag(None), "replica_lag is not known (its limit is 10.0 s)");
        let vacuum = Level { signal: Signal::Wraparound, value: Some(75.0), limit: 0.0 };
        assert_eq!(held(&vacuum), "an autovacuum to prevent wraparound has been running on the table for 75.0 s");
        let slow = Level { signal: Signal::GoalLatency, value: Some(0.0062), limit: 0.005 };
        assert_eq!(slowed(&slow), "goal_latency is 6.2 ms, to stay below 5.0 ms");
    }

    #[test]
    fn what_a_run_waits_for_is_a_sentence() {
        let until = chrono::DateTime::from_timestamp(1_800_000_000, 0);
        let said = [
            WaitingFor::Advance { phase: crate::run::Phase::Verify },
            WaitingFor::Resume { by: Some("anna@web1, pid 7".to_owned()) },
            WaitingFor::Rollback,
            WaitingFor::Quiet { quiet_seconds: 3.0 },
            WaitingFor::Grace { grace_seconds: 3600.0, until },
            WaitingFor::Person { error: None },
        ]
        .map(|waiting| waiting_for(&waiting, "p"));
        insta::assert_snapshot!(said.join("\n"), @"
        crossfade run or advance to continue with verify
        crossfade resume p (paused by anna@web1, pid 7)
        the end of its rollback: crossfade rollback p
        3s without a write to the old column
        the grace period of the retired column (1h, until 2027-01-15 08:00 UTC)
        a person: see crossfade history
        ");
    }
}
