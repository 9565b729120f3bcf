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
    /// Whether its rows are in other tables too, which come and go while the run lasts: in its partitions, or in tables that
    /// inherit from it.
    pub partitioned: bool,
}

impl Relation {
    /// Returns the condition that the table of this name is the one that the run knows, for a statement that goes by the
    /// name. PostgreSQL tests it once, not for each row.
    pub(crate) fn is_it(&self) -> String {
        let name = crate::sql::quote_literal(&self.table.sql());
        format!("pg_catalog.to_regclass({name})::pg_catalog.oid OPERATOR(pg_catalog.=) {}", self.oid)
    }
}
