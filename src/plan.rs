//! Plan files: parsed with positions, validated into [`Plan`], all problems reported at once.

mod model;

pub use model::{
    AddIndex, Backfill, BuildIndexes, Change, ChangeKind, Contract, CopyIndexes, Day, Freeze, Indexes, OnConflict,
    OnError, Plan, Requires, Schedule, Throttle, Verify, Window,
};

/// Returns the fingerprint of a plan.
pub fn fingerprint(plan: &Plan) -> String {
    crate::ident::sha256_hex(&serde_json::to_string(plan).unwrap_or_default())
}
