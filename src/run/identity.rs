//! What a result of a check counts for.

use chrono::{DateTime, Utc};

/// The table file and the triggers that a check was made of. DDL that rewrites the table, or that touches a trigger, voids
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// When the check began, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// SHA-256 of the sync function and of the table's triggers, their state and the versions of their rows in the catalog.
    pub body_hash: String,
    /// `pg_relation_filenode` of the table.
    pub relfilenode: i64,
}
