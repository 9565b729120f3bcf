//! What must be so before a run goes on with its phase, as it was found to be at a moment. Pure.

use std::fmt;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::{Phase, Program};
use crate::plan::calendar::{Opening, in_zone};
use crate::plan::{Plan, Schedule};

/// What is looked at before a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// The phase is due by the schedule.
    Due,
    /// A window of the schedule is open.
    Window,
    /// What the plan requires of the database is there.
    Requires,
    /// A person has approved the phase, where the plan asks for that.
    Approved,
    /// All rows were compared not long ago, and were equal.
    Verified,
    /// Nobody has written the old column for a while.
    Quiet,
    /// The retired column was kept for its grace period.
    Grace,
    /// Somebody agrees to what cannot be undone.
    Consent,
    /// The hooks before the phase have nothing against it. They are asked when everything else lets the phase begin.
    Hook,
}

/// What opens a gate that is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opener {
    /// Time alone: the next tick may find it open.
    Time,
    /// Somebody who decides.
    Person,
    /// What others do, or no longer do: applications, servers, other plans.
    Others,
}

/// Every kind, in the order in which they are shown.
const KINDS: [GateKind; 9] = [
    GateKind::Due,
    GateKind::Window,
    GateKind::Requires,
    GateKind::Approved,
    GateKind::Verified,
    GateKind::Quiet,
    GateKind::Grace,
    GateKind::Consent,
    GateKind::Hook,
];

impl GateKind {
    /// Returns the word that the log, JSON and reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Window => "window",
            Self::Requires => "requires",
            Self::Approved => "approved",
            Self::Verified => "verified",
            Self::Quiet => "quiet",
            Self::Grace => "grace",
            Self::Consent => "consent",
            Self::Hook => "hook",
        }
    }

    /// Returns the gate of this word.
    pub fn of(word: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Returns what opens it.
    pub fn opener(self) -> Opener {
        match self {
            Self::Due | Self::Window | Self::Grace => Opener::Time,
            Self::Approved | Self::Consent => Opener::Person,
            Self::Requires | Self::Verified | Self::Quiet | Self::Hook => Opener::Others,
        }
    }

    /// Returns whether it is the schedule's: whoever runs a plan by hand does not wait for it.
    pub fn is_scheduled(self) -> bool {
        matches!(self, Self::Due | Self::Window)
    }

    /// Returns whether it must be open when the phase begins. The others are in front of one of its steps, and proved in the
    /// transaction of that step.
    pub fn is_entry(self) -> bool {
        self.is_scheduled() || matches!(self, Self::Requires | Self::Approved)
    }
}

impl fmt::Display for GateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether a gate is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is.
    Pass,
    /// It is not.
    Fail,
    /// That could not be found out, which keeps it closed.
    Unknown,
}

impl Verdict {
    /// Returns the word that the log and JSON use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the verdict of this word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Pass, Self::Fail, Self::Unknown].into_iter().find(|verdict| verdict.as_str() == word)
    }
}

/// What was found of a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GateReading {
    /// Which.
    pub gate: GateKind,
    /// Whether it is open.
    pub verdict: Verdict,
    /// Why, with the values that decided it; part of a sentence.
    pub reason: String,
    /// The moment that the finding is of, where that is not now.
    pub since: Option<DateTime<Utc>>,
    /// When it opens by itself, where that is known.
    pub opens: Option<DateTime<Utc>>,
}

impl GateReading {
    /// Returns that a gate is open.
    pub fn pass(gate: GateKind, reason: impl Into<String>) -> Self {
        Self { gate, verdict: Verdict::Pass, reason: reason.into(), since: None, opens: None }
    }

    /// Returns that a gate is closed.
    pub fn fail(gate: GateKind, reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, ..Self::pass(gate, reason) }
    }

    /// Returns that nobody knows whether a gate is open.
    pub fn unknown(gate: GateKind, reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, ..Self::pass(gate, reason) }
    }

    /// Returns the reading with the moment that it is of.
    #[must_use]
    pub fn since(self, since: Option<DateTime<Utc>>) -> Self {
        Self { since, ..self }
    }

    /// Returns the reading with the moment at which the gate opens.
    #[must_use]
    pub fn opens(self, opens: Option<DateTime<Utc>>) -> Self {
        Self { opens, ..self }
    }

    /// Returns whether the gate is open.
    pub fn is_open(&self) -> bool {
        self.verdict == Verdict::Pass
    }
}

/// Returns whether the phase is due at `at`; it was come into at `entered`.
fn due(
    schedule: &Schedule,
    program: &Program,
    (phase, entered): (Phase, Option<DateTime<Utc>>),
    at: DateTime<Utc>,
) -> GateReading {
    let due = schedule.due(phase, program.before(phase), entered);
    let when = in_zone(due.at, schedule.timezone);
    let reason = |verb: &str| format!("{phase} {verb} due {when} ({})", due.cause);
    if at < due.at {
        GateReading::fail(GateKind::Due, reason("is")).opens(Some(due.at))
    } else {
        GateReading::pass(GateKind::Due, reason("was")).since(Some(due.at))
    }
}

/// Returns whether a window is open at `at`.
fn window(schedule: &Schedule, at: DateTime<Utc>) -> GateReading {
    let zone = schedule.timezone;
    let closed = |why: String| {
        let opens = schedule.next_opening(at, chrono::TimeDelta::zero());
        let next = match opens {
            Some(opens) => format!("the next one opens {}", in_zone(opens, zone)),
            None => "there is none any more".to_owned(),
        };
        GateReading::fail(GateKind::Window, format!("{why}; {next}")).opens(opens)
    };
    match schedule.opening(at) {
        Opening::Open { until: Some(until) } => {
            GateReading::pass(GateKind::Window, format!("until {}", in_zone(until, zone)))
        }
        Opening::Open { until: None } => GateReading::pass(GateKind::Window, "at all times"),
        Opening::Frozen(freeze) => closed(format!("frozen until the end of {} ({})", freeze.to, freeze.why)),
        Opening::Outside => closed("no window is open".to_owned()),
    }
}

/// Returns what the schedule says at `at` of a phase that was come into at `entered`; nothing without a schedule.
pub fn scheduled(
    plan: &Plan,
    program: &Program,
    phase: (Phase, Option<DateTime<Utc>>),
    at: DateTime<Utc>,
) -> Vec<GateReading> {
    let Some(schedule) = &plan.schedule else { return vec![] };
    vec![due(schedule, program, phase, at), window(schedule, at)]
}

/// The zone in which a plan's times are shown.
pub fn zone(plan: &Plan) -> Tz {
    plan.schedule.as_ref().map_or(Tz::UTC, |schedule| schedule.timezone)
}

#[cfg(test)]
mod tests;
