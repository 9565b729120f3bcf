//! What the ledger holds of runs besides their logs, read with one query a table for any number of runs.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{
    ByRun, FillProgress, LastCheck, LastTick, Leader, Ledger, LedgerError, PartitionFill, Peer, Run, Undelivered,
    WriteCounts,
};
use crate::ident::RunId;
use crate::pg::{self, ErrorClass};
use crate::plan::Contract;
use crate::run::{Estimates, HoldTime};

/// What the ledger holds of a run besides its log, all read within a few milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// When it was read, by the server's clock.
    pub(crate) at: DateTime<Utc>,
    /// The process that leads the run; `None` when nobody does.
    pub(crate) leader: Option<Leader>,
    /// The processes that have joined its backfill.
    pub(crate) joined: Vec<Peer>,
    /// Writes through its columns, as counted so far.
    pub(crate) writes: WriteCounts,
    /// What the latest check found; `None` before the first.
    pub(crate) check: Option<LastCheck>,
    /// How far its backfill is; `None` when it has not begun.
    pub(crate) fill: Option<FillProgress>,
    /// How far it is in each partition that it has met, by name; empty where the rows are in one table.
    pub(crate) partitions: Vec<PartitionFill>,
    /// What each signal has cost its backfill, the most expensive first.
    pub(crate) holds: Vec<HoldTime>,
    /// How long it waits before the old column goes: what its plan says, or what it was tuned to.
    pub(crate) contract: Contract,
    /// The last tick; `None` before the first.
    pub(crate) last_tick: Option<LastTick>,
    /// What it was predicted to cost; `None` if there was no prediction.
    pub(crate) predicted: Option<Estimates>,
    /// What has not reached those whom it tells.
    pub(crate) undelivered: Vec<Undelivered>,
}

impl Ledger {
    /// Returns what there is of these runs, in their order: read at once, or each by itself where what is stored of one stops the reading of
    /// all. Locks nothing. Not for use in a transaction, which such an error would end.
    ///
    /// # Errors
    /// The server's when the connection is lost, or when there is one run; of a run by itself, [`LedgerError::Unreadable`] when what is stored
    /// of it is damaged, or the server's error.
    pub(crate) async fn snapshots(
        &self,
        connection: &mut PgConnection,
        runs: &[&Run],
    ) -> Result<Vec<Result<Snapshot, LedgerError>>, LedgerError> {
        let lost = |error: &LedgerError| matches!(error, LedgerError::Database(error) if pg::class_of(error) == ErrorClass::Connection);
        match self.at_once(connection, runs).await {
            Err(error) if runs.len() > 1 && !lost(&error) => {}
            read => return read,
        }
        let mut each = Vec::new();
        for run in runs {
            match self.at_once(connection, &[*run]).await {
                Err(error) if lost(&error) => return Err(error),
                Err(error) => each.push(Err(error)),
                Ok(one) => each.extend(one),
            }
        }
        Ok(each)
    }

    /// As [`Ledger::snapshots`], with one query a table.
    async fn at_once(
        &self,
        connection: &mut PgConnection,
        runs: &[&Run],
    ) -> Result<Vec<Result<Snapshot, LedgerError>>, LedgerError> {
        let ids: Vec<RunId> = runs.iter().map(|run| run.id).collect();
        let at: DateTime<Utc> =
            pg::query_scalar("SELECT pg_catalog.clock_timestamp()").fetch_one(&mut *connection).await?;
        let progress = self.progress();
        let mut leaders = self.leases().leaders(connection, &ids).await?;
        let mut joined = self.leases().joined(connection, &ids).await?;
        let mut writes = progress.write_counts(connection, runs, at).await?;
        let mut checks = progress.last_checks(connection, &ids).await?;
        let mut fills = progress.fills(connection, &ids).await?;
        let divided: Vec<RunId> = runs.iter().filter(|run| run.facts.main().has_members()).map(|run| run.id).collect();
        let mut met =
            if divided.is_empty() { ByRun::default() } else { progress.met_partitions(connection, &divided).await? };
        let mut holds = progress.holds(connection, &ids).await?;
        let mut settings = progress.settings_of(connection, &ids).await?;
        let mut ticks = progress.last_ticks(connection, &ids).await?;
        let mut predictions = self.log().predictions(connection, &ids).await?;
        let mut undelivered = self.outbox().undelivered(connection, &ids).await?;
        let snapshot = |run: &&Run| {
            let id = run.id;
            let relations = fills.all(id);
            Ok(Snapshot {
                at,
                leader: leaders.one(id),
                joined: joined.all(id),
                writes: writes.remove(&id).unwrap_or_default(),
                check: checks.one(id).transpose()?,
                partitions: PartitionFill::of(met.all(id), &relations),
                fill: FillProgress::of(relations),
                holds: holds.all(id).into_iter().flatten().collect(),
                contract: run.contract(&settings.all(id)),
                last_tick: ticks.one(id),
                predicted: predictions.one(id).transpose()?,
                undelivered: undelivered.all(id),
            })
        };
        Ok(runs.iter().map(snapshot).collect())
    }
}
