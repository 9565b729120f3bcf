//! What can go wrong with the ledger.

use super::{LEASE_SECONDS, SCHEMA_VERSION};
use crate::ident::RunId;
use crate::pg;
use crate::run::{IllegalEntry, READABLE};

/// What can go wrong with the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A newer crossfade has been here.
    #[error(
        "the ledger in schema {schema} has version {found}, but this crossfade supports version {SCHEMA_VERSION}. Use the newer crossfade that wrote it; nothing was changed"
    )]
    Newer {
        /// The schema.
        schema: String,
        /// Its version.
        found: i32,
    },
    /// Another version of crossfade stored this, in a format that this one does not read.
    #[error(
        "the {what} of run {run} is stored in format {found}; this crossfade reads {} to {}. Use the crossfade that wrote it; nothing was changed",
        READABLE.start(),
        READABLE.end()
    )]
    Format {
        /// What.
        what: &'static str,
        /// Which run.
        run: RunId,
        /// Its format.
        found: i32,
    },
    /// Somebody whom this role has no reason to trust could have written what is in the schema.
    #[error(
        "schema {schema} is not trusted as a ledger: {}; crossfade would run what is in it with the rights of its own role. Nothing was changed",
        .wrong.join("; ")
    )]
    Untrusted {
        /// The schema.
        schema: String,
        /// Why not.
        wrong: Vec<String>,
    },
    /// The schema exists but is not crossfade's ledger.
    #[error("schema {schema} exists but is not a crossfade ledger; choose another with --ledger-schema")]
    NotALedger {
        /// The schema.
        schema: String,
    },
    /// Somebody has dropped the ledger while this process worked on a run.
    #[error(
        "schema {schema} is gone: somebody has dropped it in the middle of a run. The sync trigger went with it, so what applications \
         write to one column does not reach the other"
    )]
    Gone {
        /// The schema.
        schema: String,
    },
    /// There is no run of this name.
    #[error("there is no run named {name} in this database{}", without_ledger(.missing.as_deref()))]
    NoSuchRun {
        /// The name.
        name: String,
        /// The ledger's schema, where the database has none.
        missing: Option<String>,
    },
    /// Another run works on the column.
    #[error("run {other} is working on {what} of this table; finish it or roll it back first")]
    ColumnClaimed {
        /// The column, or another name, in words.
        what: String,
        /// The other run's name.
        other: String,
    },
    /// A run of this name has not ended.
    #[error("a run named {name} is active; a name is free again when its run is done or rolled back")]
    Active {
        /// The name.
        name: String,
    },
    /// The log holds something it cannot hold.
    #[error(transparent)]
    Illegal(#[from] IllegalEntry),
    /// The lease is gone.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// What is stored cannot be read.
    #[error("the ledger's {what} of run {run} cannot be read: {error}")]
    Unreadable {
        /// What.
        what: &'static str,
        /// Which run.
        run: RunId,
        /// Why.
        error: serde_json::Error,
    },
    /// The server's error.
    #[error("{}", pg::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// Why a lease could not be taken, or was lost.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else works on the run.
    #[error("{holder} is working on this run; its lease expires in {seconds:.0} s unless it is renewed")]
    Held {
        /// Host, process and time.
        holder: String,
        /// Seconds until it expires.
        seconds: f64,
    },
    /// The lease expired or was taken over.
    #[error(
        "the lease is lost: {holder} has taken over, or this process was suspended for longer than {LEASE_SECONDS} s"
    )]
    Lost {
        /// Who has it now.
        holder: String,
    },
    /// The server's error.
    #[error("{}", pg::describe(.0))]
    Database(#[from] sqlx::Error),
}

impl LedgerError {
    /// Refuses what is stored in a format that this version does not read.
    pub(super) fn unless_readable(what: &'static str, run: RunId, found: i32) -> Result<(), Self> {
        if READABLE.contains(&found) { Ok(()) } else { Err(Self::Format { what, run, found }) }
    }
}

/// Returns why there is no run at all, where that is so.
fn without_ledger(schema: Option<&str>) -> String {
    schema.map(|schema| format!(": it has no ledger, there is no schema {schema}")).unwrap_or_default()
}
