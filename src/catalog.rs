//! Reads the catalog. [`Facts`] is what the compiler works from; everything that cannot be carried is found here.

mod facts;

pub use facts::{ChangeFacts, ColumnFacts, ConstraintFacts, Conversion, Facts, FunctionFacts, IndexFacts, TableFacts};
