//! Changes a live PostgreSQL table, in phases, under traffic, with proof.
//!
//! A plan file becomes a [`Plan`](plan::Plan); a [`Tool`] takes it through its phases, on the database that a [`Connector`]
//! names. What happens on the way is an [`Event`](event::Event), what came of it a [`Finish`], and where a run stands, at any
//! time and from any process, a [`RunView`]. The command line makes the same calls.
//!
//! ```no_run
//! use crossfade::{Connector, LedgerSchema, Phase, Tool, event, plan};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let text = std::fs::read_to_string("plans/vehicle-status.yaml")?;
//! let plan = plan::parse("vehicle-status.yaml", &text)?;
//!
//! let connector = Connector::new("postgres://localhost/fleet".parse()?);
//! // Cancel it and the run stops after the batch it is in.
//! let stop = CancellationToken::new();
//! let tool = Tool::new(connector, LedgerSchema::default(), "me".to_owned(), event::silent(), stop);
//!
//! // Changes nothing: what a run would do, and what stands in its way.
//! let preview = tool.preview(&plan).await?;
//! assert!(preview.refusals.is_empty());
//!
//! // Until both columns are there, filled and equal. Called again after a crash, it goes on from there.
//! let finish = tool.run(&plan, &text, Some(Phase::Verify)).await?;
//! println!("{} is in {}", finish.name, finish.phase);
//! # Ok(())
//! # }
//! ```
//!
//! `examples/` of the repository has a program for each of the common uses.

// Tests see more: with the feature `internals` every module is public, and so is what it says is `pub`.
#![cfg_attr(
    not(feature = "internals"),
    expect(unreachable_pub, reason = "`pub` in a private module is for tests, with the feature `internals`")
)]

#[cfg(feature = "cli")]
#[doc(hidden)] // for src/main.rs
pub mod cli;
pub mod event;
#[cfg(feature = "cli")]
mod export;
#[cfg(feature = "cli")]
mod import;
pub mod plan;

mod amounts;
#[cfg(feature = "internals")]
pub mod catalog;
#[cfg(not(feature = "internals"))]
mod catalog;
#[cfg(feature = "internals")]
pub mod change;
#[cfg(not(feature = "internals"))]
mod change;
#[cfg(feature = "internals")]
pub mod engine;
#[cfg(not(feature = "internals"))]
mod engine;
#[cfg(feature = "internals")]
pub mod estimate;
#[cfg(not(feature = "internals"))]
mod estimate;
#[cfg(feature = "internals")]
pub mod failpoint;
#[cfg(not(feature = "internals"))]
mod failpoint;
#[cfg(feature = "internals")]
pub mod ident;
#[cfg(not(feature = "internals"))]
mod ident;
#[cfg(feature = "internals")]
pub mod latest;
#[cfg(not(feature = "internals"))]
mod latest;
#[cfg(feature = "internals")]
pub mod ledger;
#[cfg(not(feature = "internals"))]
mod ledger;
mod lines;
#[cfg(feature = "internals")]
pub mod names;
#[cfg(not(feature = "internals"))]
mod names;
#[cfg(all(feature = "notify", feature = "internals"))]
pub mod notify;
#[cfg(all(feature = "notify", not(feature = "internals")))]
mod notify;
#[cfg(feature = "internals")]
pub mod pg;
#[cfg(not(feature = "internals"))]
mod pg;
#[cfg(feature = "internals")]
pub mod phase;
#[cfg(not(feature = "internals"))]
mod phase;
#[cfg(feature = "internals")]
pub mod pulse;
#[cfg(not(feature = "internals"))]
mod pulse;
#[cfg(all(feature = "cli", feature = "internals"))]
pub mod report;
#[cfg(all(feature = "cli", not(feature = "internals")))]
mod report;
#[cfg(feature = "internals")]
pub mod run;
#[cfg(not(feature = "internals"))]
mod run;
#[cfg(feature = "internals")]
pub mod runner;
#[cfg(not(feature = "internals"))]
mod runner;
#[cfg(all(feature = "serve", feature = "internals"))]
pub mod serve;
#[cfg(all(feature = "serve", not(feature = "internals")))]
mod serve;
#[cfg(feature = "internals")]
pub mod sql;
#[cfg(not(feature = "internals"))]
mod sql;
#[cfg(all(feature = "cli", feature = "internals"))]
pub mod testkit;
#[cfg(all(feature = "cli", not(feature = "internals")))]
mod testkit;
#[cfg(feature = "internals")]
pub mod throttle;
#[cfg(not(feature = "internals"))]
mod throttle;
#[cfg(feature = "internals")]
pub mod view;
#[cfg(not(feature = "internals"))]
mod view;

pub use names::LedgerSchema;
#[cfg(feature = "notify")]
pub use notify::Destinations;
pub use pg::Connector;
pub use phase::{Phase, UnknownPhase};
pub use pulse::{Pulse, Stalled, Watchdog};
pub use runner::{
    Approved, Cleanup, Compared, Draft, Error, Finish, Joined, Known, NoCleanup, NoJoin, NotYet, PartPreview,
    PointOfNoReturn, Preview, Tool, Wanted,
};
pub use view::{
    Advice, Asked, Bypassed, Certificate, CheckedLog, CheckedRun, Course, CoursePoint, Criterion, Felt, Folder,
    FolderConflict, FolderPlan, FolderState, Inventory, InventoryTable, Judgement, Metrics, Need, NoPlan, NotedHead,
    Numbers, PartKind, PartView, PartitionState, PartitionView, PartitionsView, PhaseApproval, PhaseCourse, PhaseDates,
    PhaseState, Reason, ReportView, RunView, Span, StepCourse, StepState, Timeline, Timetable, Totals, Worked,
};

pub mod results {
    //! What calls return and events carry: plain data.

    pub use crate::catalog::{
        Answer, CatalogError, ColumnAnswers, Fate, Finding, NotThere, Outline, OutlineColumn, Scope,
    };
    pub use crate::ident::{RunId, RunTag};
    pub use crate::ledger::{
        Check, LastTick, Leader, LeaseError, LedgerError, Listed, ListedRun, LoggedEntry, Peer, Record, RecordedEntry,
        Undelivered,
    };
    pub use crate::run::{
        Action, Actor, Approval, BadStepKey, Broken, Cause, CompareSpec, Compiled, Condition, Counts, Entry, Estimates,
        Evidence, Fill, FillSpec, FillValue, Filled, Flaw, Gate, GateKind, GateReading, Given, Head, HeldBy, HoldTime,
        HookKey, IllegalEntry, IndexName, Is, Latencies, Level, Machine, MismatchKey, Mode, Moment, ObjectCount,
        Opener, Orders, Outcome, PaceReport, Pair, PartitionedIndex, PlannedPace, Prediction, Program, Progress, Range,
        Relation, RelationId, Requirement, Side, Signal, Slice, Stage, Standing, State, Step, StepKey, Target, Undo,
        Use, User, Verdict, Voided, WaitingFor, What, Written, WrittenBy,
    };
    pub use crate::sql::LockMode;
}
