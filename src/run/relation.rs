//! The tables that a run works on.

use serde::Serialize;

use crate::ident::TableName;

/// The place of a table in [`super::Program::relations`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct RelationId(pub u16);

impl RelationId {
    /// The plan's own table, which every program has.
    pub const MAIN: Self = Self(0);
}

/// A table that a run works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its name when the run was registered.
    pub table: TableName,
    /// `pg_class.oid`.
    pub oid: i64,
}
