//! Keeps the lease alive from its own connection, and notes when the old column was last written.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::engine::Work;
use crate::ledger::{LeaseError, lease_time};
use crate::pg;

/// Time between two heartbeats: five of them fit into a lease.
const INTERVAL: Duration = Duration::from_secs(3);
/// Time before a lost connection is opened again: others may soon consider this process dead.
const AGAIN: Duration = Duration::from_millis(500);

/// A running heartbeat; dropping it stops it.
pub(super) struct Heartbeat {
    task: JoinHandle<()>,
    /// Cancelled once the lease is lost.
    pub(super) lost: CancellationToken,
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts the heartbeat of `work` on `connection`.
pub(super) fn start(work: Work, connection: sqlx::PgConnection) -> Heartbeat {
    let lost = CancellationToken::new();
    let (pulse, span) = (work.pulse.clone(), work.span());
    let beating = beat(work, connection, lost.clone());
    let beating = async move { pulse.beating("the heartbeat", beating).await };
    let task = tokio::spawn(beating.instrument(span));
    Heartbeat { task, lost }
}

async fn beat(work: Work, connection: sqlx::PgConnection, lost: CancellationToken) {
    let mut connection = Some(connection);
    loop {
        tokio::time::sleep(if connection.is_some() { INTERVAL } else { AGAIN }).await;
        if connection.is_none() {
            connection = work.connector.connect("heartbeat").await.ok();
        }
        let Some(open) = connection.as_mut() else { continue };
        // An answer that comes later is of no use: the lease has expired by then.
        let beaten = tokio::time::timeout(lease_time(), once(&work, open)).await;
        match beaten.unwrap_or_else(|_| Err(LeaseError::Database(pg::no_answer()))) {
            Ok(()) => {}
            Err(LeaseError::Database(error)) => {
                tracing::warn!(error = %pg::describe(&error), "heartbeat: reconnecting");
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
    work.ledger.leases().renew(connection, work.lease).await?;
    if work.lease.leads
        && let Err(error) = work.ledger.progress().sample_writes(connection, &work.run).await
    {
        tracing::debug!(%error, "write counters");
    }
    Ok(())
}
