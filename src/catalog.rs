//! Reads the catalog. [`Facts`] is what the compiler works from; everything that cannot be carried is found here.

mod facts;

pub use facts::{ChangeFacts, ColumnFacts, ConstraintFacts, Conversion, Facts, FunctionFacts, IndexFacts, TableFacts};

/// Something in the database that keeps a plan from being run, or that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Stable code, such as `catalog::view`.
    pub code: &'static str,
    /// What was found, with the object's name.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// The catalog could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The server's error.
    #[error("{}", crate::pg::describe(.0))]
    Database(#[from] sqlx::Error),
}
