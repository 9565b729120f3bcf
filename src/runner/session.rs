//! The connections of a runner, and whether they reach the server directly.

use std::time::Duration;

use sqlx::PgConnection;

use super::Error;
use crate::engine::Work;
use crate::event::Event;
use crate::pg::{self, Connector, ErrorClass};
use crate::run::Entry;

/// How often crossfade reconnects before the run stops: with the pauses below, about a minute.
const RECONNECTS: u32 = 12;

/// The two connections of the step loop: one works, the other looks up who blocks it.
pub(super) struct Session {
    /// Runs transactions.
    pub(super) main: PgConnection,
    /// The backend of `main`.
    pub(super) main_pid: i32,
    /// Looks at the server while `main` waits.
    pub(super) watch: PgConnection,
}

impl Session {
    pub(super) async fn open(connector: &Connector) -> Result<Self, sqlx::Error> {
        let mut main = connector.connect("run").await?;
        let main_pid = pg::backend_pid(&mut main).await?;
        let watch = connector.connect("watch").await?;
        Ok(Self { main, main_pid, watch })
    }

    /// Reopens the connections after a loss, with growing pauses, and proves that this process still has the lease.
    pub(super) async fn reopen(work: &Work, cause: &Error) -> Result<Self, Error> {
        let mut last = cause.to_string();
        for attempt in 1..=RECONNECTS {
            work.emit(Event::Reconnecting { reason: last.clone(), attempt });
            let pause = Duration::from_millis(250 * 2_u64.pow(attempt.min(5)));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = work.stop.cancelled() => return Err(Error::Interrupted),
            }
            match Self::open(&work.connector).await {
                Ok(mut session) => {
                    work.ledger.leases().renew(&mut session.main, work.lease).await?;
                    return Ok(session);
                }
                Err(error) if pg::class_of(&error) == ErrorClass::Refused => return Err(error.into()),
                Err(error) => last = pg::describe(&error),
            }
        }
        Err(Error::Unreachable { last })
    }
}

/// Refuses a connection that goes through a transaction pooler: session settings would leak to applications, and
/// CREATE INDEX CONCURRENTLY cannot be given its own (docs/postgres.md, "Transaction poolers"). While one client is inside a
/// transaction, two clients of a pooler can be seen on one backend, or one client on two.
///
/// # Errors
/// [`Error::Pooler`] when there is a pooler.
pub(super) async fn refuse_pooler(connector: &Connector) -> Result<(), Error> {
    let mut first = connector.connect("probe").await?;
    let mut second = connector.connect("probe").await?;
    let before = pg::backend_pid(&mut first).await?;
    pg::batch(&mut second, "BEGIN").await?;
    let other = pg::backend_pid(&mut second).await?;
    let after = pg::backend_pid(&mut first).await?;
    pg::rollback(&mut second).await;
    if before == other || before != after {
        return Err(Error::Pooler);
    }
    Ok(())
}

/// Appends one entry, in its own transaction that proves the lease.
pub(super) async fn note(work: &Work, session: &mut Session, entry: Entry) -> Result<(), Error> {
    work.ledger.log().record(&mut session.main, &work.run, Some(work.lease), &[entry], &work.actor).await?;
    Ok(())
}
