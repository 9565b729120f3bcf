//! What a run consists of, and what is known of it: pure data that the ledger keeps. No connection, no clock.

mod compare;
mod entry;
mod facts;
mod fill;
mod filled;
mod format;
mod holds;
mod identity;
mod key;
mod outcome;
mod phase;
mod prediction;
mod program;
mod relation;
mod state;

pub use compare::{CompareSpec, Pair, Side};
pub use entry::Entry;
pub use facts::{
    ChangeFacts, ColumnFacts, ConstraintFacts, Conversion, Facts, FunctionFacts, IndexFacts, PairFacts, TableFacts,
};
pub(crate) use fill::Values;
pub use fill::{Fill, FillSpec, FillValue, Slice};
pub use filled::Filled;
pub use format::{FORMAT, READABLE};
pub(crate) use holds::HoldDelta;
pub use holds::{HoldTime, PaceReport};
pub use identity::Identity;
pub use key::{BadStepKey, StepKey, What};
pub use outcome::{Counts, MismatchKey, Outcome};
pub use phase::{Phase, UnknownPhase};
pub use prediction::{Estimates, Machine, Orders, PlannedPace, Prediction, Range};
pub use program::{Action, Condition, Gate, IndexName, Is, Program, Step, Target, Undo};
pub use relation::{Relation, RelationId};
pub use state::{IllegalEntry, Mode, State};
