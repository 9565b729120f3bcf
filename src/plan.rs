//! Plan files: parsed with positions, validated into [`Plan`], all problems reported at once.
//!
//! Text becomes a tree of places (`yaml`). The tree is held against the form of a plan (`structure`; `form`, `file` and
//! `settings` say what the form is) and becomes a `PlanFile` of optional parts, and those, where nothing contradicts
//! anything, a [`Plan`] (`validate`).

mod bytes;
pub mod calendar;
mod change;
mod comments;
mod diagnostic;
mod file;
mod folder;
mod form;
mod model;
mod parts;
#[cfg(test)]
mod reference;
mod requires;
mod schema;
pub mod settings;
mod structure;
mod suggest;
mod tell;
#[cfg(test)]
mod tests;
mod validate;
mod words;
mod write;
mod yaml;

pub use crate::ident::{ColumnName, DestinationName, HookName, IdentError, PlanName, RelationName, TableName};
pub use bytes::{Bytes, BytesError};
pub use change::{
    AddColumn, AddConstraint, Adopt, Change, ChangeType, Claim, Deferrable, DropColumn, DropIndex, ForeignKey,
    IndexKey, NewIndex, OnConflict, OnError, Pair, ReferentialAction, RenameColumn, Rule,
};
pub use comments::{Comment, to_commented_yaml};
pub use diagnostic::{CODES, Code, PlanErrors, Problem};
pub use folder::{Conflict, Order, order};
pub(crate) use folder::{made_columns, needed_columns};
pub use model::{
    AddIndex, Approvals, Backfill, BuildIndexes, Contract, CopyIndexes, Day, ExtraWindow, Freeze, FunctionBody,
    Indexes, LeftColumn, LongTransactions, Plan, Probe, Publications, Referring, Schedule, Throttle, TriggerArguments,
    Triggers, Verify, WalCompression, Window,
};
pub(crate) use parts::{Referrer, widens, with_parts};
pub use requires::{Comparison, Disk, Extension, ExtensionError, Replicas, RequiredColumn, Requires, Slots, Version};
pub use schema::json_schema;
pub use settings::Settings;
#[cfg(feature = "cli")]
pub(crate) use suggest::did_you_mean;
pub use tell::{Hook, HookTime, Notify, Shape, Topic};
pub use words::Word;
pub use write::{to_json, to_yaml};

/// Returns the plan that `text` describes. `file_name` is only used in messages.
///
/// # Errors
/// [`PlanErrors`] with every problem of the file, each with its place.
pub fn parse(file_name: &str, text: &str) -> Result<Plan, PlanErrors> {
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut problems = Vec::new();
    let plan = yaml::read(text, &mut problems).and_then(|root| {
        let typed = structure::check(&root, &mut problems);
        validate::validate(typed, text, &mut problems)
    });
    match plan {
        Some(plan) if problems.is_empty() => Ok(plan),
        _ => Err(PlanErrors::new(file_name, text, problems)),
    }
}

/// Returns the first 12 digits of a fingerprint, for people.
pub fn short_fingerprint(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}
