//! What is announced of a run: a pure function of its log, entry by entry.

use serde::Serialize;

use super::{Entry, Mode, Phase, Program, Standing, State, What};
use crate::amounts::plural;
use crate::plan::Topic;

/// Something that people are told about a run. What is delivered has the hash of the entry too, as `head`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Announcement {
    /// What it is about.
    #[serde(skip)]
    pub topic: Topic,
    /// What the run is called on the command line.
    pub run: String,
    /// The number of the log's entry that it announces.
    pub entry: i64,
    /// The phase that the run is in after that.
    pub phase: Phase,
    /// Where the run stands after that.
    pub state: Standing,
    /// What happened, as a sentence without its end.
    pub message: String,
    /// What to type.
    pub command: String,
}

/// Returns what is announced when `entry` takes the run called `run` from one state to the next. Nothing is announced twice for
/// one reason until the run has moved.
pub fn announce(run: &str, program: &Program, before: &State, entry: &Entry, after: &State) -> Vec<Announcement> {
    let made = |topic: Topic, message: String, command: String| Announcement {
        topic,
        run: run.to_owned(),
        entry: after.seq,
        phase: after.phase,
        state: after.standing(),
        message,
        command,
    };
    let type_ = |what: &str| format!("crossfade {what} {run}");
    let is_new = after.told.len() > before.told.len();
    match entry {
        Entry::PhaseStarted { phase, .. } => {
            vec![made(Topic::PhaseStarted, format!("phase {phase} has begun"), type_("status"))]
        }
        Entry::PhaseDone { phase } if after.mode == Mode::Done => vec![
            made(Topic::PhaseDone, format!("phase {phase} is done"), type_("history")),
            made(Topic::Done, "the run is done".to_owned(), type_("history")),
        ],
        Entry::PhaseDone { phase } => {
            let message = format!("phase {phase} is done; the next is {}", after.phase);
            vec![made(Topic::PhaseDone, message, type_("advance"))]
        }
        Entry::Blocked { gate, reason } if is_new => {
            let (topic, command) = match gate.as_str() {
                "consent" => (Topic::ApprovalNeeded, format!("crossfade advance {run} --yes")),
                "approved" => (Topic::ApprovalNeeded, format!("crossfade approve {run} {}", after.phase)),
                "due" | "window" => (Topic::Waiting, type_("schedule")),
                _ => (Topic::Waiting, type_("status")),
            };
            vec![made(topic, reason.clone(), command)]
        }
        Entry::Nearing { step, at } if is_new => {
            let title = program.step(step).map_or_else(|| step.to_string(), |step| step.title.clone());
            let at = at.format("%Y-%m-%d %H:%M UTC");
            let message = format!("from {at} on, what cannot be undone may be done: {title}");
            vec![made(Topic::PointOfNoReturn, message, type_("rollback"))]
        }
        // The comparison itself has been announced.
        Entry::StepFailed { step, .. } if matches!(step.what, What::Compare(_)) => vec![],
        Entry::StepFailed { step, error } if is_new => {
            vec![made(Topic::Failed, format!("step {step} failed: {error}"), type_("history"))]
        }
        Entry::Verified { counts } if is_new => {
            let rows = plural(counts.rows, "row");
            let message = format!(
                "{} of {rows} are not equal ({} empty, {} different, {} unconverted)",
                counts.mismatches(),
                counts.empty,
                counts.different,
                counts.unconverted
            );
            vec![made(Topic::Mismatch, message, type_("verify"))]
        }
        Entry::Drifted { facts } if is_new => {
            let message = format!("the database is not in the state that the ledger describes: {}", facts.join("; "));
            vec![made(Topic::Drift, message, type_("status"))]
        }
        Entry::UndoDone if after.mode == Mode::RolledBack => {
            vec![made(Topic::RolledBack, "the run was rolled back".to_owned(), type_("history"))]
        }
        Entry::UndoDone => {
            let message = format!("the run was rolled back to before {}", after.phase);
            vec![made(Topic::RolledBack, message, type_("advance"))]
        }
        _ => vec![],
    }
}
