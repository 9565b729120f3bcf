//! The stored form of the log's entries.

use chrono::{DateTime, Utc};

use super::{Document, Form, Invalid, facts, form, program, words};
use crate::run;

impl Document for run::Entry {
    type Form = Entry;
}

form!(
#[serde(tag = "kind")]
enum Entry of run::Entry {
    Registered,
    PhaseStarted { phase: String, gates: Vec<GateReading>, },
    StepStarted { step: String, },
    StepDone { step: String, adopted: bool, },
    StepFailed { step: String, error: String, },
    PhaseDone { phase: String, },
    UndoStarted { to: Option<String>, },
    StepUndone { step: String, },
    UndoDone,
    Warned { of: Vec<String>, },
    Approved { phase: String, person: String, comment: Option<String>, digest: String, },
    ApprovalRevoked { phase: String, person: String, },
    ApprovalBypassed { phase: String, person: String, reason: String, digest: String, },
    Paused,
    Resumed,
    Interrupted,
    CutShort,
    Consented { to: Vec<String>, },
    LockWait { step: String, blockers: Vec<String>, },
    Blocked { gate: String, reason: String, },
    Nearing { step: String, at: DateTime<Utc>, },
    HookStarted { hook: HookKey, id: String, },
    HookEnded { hook: HookKey, id: String, ok: bool, how: String, output: String, },
    Joined,
    Left { rows: i64, },
    Removed { holder: String, },
    ClockSetBack { seconds: i64, },
    Tuned { key: String, value: String, },
    Filled(filled: Filled),
    Verified { counts: Counts, },
    Repaired { winner: Side, rows: i64, },
    Drifted { facts: Vec<String>, },
    Surrounded { triggers: Vec<String>, },
    Replanned { changes: Vec<String>, undone: Vec<String>, compiled: Compiled, },
});

form!(struct HookKey of run::HookKey {
    when: String,
    phase: String,
    run: String,
});

form!(struct GateReading of run::GateReading {
    gate: String,
    verdict: String,
    reason: String,
    since: Option<DateTime<Utc>>,
    opens: Option<DateTime<Utc>>,
});

words!(run::GateKind, run::Verdict, run::WrittenBy);

form!(struct Compiled of run::Compiled {
    facts: facts::Facts,
    program: program::Program,
});

form!(struct Filled of run::Filled {
    rows: i64,
    hot: Option<i64>,
    seconds: f64,
    paused_seconds: f64,
    wal_bytes: i64,
    heap_before: i64,
    heap_after: i64,
    toast_before: i64,
    toast_after: i64,
    indexes_before: i64,
    indexes_after: i64,
});

form!(struct Counts of run::Counts {
    rows: i64,
    equal: i64,
    empty: i64,
    different: i64,
    unconverted: i64,
    only_new: i64,
});

form!(enum Side of run::Side {
    Old,
    New,
});

/// Which rows a check reports, each with its key as the database wrote it.
impl Document for Vec<run::MismatchKey> {
    type Form = Vec<MismatchKey>;
}

form!(struct MismatchKey of run::MismatchKey {
    key: serde_json::Value,
    class: String,
    values: serde_json::Value,
    written: Written,
});

form!(struct Written of run::Written {
    transaction: String,
    by: Option<String>,
    at: Option<DateTime<Utc>>,
    origin: Option<String>,
});

impl Form<Self> for serde_json::Value {
    fn of(value: &Self) -> Self {
        value.clone()
    }

    fn back(self) -> Result<Self, Invalid> {
        Ok(self)
    }
}
