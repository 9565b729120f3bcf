//! The ledger: crossfade's schema in the target database, and the only reader and writer of its tables.
//!
//! [`Ledger`] names the schema. What is in it has four parts, each a type of its own:
//!
//! - [`Log`] (`ledger.log()`): the runs, and the append-only log of each. The state of a run is derived from its log by one
//!   pure function ([`crate::run::State`]).
//! - [`Leases`] (`ledger.leases()`): who may work on a run now. Every transaction on behalf of a run proves its lease.
//! - [`Progress`] (`ledger.progress()`): what the engines have done and measured: passes and windows of a backfill, checks,
//!   counted writes, holds, live settings.
//! - [`Outbox`] (`ledger.outbox()`): what people are told of all that, and whether they have got it.

mod by_run;
mod error;
mod leases;
mod log;
mod objects;
mod outbox;
mod progress;
mod snapshot;

use std::time::Duration;

use sqlx::PgConnection;

use crate::names::LedgerSchema;
use crate::pg;

use by_run::ByRun;
pub use error::{LeaseError, LedgerError};
pub(crate) use leases::NOT_OURS;
pub use leases::{Leader, Lease, Leases, Peer};
#[cfg(feature = "cli")]
pub(crate) use log::called;
pub use log::{Listed, ListedRun, Log, LoggedEntry, NewRun, Record, RecordedEntry, Run};
#[cfg(feature = "notify")]
pub use outbox::{Delivery, Ended};
pub use outbox::{Outbox, Undelivered};
#[cfg(not(feature = "internals"))]
pub(crate) use progress::WriteCounts;
#[cfg(feature = "internals")]
pub use progress::WriteCounts;
pub use progress::{Check, FillProgress, FillReport, LastTick, NewWrites, Progress};
pub(crate) use progress::{KnownStatements, LastCheck, PartitionFill, Position, REWRITTEN, Seat, Window, WindowSize};
pub(crate) use snapshot::Snapshot;

/// The version of the ledger's tables that this crossfade writes. A newer one is refused, never rewritten.
pub const SCHEMA_VERSION: i32 = 1;

/// How long a lease lasts without a heartbeat, in seconds. Longer than [`pg::IDLE_IN_TRANSACTION`], so that a process
/// that was stopped in the middle of a transaction has lost it before its lease is free.
pub const LEASE_SECONDS: f64 = 15.0;

/// Returns how long a lease lasts without a heartbeat.
pub fn lease_time() -> Duration {
    Duration::from_secs_f64(LEASE_SECONDS)
}

/// How long the ledger's own bookkeeping may wait for that of another process.
const BOOKKEEPING: pg::Limits =
    pg::Limits { lock: Duration::from_secs(5), statement: Duration::from_secs(10), durable: true };

/// The ledger in one schema of the connected database.
#[derive(Debug, Clone)]
pub struct Ledger {
    schema: LedgerSchema,
    /// Roles besides the session's own and superusers that may own the schema.
    trusted: Vec<String>,
    bodies: log::Bodies,
}

impl Ledger {
    /// Returns the ledger in `schema`.
    pub fn new(schema: LedgerSchema) -> Self {
        Self { schema, trusted: vec![], bodies: log::Bodies::default() }
    }

    /// Returns the ledger, whose schema may also belong to `role`: whoever has that role can make crossfade run any statement
    /// with the rights of its own role.
    #[must_use]
    pub fn trusting(mut self, role: &str) -> Self {
        self.trusted.push(role.to_owned());
        self
    }

    /// Returns the schema.
    pub fn schema(&self) -> &LedgerSchema {
        &self.schema
    }

    /// Returns the runs and their logs.
    pub fn log(&self) -> Log<'_> {
        Log { ledger: self }
    }

    /// Returns who works on the runs.
    pub fn leases(&self) -> Leases<'_> {
        Leases { ledger: self }
    }

    /// Returns what was done in the runs.
    pub fn progress(&self) -> Progress<'_> {
        Progress { ledger: self }
    }

    /// Returns what people are told of the runs.
    pub fn outbox(&self) -> Outbox<'_> {
        Outbox { ledger: self }
    }

    /// Returns the version of the ledger's tables, or `None` where there is no ledger yet.
    ///
    /// # Errors
    /// [`LedgerError::Untrusted`] when somebody else could have written what is in it; [`LedgerError::NotALedger`] when the
    /// schema is something else.
    pub async fn version(&self, connection: &mut PgConnection) -> Result<Option<i32>, LedgerError> {
        let schema = self.schema.as_str().to_owned();
        let wrong: Vec<String> = pg::query_scalar(include_str!("ledger/trust.sql"))
            .bind(&schema)
            .bind(&self.trusted)
            .fetch_one(&mut *connection)
            .await?;
        if !wrong.is_empty() {
            return Err(LedgerError::Untrusted { schema, wrong });
        }
        let look = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                      WHERE n.nspname = $1 AND c.relname = 'ledger' AND c.relkind = 'r') AS is_ledger, \
                    EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                      WHERE n.nspname = $1) AS is_occupied";
        let found: Schema = pg::query_as(look).bind(&schema).fetch_one(&mut *connection).await?;
        if !found.is_ledger {
            return if found.is_occupied { Err(LedgerError::NotALedger { schema }) } else { Ok(None) };
        }
        let version = self.sql("SELECT version FROM crossfade.ledger");
        let found: i32 = pg::query_scalar(&version).fetch_one(connection).await?;
        if found > SCHEMA_VERSION { Err(LedgerError::Newer { schema, found }) } else { Ok(Some(found)) }
    }

    /// Creates the ledger where there is none.
    ///
    /// # Errors
    /// [`LedgerError::Newer`] and [`LedgerError::NotALedger`]; the server's error, such as no privilege to create.
    pub async fn create(&self, connection: &mut PgConnection) -> Result<(), LedgerError> {
        if self.version(connection).await?.is_some() {
            return Ok(());
        }
        pg::transaction(connection, BOOKKEEPING, async |tx| {
            // Two runners may come here at once; the second waits here and then finds the ledger.
            let lock = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('crossfade.ledger'))";
            pg::batch(tx, lock).await?;
            if self.version(tx).await?.is_some() {
                return Ok(());
            }
            let schema = self.schema.as_str().to_owned();
            let rights: Option<Rights> =
                pg::query_as(include_str!("ledger/rights.sql")).bind(schema).fetch_optional(&mut *tx).await?;
            // Where a schema has been prepared for crossfade, only the right to create tables in it is needed.
            let skipped: &[&str] = match rights {
                None => &[],
                Some(Rights { is_owner: true, .. }) => &["CREATE SCHEMA "],
                Some(Rights { is_usable: true, .. }) => {
                    &["CREATE SCHEMA ", "COMMENT ON SCHEMA ", "GRANT USAGE ON SCHEMA "]
                }
                Some(Rights { .. }) => &["CREATE SCHEMA ", "COMMENT ON SCHEMA "],
            };
            let kept = |line: &&str| !skipped.iter().any(|skipped| line.starts_with(skipped));
            let text = self.sql(include_str!("ledger/schema.sql"));
            pg::batch(tx, &text.lines().filter(kept).collect::<Vec<_>>().join("\n")).await?;
            if let Some(identifier) = system_identifier(tx).await? {
                let belongs = self.sql("UPDATE crossfade.ledger SET system_identifier = $1");
                pg::query(&belongs).bind(identifier).execute(tx).await?;
            }
            Ok(())
        })
        .await
    }

    /// Returns whether the ledger is in the database that it was made in, and not in one that was restored from a dump of it
    /// (docs/postgres.md, "A ledger in a copied database").
    pub(crate) async fn is_at_home(&self, connection: &mut PgConnection) -> Result<bool, LedgerError> {
        let home = self.sql(
            "SELECT l.system_identifier, l.database_oid = d.oid AS same_database FROM crossfade.ledger AS l \
             JOIN pg_catalog.pg_database AS d ON d.datname = pg_catalog.current_database()",
        );
        let home: Home = pg::query_as(&home).fetch_one(&mut *connection).await?;
        if !home.same_database {
            return Ok(false);
        }
        let here = system_identifier(connection).await?;
        Ok(home.system_identifier.zip(here).is_none_or(|(home, here)| home == here))
    }

    /// Returns `sql` with the schema's real name. Fixed statements are written with `crossfade.`.
    fn sql(&self, sql: &str) -> String {
        if self.schema == LedgerSchema::default() {
            return sql.to_owned();
        }
        let schema = crate::sql::quote_ident(self.schema.as_str());
        let named = sql.replace("crossfade.", &format!("{schema}."));
        named
            .replace("SCHEMA crossfade", &format!("SCHEMA {schema}"))
            .replace("NOT EXISTS crossfade", &format!("NOT EXISTS {schema}"))
    }
}

/// Returns the names of the tables, views and functions that every ledger has.
pub(crate) fn made_objects() -> Vec<String> {
    let kinds = ["CREATE TABLE crossfade.", "CREATE VIEW crossfade.", "CREATE FUNCTION crossfade."];
    let name = |line: &str| {
        let rest = kinds.iter().find_map(|kind| line.strip_prefix(kind))?;
        Some(rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or(rest).to_owned())
    };
    include_str!("ledger/schema.sql").lines().filter_map(name).collect()
}

/// Returns what initdb gave to the cluster; a standby has its primary's. `None` where the role may not read it.
async fn system_identifier(connection: &mut PgConnection) -> Result<Option<i64>, sqlx::Error> {
    let may = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')";
    if !pg::query_scalar(may).fetch_one(&mut *connection).await? {
        return Ok(None);
    }
    let read = "SELECT system_identifier FROM pg_catalog.pg_control_system()";
    pg::query_scalar(read).fetch_one(connection).await.map(Some)
}

pg::columns!(
    struct Home {
        system_identifier: Option<i64>,
        same_database: bool,
    }
);

pg::columns!(
    struct Rights {
        is_owner: bool,
        is_usable: bool,
    }
);

pg::columns!(
    struct Schema {
        is_ledger: bool,
        is_occupied: bool,
    }
);
