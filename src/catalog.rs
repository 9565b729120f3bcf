//! Reads the catalog: what the server says about a plan ([`inspect()`]), whether a step's effect is there ([`holds()`]), what
//! still depends on a column ([`dependants()`]), and which values will not convert ([`try_conversions`]).
//!
//! Everything that cannot be carried is found here and refused with its name, so nothing is lost later. Definitions are
//! never rewritten as text: the change is rehearsed on an empty temporary copy of the table, in a transaction that is
//! always rolled back, and PostgreSQL itself writes the resulting definitions.

mod add_column;
mod add_constraint;
mod add_index;
mod adopt;
mod anew;
mod bodies;
mod children;
mod clients;
mod columns;
mod constraint;
mod conversion;
mod copy;
mod dependants;
mod disk;
mod drop_column;
mod drop_index;
mod finding;
mod fit;
mod functions;
mod holds;
mod index;
mod inspect;
mod integer_key;
mod inventory;
mod made_anew;
mod neighbours;
mod not_null;
mod not_valid;
mod one_row;
mod ours;
mod outline;
mod partitions;
mod present;
mod publications;
mod query;
mod referrers;
mod rehearsal;
mod requirements;
mod server;
mod statements;
mod surround;
mod table;
mod trial;
mod trigger_arguments;
mod unqualified;
mod uses;

#[cfg(feature = "internals")]
pub use dependants::Dependant;
pub use dependants::dependants;
pub(crate) use dependants::no_dependants;
pub use finding::{Finding, Inspection};
pub use fit::rows_too_long;
pub use holds::holds;
pub use inspect::inspect;
pub use inventory::{Answer, ColumnAnswers, Fate, Scope};
pub(crate) use inventory::{Memo, inventory, scoped};
pub use one_row::try_one_row;
pub(crate) use ours::ours;
pub use outline::{NotThere, Outline, OutlineColumn, outline, tables};
pub(crate) use outline::{OutlineType, constant, outline_type};
pub(crate) use present::{Present, has_signature, leftovers, present, signature, signature_left};
pub(crate) use referrers::{Family, family, late_referrers};
pub use requirements::{Growth, requirements};
pub use surround::{Others, others};
pub use table::COUNTED_PAGES;
#[cfg(feature = "internals")]
pub use trial::ConversionCheck;
pub use trial::{ConversionCount, try_conversions};
pub(crate) use uses::{SeenClient, SeenStatement, Statements, clients, objects, statements, unseen_sessions};

/// Why the catalog could not be read. Refusals are not errors; see [`Finding`].
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The server refused a statement, or the connection is gone.
    #[error("could not {what}: {}", crate::pg::describe(.source))]
    Database {
        /// What was tried.
        what: &'static str,
        /// The driver's error.
        source: sqlx::Error,
    },
    /// The server's answer does not have the expected form.
    #[error("could not {what}: unexpected answer from the server: {source}")]
    Answer {
        /// What was tried.
        what: &'static str,
        /// Where the answer differs.
        source: serde_json::Error,
    },
}
