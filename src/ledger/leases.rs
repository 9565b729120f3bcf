//! The lease: who works on a run. A row, not a session lock, so that poolers and lost connections do no harm. One process
//! leads a run; those that have joined its backfill hold leases of their own, for which the same rules hold.
//!
//! A transaction that is to commit on behalf of a runner first locks the lease row FOR KEY SHARE and compares epoch and
//! expiry. Heartbeats do not conflict with that lock. Taking over locks the row FOR UPDATE, which waits for such a
//! transaction and afterwards makes its successors fail: a runner whose lease is gone commits nothing.

mod joined;

use std::time::Duration;

use sqlx::PgConnection;

use super::{ByRun, LEASE_SECONDS, LeaseError, Ledger};
use crate::ident::RunId;
use crate::pg;

pub use joined::Peer;

/// SQLSTATE of a transaction whose lease, or whose window, is not this process's any more.
pub(crate) const NOT_OURS: &str = "CF002";

/// Who works on the runs of a ledger.
#[derive(Debug, Clone, Copy)]
pub struct Leases<'l> {
    pub(super) ledger: &'l Ledger,
}

/// A lease that this process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// Its epoch, unique among all leases: it says in the ledger whose a window is.
    pub epoch: i64,
    /// Whether this process leads the run; if not, it has joined the backfill and writes nothing but rows.
    pub leads: bool,
}

/// The process that leads a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Leader {
    /// User, host and process.
    pub holder: String,
    /// For how many seconds it has had the lease.
    pub seconds: f64,
    /// How many seconds ago it last renewed the lease.
    pub silent_seconds: f64,
}

pg::columns!(Leader { holder, seconds, silent_seconds });

pg::columns!(
    struct Held {
        holder: String,
        seconds: f64,
        alive: bool,
    }
);

impl Leases<'_> {
    /// Takes the lease of `run` for `holder`, whose heartbeats come from `connection`. A lease that has expired is free,
    /// and so is one whose holder's session is gone from the server.
    ///
    /// # Errors
    /// [`LeaseError::Held`] when somebody else works on the run.
    pub async fn take(self, connection: &mut PgConnection, run: RunId, holder: &str) -> Result<Lease, LeaseError> {
        let limits = pg::Limits { lock: Duration::from_secs(10), statement: Duration::from_secs(12), durable: true };
        // A lease that lasts longer than any was given before the server's clock was set back. A live holder renews it soon.
        let clamp = self.ledger.sql(
            "UPDATE crossfade.lease SET expires = pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => $2) \
             WHERE run_id = $1 AND expires > pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => $2)",
        );
        pg::query(&clamp).bind(run.0).bind(LEASE_SECONDS).execute(&mut *connection).await?;
        pg::transaction(connection, limits, async |tx| self.take_inside(tx, run, holder).await).await
    }

    async fn take_inside(self, connection: &mut PgConnection, run: RunId, holder: &str) -> Result<Lease, LeaseError> {
        let insert = self.ledger.sql(
            "INSERT INTO crossfade.lease (run_id, epoch, leads, holder, backend_pid, taken_at, expires) \
             VALUES ($1, 0, true, '', 0, 'epoch', 'epoch') ON CONFLICT DO NOTHING",
        );
        pg::query(&insert).bind(run.0).execute(&mut *connection).await?;
        let lock = self.ledger.sql(
            "SELECT holder, EXTRACT(EPOCH FROM expires - pg_catalog.clock_timestamp())::float8 AS seconds, \
             EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = backend_pid \
               AND (a.backend_start IS NULL OR lease.backend_start IS NULL OR a.backend_start = lease.backend_start)) AS alive \
             FROM crossfade.lease WHERE run_id = $1 AND leads FOR UPDATE",
        );
        let now: Held = pg::query_as(&lock).bind(run.0).fetch_one(&mut *connection).await?;
        if now.seconds > 0.0 && now.alive {
            return Err(LeaseError::Held { holder: now.holder, seconds: now.seconds });
        }
        let take = self.ledger.sql(
            "UPDATE crossfade.lease SET epoch = DEFAULT, holder = $2, backend_pid = pg_catalog.pg_backend_pid(), \
             backend_start = (SELECT a.backend_start FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = pg_catalog.pg_backend_pid()), \
             taken_at = pg_catalog.clock_timestamp(), \
             expires = pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => $3) WHERE run_id = $1 AND leads RETURNING epoch",
        );
        let query = pg::query_scalar(&take).bind(run.0).bind(holder).bind(LEASE_SECONDS);
        let epoch = query.fetch_one(&mut *connection).await?;
        Ok(Lease { run, epoch, leads: true })
    }

    /// Renews the lease: the heartbeat. It may not revive a lease that has expired.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] when this process has lost it.
    pub async fn renew(self, connection: &mut PgConnection, lease: Lease) -> Result<(), LeaseError> {
        // The pid follows the heartbeat's connection, which may have been opened anew.
        let renew = self.ledger.sql(&format!(
            "UPDATE crossfade.lease SET backend_pid = pg_catalog.pg_backend_pid(), \
             backend_start = (SELECT a.backend_start FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = pg_catalog.pg_backend_pid()), \
             expires = pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => {LEASE_SECONDS}) \
             WHERE run_id = {} AND epoch = {} AND expires > pg_catalog.clock_timestamp()",
            lease.run, lease.epoch
        ));
        // In one round trip: the server may be far away, and the lease short.
        if pg::update(connection, &renew).await? == 1 { Ok(()) } else { Err(self.lost(connection, lease).await) }
    }

    /// Proves inside the open transaction that this process has the lease, and keeps it until the transaction ends.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] when this process has lost it: the transaction must be rolled back.
    pub async fn fence(self, connection: &mut PgConnection, lease: Lease) -> Result<(), LeaseError> {
        let fence = self.ledger.sql(
            "SELECT 1 FROM crossfade.lease WHERE run_id = $1 AND epoch = $2 AND expires > pg_catalog.clock_timestamp() \
             FOR KEY SHARE",
        );
        let row = pg::query(&fence).bind(lease.run.0).bind(lease.epoch).fetch_optional(&mut *connection).await?;
        if row.is_some() { Ok(()) } else { Err(self.lost(connection, lease).await) }
    }

    /// Returns the query of [`Leases::fence`] with its values, for a script: it says `fenced`, or nothing when the lease
    /// is no longer ours.
    pub(crate) fn fence_sql(self, lease: Lease) -> String {
        self.ledger.sql(&format!(
            "SELECT 'fenced'::text FROM crossfade.lease WHERE run_id = {} AND epoch = {} \
             AND expires > pg_catalog.clock_timestamp() FOR KEY SHARE",
            lease.run, lease.epoch
        ))
    }

    /// Returns the statements of [`Leases::fence`] for a script that ends in a COMMIT: they fail with [`NOT_OURS`] when the lease
    /// is no longer ours, and else say `fenced`. Who comes after them may raise the same SQLSTATE and mean something else.
    pub(crate) fn fence_guard(self, lease: Lease) -> String {
        let is_ours = format!("EXISTS ({})", self.fence_sql(lease));
        format!("{}; SELECT 'fenced'::text", pg::guard(NOT_OURS, &is_ours, "crossfade: the lease is lost"))
    }

    /// Gives the lease back, so that the next runner need not wait. Transactions that are past the fence may still commit.
    ///
    /// # Errors
    /// The server's error; the lease then expires by itself.
    pub async fn release(self, connection: &mut PgConnection, lease: Lease) -> Result<(), sqlx::Error> {
        let release = self
            .ledger
            .sql("UPDATE crossfade.lease SET expires = pg_catalog.clock_timestamp() WHERE run_id = $1 AND epoch = $2");
        pg::query(&release).bind(lease.run.0).bind(lease.epoch).execute(connection).await.map(drop)
    }

    /// Returns the error that names who has the lease now.
    pub(crate) async fn lost(self, connection: &mut PgConnection, lease: Lease) -> LeaseError {
        let who = self.ledger.sql("SELECT holder FROM crossfade.lease WHERE run_id = $1 AND leads AND epoch <> $2");
        match pg::query_scalar(&who).bind(lease.run.0).bind(lease.epoch).fetch_optional(connection).await {
            Ok(holder) => LeaseError::Lost { holder: holder.unwrap_or_else(|| "nobody".to_owned()) },
            Err(error) => LeaseError::Database(error),
        }
    }

    /// Returns the names of the runs that `holder` works on now.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn runs_of(self, connection: &mut PgConnection, holder: &str) -> Result<Vec<String>, sqlx::Error> {
        let select = self.ledger.sql(
            "SELECT DISTINCT r.name FROM crossfade.lease AS l JOIN crossfade.run AS r ON r.id = l.run_id \
             WHERE l.holder = $1 AND l.expires > pg_catalog.clock_timestamp()",
        );
        pg::query_scalar(&select).bind(holder).fetch_all(connection).await
    }

    /// Returns who leads each run with a live lease, unless the session of its heartbeat is gone: then the lease is free.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn leaders(
        self,
        connection: &mut PgConnection,
        runs: &[RunId],
    ) -> Result<ByRun<Leader>, sqlx::Error> {
        let select = format!(
            "SELECT run_id, holder, GREATEST(EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - taken_at)::float8, 0) AS seconds, \
               GREATEST({LEASE_SECONDS} - EXTRACT(EPOCH FROM expires - pg_catalog.clock_timestamp())::float8, 0) AS silent_seconds \
             FROM crossfade.lease WHERE run_id = ANY ($1) AND leads AND expires > pg_catalog.clock_timestamp() \
             AND EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = backend_pid \
               AND (a.backend_start IS NULL OR lease.backend_start IS NULL OR a.backend_start = lease.backend_start))"
        );
        self.ledger.by_run(connection, &select, runs).await
    }
}
