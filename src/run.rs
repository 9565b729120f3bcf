//! What a run consists of, and what is known of it: pure data that the ledger keeps. No connection, no clock.

mod actor;
mod announcement;
mod approval;
mod chain;
mod compare;
mod entry;
mod evidence;
mod facts;
mod fill;
mod filled;
mod format;
mod gates;
mod holds;
mod hooks;
mod identity;
mod key;
mod latencies;
mod outcome;
mod prediction;
mod program;
mod progress;
mod relation;
mod requirement;
mod sample;
mod signal;
mod standing;
mod state;
mod stored;
mod timing;

pub use crate::phase::Phase;
pub use actor::Actor;
pub use announcement::{Announcement, announce};
pub use approval::{Approval, Given, Voided};
pub(crate) use approval::{Line, approval, digest, is_own, warnings};
#[cfg(feature = "cli")]
pub use chain::SHORT_HEAD;
pub use chain::{Broken, Flaw, Head, Link, broken};
pub use compare::{CompareSpec, Pair, Side};
pub use entry::{Entry, HookKey};
pub(crate) use evidence::Accepted;
pub use evidence::{Evidence, Use, User};
pub use facts::{
    AddedColumn, AddedConstraint, AddedIndex, AdoptedColumn, CarriedConstraint, ChangeFacts, Child, ColumnFacts,
    Compiled, ConstraintFacts, Conversion, DroppedColumn, Facts, FunctionFacts, Generated, IdentityColumn, IndexFacts,
    MirrorIndex, OwnConstraint, OwnPartition, PairFacts, Publication, ReadColumn, ReferringKey, ReplacedFunction,
    ReplacedTrigger, TableFacts, TriggerArguments,
};
pub(crate) use fill::Values;
pub use fill::{Fill, FillSpec, FillValue, Slice};
pub use filled::Filled;
pub use format::{FORMAT, READABLE};
pub use gates::{GateKind, GateReading, Opener, Verdict, scheduled, zone};
pub(crate) use holds::HoldDelta;
pub use holds::{Cause, HeldBy, HoldTime, Level, PaceReport};
pub use hooks::{Owed, owed};
pub use identity::Identity;
pub use key::{BadStepKey, StepKey, What};
pub use latencies::Latencies;
pub use outcome::{Counts, MismatchKey, Outcome, Written, WrittenBy};
pub use prediction::{Estimates, Machine, Orders, PlannedPace, Prediction, Range};
pub use program::{Action, Condition, Gate, IndexName, Is, PartitionedIndex, Program, Step, Target, Undo};
pub use progress::Progress;
pub use relation::{Relation, RelationId};
pub use requirement::Requirement;
pub use sample::{Moment, ObjectCount, Sample};
pub use signal::{RELEASE, Signal};
pub(crate) use standing::Told;
pub use standing::{Standing, WaitingFor};
pub use state::{IllegalEntry, Mode, Stage, State};
pub use stored::fingerprint;
pub(crate) use stored::{Document, read, write};
#[cfg(feature = "internals")]
pub use timing::Planned;
pub(crate) use timing::looks_for_referrers;
pub use timing::{Nears, gates_of, planned, point_of_no_return};
