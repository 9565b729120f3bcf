//! What a result of a check counts for.

use chrono::{DateTime, Utc};

/// The table file and the trigger that a check was made of. DDL that rewrites the table, or another trigger, voids it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// When the check began, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// SHA-256 of the sync function's source and of the enabled triggers' definitions.
    pub body_hash: String,
    /// `pg_relation_filenode` of the table.
    pub relfilenode: i64,
}
