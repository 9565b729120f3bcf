//! The connections of a runner, and whether they reach the server directly.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::Error;
use crate::engine::{CHECK_CONNECTIONS, Work};
use crate::event::Event;
use crate::pg::{self, Connector, ErrorClass, Way};
use crate::plan::Plan;
use crate::run::{Action, Entry, Step};

/// How often crossfade reconnects before the run stops: with the pauses below, about a minute.
const RECONNECTS: u32 = 12;

/// How often crossfade asks a server that it waits for whether it is still there.
const ASK: Duration = Duration::from_secs(5);
/// The connections of a run besides those of its steps: the heartbeat and the two of the step loop.
const SESSION: usize = 3;

/// The two connections of the step loop: one works, the other looks up who blocks it.
pub(super) struct Session {
    /// Runs transactions.
    pub(super) main: PgConnection,
    /// The backend of `main`.
    pub(super) main_pid: i32,
    /// Looks at the server while `main` waits.
    pub(super) watch: PgConnection,
    /// What the last look at the catalog has found.
    pub(super) known: Option<Known>,
}

/// A catalog that is as the run needs it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// Its signature; what the run itself has done since the look is in it.
    pub(super) signature: String,
    /// What others made on a new column alone, which goes with it on the way back.
    pub(super) lost: Vec<String>,
    /// Whether others made nothing on a column that only lends its name.
    pub(super) free: bool,
    /// When everything had been looked at.
    pub(super) looked: Instant,
}

impl Session {
    pub(super) async fn open(connector: &Connector) -> Result<Self, sqlx::Error> {
        let mut main = connector.connect("run").await?;
        let main_pid = pg::backend_pid(&mut main).await?;
        let watch = connector.connect("watch").await?;
        Ok(Self { main, main_pid, watch, known: None })
    }

    /// Gives the connections back when everything has gone well.
    pub(super) fn keep(self, connector: &Connector) {
        connector.keep(self.watch);
        connector.keep(self.main);
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
            let opened = tokio::select! {
                opened = Self::open(&work.connector) => opened,
                () = work.stop.cancelled() => return Err(Error::Interrupted),
            };
            match opened {
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
/// CREATE INDEX CONCURRENTLY cannot be given its own (docs/postgres.md, "Transaction poolers").
///
/// # Errors
/// [`Error::Pooler`] when there is one; [`Error::TooFewConnections`] where there can be only one connection.
pub(super) async fn refuse_pooler(connector: &Connector) -> Result<(), Error> {
    match connector.way().await? {
        Way::Direct => Ok(()),
        Way::TransactionPooler => Err(Error::Pooler),
        Way::OneConnection => Err(Error::TooFewConnections { needed: SESSION, got: 1, said: String::new() }),
    }
}

/// Opens as many connections as `steps` of a run of `plan` need at the same time besides those that are `open`, and closes them again:
/// where there is no room for them, it would stand still later, in the queue of a pooler, without a word.
///
/// # Errors
/// [`Error::TooFewConnections`].
pub(super) async fn require_room(
    connector: &Connector,
    plan: &Plan,
    steps: &[&Step],
    open: usize,
) -> Result<(), Error> {
    let needed = connections(plan, steps);
    match connector.room_for(needed, open).await {
        (_, None) => Ok(()),
        (0, Some(error)) if open == 0 => Err(error.into()),
        (got, Some(error)) => Err(Error::TooFewConnections { needed, got, said: pg::describe(&error) }),
    }
}

/// Returns how many connections are open at the same time, at the most, while `steps` are done.
fn connections(plan: &Plan, steps: &[&Step]) -> usize {
    let of_step = |step: &Step| match &step.action {
        // The control loop, the signals, somebody who looks who is in the way, the probes, the workers.
        Action::Fill(_) => {
            let probes = usize::from(plan.throttle.probe.is_some()) + usize::from(plan.backfill.goal_latency.is_some());
            3 + probes + usize::from(plan.backfill.workers)
        }
        Action::Compare(_) => CHECK_CONNECTIONS,
        Action::Concurrent { .. } | Action::BuildInPartitions(_) => 1,
        Action::Transaction(_) | Action::Await(_) => 0,
    };
    // Somebody delivers what is announced meanwhile.
    let courier = usize::from(cfg!(feature = "notify") && !plan.notify.is_empty());
    SESSION + courier + steps.iter().map(|step| of_step(step)).max().unwrap_or_default()
}

/// Waits until the server has been silent for a minute. Asks it now and then, on `connection`, which is opened anew when it is
/// lost.
pub(super) async fn silence(connector: &Connector, connection: &mut PgConnection) -> Error {
    let (mut heard, mut is_lost) = (Instant::now(), false);
    loop {
        tokio::time::sleep(ASK).await;
        let asked = async {
            if is_lost {
                *connection = connector.connect("control").await?;
            }
            pg::up_to(Duration::ZERO, pg::batch(connection, "SELECT")).await
        };
        match asked.await {
            Ok(()) => (heard, is_lost) = (Instant::now(), false),
            Err(error) if heard.elapsed() > pg::PATIENCE => return Error::Unreachable { last: pg::describe(&error) },
            Err(error) => {
                tracing::debug!(%error, "no word from the server");
                is_lost = true;
            }
        }
    }
}

/// Appends one entry, in its own transaction that proves the lease.
pub(super) async fn note(work: &Work, session: &mut Session, entry: Entry) -> Result<(), Error> {
    work.ledger.log().record(&mut session.main, &work.run, Some(work.lease), &[entry], &work.actor).await?;
    Ok(())
}
