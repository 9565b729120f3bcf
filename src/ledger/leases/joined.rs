//! Several processes in one backfill. Whoever leads the run keeps the log; others join while rows are being filled. The
//! lease of each says which windows are its own: those of a lease that is not there any more are free.

use sqlx::PgConnection;

use super::{Lease, Leases};
use crate::ident::RunId;
#[cfg(doc)]
use crate::ledger::Log;
use crate::ledger::{BOOKKEEPING, ByRun, LEASE_SECONDS, LedgerError, Run};
use crate::pg;
use crate::run::{Actor, Entry};

/// After this many seconds without a heartbeat (two were due by then), a process whose session is gone from the server is
/// considered dead. A process that only had to reconnect has done so by then.
const SILENT_SECONDS: f64 = 7.0;

/// A process that works on a run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Peer {
    /// The epoch of its lease.
    #[serde(skip)]
    pub epoch: i64,
    /// User, host and process.
    pub holder: String,
    /// Whether it leads the run.
    pub leads: bool,
    /// Rows filled in the windows that are its own now, in all passes.
    pub rows: i64,
}

pg::columns!(Peer { epoch, holder, leads, rows });

impl Leases<'_> {
    /// Joins the backfill of `run` for `holder`, whose heartbeats come from `connection`. Returns `None` when no backfill is
    /// under way: the run's row is locked, so the run cannot leave its backfill without revoking this lease.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub async fn join(
        self,
        connection: &mut PgConnection,
        run: &Run,
        holder: &Actor,
    ) -> Result<Option<Lease>, LedgerError> {
        pg::transaction(connection, BOOKKEEPING, async |tx| {
            let log = self.ledger.log();
            log.lock(tx, run.id).await?;
            if !log.state(tx, run).await?.is_filling(&run.program) {
                return Ok(None);
            }
            let insert = self.ledger.sql(
                "INSERT INTO crossfade.lease (run_id, leads, holder, backend_pid, backend_start, taken_at, expires) \
                 SELECT $1, false, $2, pg_catalog.pg_backend_pid(), \
                   (SELECT a.backend_start FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = pg_catalog.pg_backend_pid()), \
                   pg_catalog.clock_timestamp(), \
                   pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => $3) RETURNING epoch",
            );
            let query = pg::query_scalar(&insert).bind(run.id.0).bind(holder.to_string()).bind(LEASE_SECONDS);
            let epoch = query.fetch_one(&mut *tx).await?;
            log.append(tx, run, &[Entry::Joined], holder).await?;
            Ok(Some(Lease { run: run.id, epoch, leads: false }))
        })
        .await
    }

    /// Returns who has joined the backfill of each run with a live lease, in the order in which they joined.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn joined(
        self,
        connection: &mut PgConnection,
        runs: &[RunId],
    ) -> Result<ByRun<Peer>, sqlx::Error> {
        let select = "SELECT l.run_id, l.epoch, l.holder, l.leads, (SELECT COALESCE(pg_catalog.sum(w.rows), 0)::bigint \
               FROM crossfade.page_window AS w WHERE w.run_id = l.run_id AND w.epoch = l.epoch) AS rows \
             FROM crossfade.lease AS l WHERE l.run_id = ANY ($1) AND NOT l.leads AND l.expires > pg_catalog.clock_timestamp() \
             ORDER BY l.epoch";
        self.ledger.by_run(connection, select, runs).await
    }

    /// Returns the other processes that hold a live lease, without their rows.
    pub(crate) async fn others(self, connection: &mut PgConnection, lease: Lease) -> Result<Vec<Peer>, LedgerError> {
        let select = self.ledger.sql(
            "SELECT epoch, holder, leads, 0::bigint AS rows FROM crossfade.lease \
             WHERE run_id = $1 AND epoch <> $2 AND expires > pg_catalog.clock_timestamp() ORDER BY leads DESC, epoch",
        );
        Ok(pg::query_as(&select).bind(lease.run.0).bind(lease.epoch).fetch_all(connection).await?)
    }

    /// Gives back the lease of a process that had joined, whether or not it was revoked meanwhile. Its windows are free.
    /// Returns the rows filled in them.
    ///
    /// # Errors
    /// As [`Log::append`]; the lease then expires by itself.
    pub async fn leave(
        self,
        connection: &mut PgConnection,
        run: &Run,
        lease: Lease,
        holder: &Actor,
    ) -> Result<i64, LedgerError> {
        pg::transaction(connection, BOOKKEEPING, async |tx| {
            let select = self.ledger.sql(
                "SELECT COALESCE(pg_catalog.sum(rows), 0)::bigint FROM crossfade.page_window WHERE run_id = $1 AND epoch = $2",
            );
            let query = pg::query_scalar(&select).bind(lease.run.0).bind(lease.epoch);
            let rows = query.fetch_one(&mut *tx).await?;
            self.ledger.log().append(tx, run, &[Entry::Left { rows }], holder).await?;
            let delete = self.ledger.sql("DELETE FROM crossfade.lease WHERE run_id = $1 AND epoch = $2 AND NOT leads");
            pg::query(&delete).bind(lease.run.0).bind(lease.epoch).execute(&mut *tx).await?;
            Ok(rows)
        })
        .await
    }

    /// Revokes the leases of other processes that have expired, or whose process is gone. What they had open has committed
    /// or never will, and their windows are free. Returns who they were.
    ///
    /// Deleting a row waits for the transactions that are past its fence. It has its own transaction, so that nobody waits for
    /// this one meanwhile.
    pub(crate) async fn remove_dead(
        self,
        connection: &mut PgConnection,
        lease: Lease,
    ) -> Result<Vec<String>, LedgerError> {
        pg::transaction(connection, BOOKKEEPING, async |tx| {
            let delete = self.ledger.sql(
                "DELETE FROM crossfade.lease AS l WHERE l.run_id = $1 AND l.epoch <> $2 \
                 AND (l.expires <= pg_catalog.clock_timestamp() \
                   OR (l.expires < pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => $3) \
                     OR l.expires > pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => $4)) \
                   AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = l.backend_pid \
                     AND (a.backend_start IS NULL OR l.backend_start IS NULL OR a.backend_start = l.backend_start))) \
                 RETURNING l.holder",
            );
            let silent = LEASE_SECONDS - SILENT_SECONDS;
            // The last is the lease of a process that has not renewed it since the server's clock was set back.
            let query = pg::query_scalar(&delete).bind(lease.run.0).bind(lease.epoch).bind(silent).bind(LEASE_SECONDS);
            Ok(query.fetch_all(&mut *tx).await?)
        })
        .await
    }

    /// Returns the statement that revokes the leases of all processes that have joined, inside the transaction by which the run leaves its backfill:
    /// nothing is filled into a column that later steps rename or drop. Waits for their open batches.
    pub(in crate::ledger) fn revoke_joined(self, run: RunId) -> String {
        self.ledger.sql(&format!("DELETE FROM crossfade.lease WHERE run_id = {run} AND NOT leads"))
    }
}
