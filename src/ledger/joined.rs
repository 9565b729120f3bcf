//! Several processes in one backfill. Whoever leads the run keeps the log; others join while rows are being filled. The
//! lease of each says which windows are its own: those of a lease that is not there any more are free.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::windows::{BOOKKEEPING, finish};
use super::{LEASE_SECONDS, Lease, Ledger, LedgerError, Run};
use crate::ident::RunId;
use crate::pg;
use crate::run::Entry;

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

impl Ledger {
    /// Joins the backfill of `run` for `holder`, whose heartbeats come from `connection`. Returns `None` when no backfill is
    /// under way: the run's row is locked, so the run cannot leave its backfill without revoking this lease.
    ///
    /// # Errors
    /// As [`Ledger::append`].
    pub async fn join(
        &self,
        connection: &mut PgConnection,
        run: &Run,
        holder: &str,
    ) -> Result<Option<Lease>, LedgerError> {
        pg::begin(connection, BOOKKEEPING, true).await?;
        let joined = async {
            let lock = self.sql("SELECT 1 FROM crossfade.run WHERE id = $1 FOR NO KEY UPDATE");
            pg::query(&lock).bind(run.id.0).execute(&mut *connection).await?;
            if !self.state(connection, run).await?.is_filling(&run.program) {
                return Ok(None);
            }
            let insert = self.sql(
                "INSERT INTO crossfade.lease (run_id, leads, holder, backend_pid, backend_start, taken_at, expires) \
                 SELECT $1, false, $2, pg_catalog.pg_backend_pid(), \
                   (SELECT a.backend_start FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = pg_catalog.pg_backend_pid()), \
                   pg_catalog.clock_timestamp(), \
                   pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => $3) RETURNING epoch",
            );
            let query = pg::query(&insert).bind(run.id.0).bind(holder).bind(LEASE_SECONDS);
            let epoch = query.fetch_one(&mut *connection).await?.try_get(0)?;
            self.append(connection, run, &[Entry::Joined], holder).await?;
            Ok(Some(Lease { run: run.id, epoch, leads: false }))
        }
        .await;
        finish(connection, joined).await
    }

    /// Returns who works on the run with a live lease: the process that leads it first, then in the order in which they
    /// joined.
    ///
    /// # Errors
    /// The server's error.
    pub async fn peers(&self, connection: &mut PgConnection, run: RunId) -> Result<Vec<Peer>, LedgerError> {
        let select = self.sql(
            "SELECT l.epoch, l.holder, l.leads, (SELECT COALESCE(pg_catalog.sum(w.rows), 0)::bigint \
               FROM crossfade.page_window AS w WHERE w.run_id = $1 AND w.epoch = l.epoch) \
             FROM crossfade.lease AS l WHERE l.run_id = $1 AND l.expires > pg_catalog.clock_timestamp() \
             ORDER BY l.leads DESC, l.epoch",
        );
        let rows = pg::query(&select).bind(run.0).fetch_all(connection).await?;
        rows.iter().map(|row| Ok(peer(row)?)).collect()
    }

    /// Returns the other processes that hold a live lease, without their rows.
    pub(crate) async fn others(&self, connection: &mut PgConnection, lease: Lease) -> Result<Vec<Peer>, LedgerError> {
        let select = self.sql(
            "SELECT epoch, holder, leads, 0::bigint FROM crossfade.lease \
             WHERE run_id = $1 AND epoch <> $2 AND expires > pg_catalog.clock_timestamp() ORDER BY leads DESC, epoch",
        );
        let rows = pg::query(&select).bind(lease.run.0).bind(lease.epoch).fetch_all(connection).await?;
        rows.iter().map(|row| Ok(peer(row)?)).collect()
    }

    /// Gives back the lease of a process that had joined, whether or not it was revoked meanwhile. Its windows are free.
    /// Returns the rows filled in them.
    ///
    /// # Errors
    /// As [`Ledger::append`]; the lease then expires by itself.
    pub async fn leave(
        &self,
        connection: &mut PgConnection,
        run: &Run,
        lease: Lease,
        holder: &str,
    ) -> Result<i64, LedgerError> {
        pg::begin(connection, BOOKKEEPING, true).await?;
        let left = async {
            let select = self.sql(
                "SELECT COALESCE(pg_catalog.sum(rows), 0)::bigint FROM crossfade.page_window WHERE run_id = $1 AND epoch = $2",
            );
            let query = pg::query(&select).bind(lease.run.0).bind(lease.epoch);
            let rows = query.fetch_one(&mut *connection).await?.try_get(0)?;
            self.append(connection, run, &[Entry::Left { rows }], holder).await?;
            let delete = self.sql("DELETE FROM crossfade.lease WHERE run_id = $1 AND epoch = $2 AND NOT leads");
            pg::query(&delete).bind(lease.run.0).bind(lease.epoch).execute(&mut *connection).await?;
            Ok(rows)
        }
        .await;
        finish(connection, left).await
    }

    /// Returns whether anything of the current pass is not done that is not this process's own: a window of another
    /// process, a late page, or pages that nobody has.
    pub(crate) async fn others_fill(&self, connection: &mut PgConnection, lease: Lease) -> Result<bool, LedgerError> {
        let select = self.sql(
            "SELECT b.next_page < b.bound OR EXISTS (SELECT FROM crossfade.page_window AS w WHERE w.run_id = $1 \
               AND w.pass = b.pass AND w.done_at IS NULL AND w.epoch <> $2) \
             FROM crossfade.backfill AS b WHERE b.run_id = $1",
        );
        let row = pg::query(&select).bind(lease.run.0).bind(lease.epoch).fetch_optional(connection).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(false))
    }

    /// Revokes the leases of other processes that have expired, or whose process is gone. What they had open has committed
    /// or never will, and their windows are free. Returns who they were.
    ///
    /// Deleting a row waits for the transactions that are past its fence. It has its own transaction, so that nobody waits for
    /// this one meanwhile.
    pub(crate) async fn remove_dead(
        &self,
        connection: &mut PgConnection,
        lease: Lease,
    ) -> Result<Vec<String>, LedgerError> {
        pg::begin(connection, BOOKKEEPING, true).await?;
        let removed = async {
            let delete = self.sql(
                "DELETE FROM crossfade.lease AS l WHERE l.run_id = $1 AND l.epoch <> $2 \
                 AND (l.expires <= pg_catalog.clock_timestamp() \
                   OR l.expires < pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => $3) \
                   AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = l.backend_pid \
                     AND (a.backend_start IS NULL OR l.backend_start IS NULL OR a.backend_start = l.backend_start))) \
                 RETURNING l.holder",
            );
            let silent = LEASE_SECONDS - SILENT_SECONDS;
            let query = pg::query(&delete).bind(lease.run.0).bind(lease.epoch).bind(silent);
            let rows = query.fetch_all(&mut *connection).await?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        }
        .await;
        finish(connection, removed).await
    }

    /// Revokes the leases of all processes that have joined, inside the transaction by which the run leaves its backfill:
    /// nothing is filled into a column that later steps rename or drop. Waits for their open batches.
    pub(super) async fn revoke_joined(&self, connection: &mut PgConnection, run: RunId) -> Result<(), LedgerError> {
        let delete = self.sql("DELETE FROM crossfade.lease WHERE run_id = $1 AND NOT leads");
        pg::query(&delete).bind(run.0).execute(connection).await?;
        Ok(())
    }
}

fn peer(row: &PgRow) -> Result<Peer, sqlx::Error> {
    Ok(Peer { epoch: row.try_get(0)?, holder: row.try_get(1)?, leads: row.try_get(2)?, rows: row.try_get(3)? })
}
