//! Keeps the lease alive from its own connection, and notes when the old column was last written.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{Error, evidence};
use crate::engine::Work;
use crate::latest::Latest;
use crate::ledger::{LeaseError, LedgerError};
use crate::pg;
use crate::run::Phase;

/// Time between two heartbeats: five of them fit into a lease.
const INTERVAL: Duration = Duration::from_secs(3);
/// How long the answer to a beat may take. What is left of the lease is enough to connect again and to renew it.
const ANSWER: Duration = Duration::from_secs(5);
/// Time before a lost connection is opened again: others may soon consider this process dead.
const AGAIN: Duration = Duration::from_millis(500);

/// Whoever is told to stop while the server has been silent for this long need not wait for it.
const NO_WORD: Duration = Duration::from_secs(8);

/// A running heartbeat; dropping it stops it.
pub(super) struct Heartbeat {
    task: JoinHandle<()>,
    /// Cancelled once the lease is lost.
    lost: CancellationToken,
    heard: Latest<Heard>,
    stop: CancellationToken,
}

/// What the heartbeat has heard from the server.
#[derive(Debug, Clone, Default)]
struct Heard {
    /// Beats that were answered.
    beats: u64,
    /// Why the latest was not.
    error: String,
}

impl Heartbeat {
    /// Waits until there is no use in going on: the lease is lost, the server has not been heard of for a minute, or for a
    /// few seconds where this process is to stop. So a process ends although what it waits for never comes.
    pub(super) async fn gives_up(&self) -> Error {
        let stopped = async {
            self.stop.cancelled().await;
            self.silent_for(NO_WORD).await;
        };
        tokio::select! {
            () = self.lost.cancelled() => LeaseError::Lost { holder: "somebody else".to_owned() }.into(),
            () = stopped => Error::Interrupted,
            () = self.silent_for(pg::PATIENCE) => Error::Unreachable { last: self.heard.get().error },
        }
    }

    /// Waits until the server has been silent for so long. Time in which this process was stopped does not count.
    async fn silent_for(&self, time: Duration) {
        let (mut silent, mut beats) = (Duration::ZERO, self.heard.get().beats);
        while silent < time {
            tokio::time::sleep(AGAIN).await;
            let now = self.heard.get().beats;
            silent = if now == beats { silent + AGAIN } else { Duration::ZERO };
            beats = now;
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts the heartbeat of `work` on `connection`.
pub(super) fn start(work: Work, connection: sqlx::PgConnection) -> Heartbeat {
    let lost = CancellationToken::new();
    let heard = Latest::new(Heard::default());
    let (pulse, span, stop) = (work.pulse.clone(), work.heartbeat_span(), work.stop.clone());
    let beating = beat(work, connection, lost.clone(), heard.clone());
    let beating = async move { pulse.beating("the heartbeat", beating).await };
    let task = tokio::spawn(beating.instrument(span));
    Heartbeat { task, lost, heard, stop }
}

async fn beat(work: Work, connection: sqlx::PgConnection, lost: CancellationToken, heard: Latest<Heard>) {
    let mut connection = Some(connection);
    loop {
        tokio::time::sleep(if connection.is_some() { INTERVAL } else { AGAIN }).await;
        let beaten = match connection.as_mut() {
            Some(open) => once(&work, open).await,
            None => match work.connector.connect("heartbeat").await {
                Ok(open) => once(&work, connection.insert(open)).await,
                Err(error) => Err(LeaseError::Database(error)),
            },
        };
        match beaten {
            Ok(()) => heard.change(|heard| heard.beats += 1),
            Err(LeaseError::Database(error)) => {
                let error = pg::describe(&error);
                tracing::warn!(error, "heartbeat: reconnecting");
                heard.change(|heard| heard.error = error);
                connection = None;
            }
            Err(error) => {
                tracing::warn!(%error, "heartbeat");
                lost.cancel();
                return;
            }
        }
    }
}

async fn once(work: &Work, connection: &mut sqlx::PgConnection) -> Result<(), LeaseError> {
    let beaten = tokio::time::timeout(ANSWER, beat_once(work, connection)).await;
    beaten.unwrap_or_else(|_| Err(LeaseError::Database(pg::no_answer())))
}

async fn note_uses(work: &Work, connection: &mut sqlx::PgConnection) -> Result<(), LedgerError> {
    if work.ledger.log().phase(connection, work.run.id).await? != Some(Phase::Switch) {
        return Ok(());
    }
    evidence::note_clients(&work.ledger, connection, &work.run).await
}

async fn beat_once(work: &Work, connection: &mut sqlx::PgConnection) -> Result<(), LeaseError> {
    work.ledger.leases().renew(connection, work.lease).await?;
    if work.lease.leads
        && let Err(error) = work.ledger.progress().sample_writes(connection, &work.run).await
    {
        tracing::debug!(%error, "write counters");
    }
    if work.lease.leads
        && let Err(error) = note_uses(work, connection).await
    {
        tracing::debug!(%error, "who uses the old column");
    }
    Ok(())
}
