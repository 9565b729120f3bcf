//! Plan files: parsed with positions, validated into [`Plan`], all problems reported at once.

mod model;

pub use model::{
    AddIndex, Backfill, BuildIndexes, Change, ChangeKind, Contract, CopyIndexes, Day, Freeze, Indexes, OnConflict,
    OnError, Plan, Requires, Schedule, Throttle, Verify, Window,
};
