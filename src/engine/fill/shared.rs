//! What the control loop and the workers of a backfill share.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::PgConnection;

use super::method::Method;
use super::pace::BatchSize;
use crate::engine::{Error, Work};
use crate::run::{FillSpec, Relation, StepKey};

/// How many pages a batch takes, as the last worker that was done has learned it; none before.
pub(super) type Learned = Mutex<Option<BatchSize>>;

/// What all workers of a table share.
pub(super) struct Shared {
    pub(super) work: Work,
    pub(super) spec: FillSpec,
    pub(super) relation: Relation,
    /// With the other tables of the step.
    pub(super) learned: Arc<Learned>,
    pub(super) method: Method,
    /// Whether the server counts HOT updates.
    pub(super) counts_hot: bool,
    pub(super) step: StepKey,
    /// Settings of a batch's transaction, as statements.
    pub(super) session: String,
    /// Below `deadlock_timeout`, so that in a deadlock crossfade gives up and never the application (docs/postgres.md, "Who
    /// loses a deadlock").
    pub(super) lock_timeout: Duration,
    /// The longest that a batch may take with all its waits together, for the same reason: when the detector of the
    /// application's session looks, the batch that it waits for has not begun yet to wait, or has given up.
    pub(super) batch_timeout: Duration,
}

impl Shared {
    pub(super) fn table_oid(&self) -> i64 {
        self.relation.oid
    }
}

/// Connects, with retries while the server is unreachable.
pub(super) async fn connect(work: &Work, purpose: &str, announce: bool) -> Result<PgConnection, Error> {
    let sink = announce.then_some(&work.sink);
    work.connector.connect_patiently(purpose, &work.stop, sink).await?.ok_or(Error::Interrupted)
}
