//! Connecting, also to a server that comes and goes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Executor as _, PgConnection, Row as _};
use tokio_util::sync::CancellationToken;

use super::answer::{answer, no_answer, up_to};
use super::{ErrorClass, batch, class_of, describe, pins, rollback, sqlstate};
use crate::event::{Event, EventSink};
use crate::sql::quote_literal;

/// How long a server may be unreachable before crossfade gives up. The lease is lost before that; then the run must be
/// resumed by a new call.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// How long a server may take to accept a connection and its settings. One that is stopped, or behind a network that
/// swallows everything, never answers at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long crossfade tries again where all of a role's or a server's connections are taken: some may be its own, which it
/// has just closed and whose backends have not ended yet.
const TAKEN: Duration = Duration::from_secs(3);

/// How long a connection that is not needed any more is kept for the next who needs one: shorter than others wait for a free one.
const SPARE: Duration = Duration::from_secs(2);
/// How long a spare connection may take to answer before another is opened.
const SPARE_ANSWER: Duration = Duration::from_secs(2);

/// What connects for this takes spare connections that were opened for it, and nobody else takes them: `RESET ALL`, behind the code of a
/// table's owner, gives a session the name back with which it was opened; and the server has read from its catalog what a batch takes.
pub(crate) const WORKER: &str = "backfill";

/// Where to connect. Never printed whole: it contains the password. Clones know what one of them has found out about the way
/// to the server.
#[derive(Clone)]
pub struct Connector {
    options: PgConnectOptions,
    /// Whether it is proven that no transaction pooler is in between, so that a session's settings stay in it.
    is_direct: Arc<AtomicBool>,
    /// How many connections were found to fit.
    room: Arc<AtomicUsize>,
    /// Connections that nobody needs at the moment, the latest last.
    spare: Arc<Mutex<Vec<Spare>>>,
}

/// A connection that nobody needs at the moment.
struct Spare {
    /// When it was last used.
    since: Instant,
    /// Whether it was opened for [`WORKER`].
    of_worker: bool,
    connection: PgConnection,
}

/// What is between crossfade and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nothing, or a pooler that gives each client a session.
    Direct,
    /// A pooler that gives clients a session for a transaction.
    TransactionPooler,
    /// A pooler that has one session only, and lets others wait.
    OneConnection,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("target", &self.target()).finish_non_exhaustive()
    }
}

impl Connector {
    /// Returns a connector to the database that `options` name.
    pub fn new(options: PgConnectOptions) -> Self {
        let options = options.statement_cache_capacity(0);
        Self { options, is_direct: Arc::default(), room: Arc::default(), spare: Arc::default() }
    }

    /// Returns host, port and database, for people.
    pub fn target(&self) -> String {
        let host =
            self.options.get_socket().map_or_else(|| self.options.get_host().to_owned(), |p| p.display().to_string());
        let database = self.options.get_database().unwrap_or_else(|| self.options.get_username());
        format!("{database} at {host}:{}", self.options.get_port())
    }

    /// Returns the role that it connects as.
    pub fn role(&self) -> &str {
        self.options.get_username()
    }

    /// Opens a connection whose `application_name` is `crossfade <purpose>`. Once the way to the server is proven to be
    /// direct, its settings are pinned.
    ///
    /// # Errors
    /// Whatever keeps the connection from being made.
    pub async fn connect(&self, purpose: &str) -> Result<PgConnection, sqlx::Error> {
        if let Some(spare) = self.take_spare(purpose) {
            match tokio::time::timeout(SPARE_ANSWER, Box::pin(self.renewed(spare, purpose))).await {
                Ok(Ok(connection)) => return Ok(connection),
                why => tracing::debug!(?why, "a spare connection is of no use"),
            }
        }
        let begun = Instant::now();
        loop {
            let connecting = tokio::time::timeout(CONNECT_TIMEOUT, Box::pin(self.settled(purpose)));
            match connecting.await.unwrap_or_else(|_| Err(no_answer())) {
                Err(error) if sqlstate(&error).as_deref() == Some("53300") && begun.elapsed() < TAKEN => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                result => return result,
            }
        }
    }

    /// Keeps a connection for a moment, for the next who needs one: a new one costs the server more than many a statement. What went well
    /// may give its connection back; one that may be in the middle of a statement must be dropped, which ends it at once.
    pub(crate) fn keep(&self, connection: PgConnection) {
        self.keep_spare(false, connection);
    }

    /// The same for one that was opened for [`WORKER`].
    pub(crate) fn keep_worker(&self, connection: PgConnection) {
        self.keep_spare(true, connection);
    }

    fn keep_spare(&self, of_worker: bool, connection: PgConnection) {
        if !self.is_direct.load(Ordering::Relaxed) {
            return;
        }
        self.spares().push(Spare { since: Instant::now(), of_worker, connection });
        let spare = Arc::downgrade(&self.spare);
        tokio::spawn(async move {
            tokio::time::sleep(SPARE).await;
            if let Some(spare) = spare.upgrade() {
                spare.lock().unwrap_or_else(PoisonError::into_inner).retain(|spare| spare.since.elapsed() < SPARE);
            }
        });
    }

    fn spares(&self) -> std::sync::MutexGuard<'_, Vec<Spare>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_spare(&self, purpose: &str) -> Option<PgConnection> {
        let mut spares = self.spares();
        let last = spares.iter().rposition(|spare| spare.of_worker == (purpose == WORKER))?;
        let spare = spares.remove(last);
        drop(spares);
        (spare.since.elapsed() < SPARE).then_some(spare.connection)
    }

    /// Returns a spare connection as a new one would be. The server refuses to forget a session's state inside a transaction.
    async fn renewed(&self, mut spare: PgConnection, purpose: &str) -> Result<PgConnection, sqlx::Error> {
        batch(&mut spare, "DISCARD ALL").await?;
        let name = format!("SET application_name = {}", quote_literal(&format!("crossfade {purpose}")));
        batch(&mut spare, &[pins::statements(), vec![name]].concat().join("; ")).await?;
        Ok(spare)
    }

    async fn settled(&self, purpose: &str) -> Result<PgConnection, sqlx::Error> {
        let mut connection = self.open(purpose).await?;
        if self.is_direct.load(Ordering::Relaxed) {
            batch(&mut connection, &pins::statements().join("; ")).await?;
        }
        Ok(connection)
    }

    /// Opens a connection and sets nothing.
    async fn open(&self, purpose: &str) -> Result<PgConnection, sqlx::Error> {
        use sqlx::Connection as _;
        let options = self.options.clone().application_name(&format!("crossfade {purpose}"));
        let first = PgConnection::connect_with(&options).await;
        match first {
            // As libpq does: TLS only where the server does not want to do without. (The driver never uses it then.)
            Err(error)
                if matches!(options.get_ssl_mode(), PgSslMode::Allow) && class_of(&error) == ErrorClass::Refused =>
            {
                let encrypted = PgConnection::connect_with(&options.ssl_mode(PgSslMode::Require)).await;
                encrypted.map_err(|_| error)
            }
            result => result,
        }
    }

    /// Finds out, once, what is between crossfade and the server, before any session is set up: in a transaction pooler,
    /// settings would end up in the sessions of applications (docs/postgres.md, "Transaction poolers"). While one client is
    /// inside a transaction, two clients of such a pooler can be seen on one backend, or one client on two, or one waits for
    /// the other.
    ///
    /// # Errors
    /// Whatever keeps two connections from being made.
    pub(crate) async fn way(&self) -> Result<Way, sqlx::Error> {
        if self.is_direct.load(Ordering::Relaxed) {
            return Ok(Way::Direct);
        }
        let open = async || {
            let opening = tokio::time::timeout(CONNECT_TIMEOUT, Box::pin(self.open("probe")));
            opening.await.unwrap_or_else(|_| Err(no_answer()))
        };
        let (mut first, mut second) = (open().await?, open().await?);
        // Nothing here takes any time on the server: who waits longer waits in a queue.
        let way = up_to(Duration::ZERO, look(&mut first, &mut second)).await?;
        if way == Way::Direct {
            self.is_direct.store(true, Ordering::Relaxed);
            self.keep(first);
            self.keep(second);
        }
        Ok(way)
    }

    /// Returns how many of `wanted` connections can be open and answer at the same time, of which this process has `open` now,
    /// and what the next one said. What was found to fit once is not tried again.
    pub(crate) async fn room_for(&self, wanted: usize, open: usize) -> (usize, Option<sqlx::Error>) {
        if wanted <= self.room.load(Ordering::Relaxed) {
            return (wanted, None);
        }
        let opening = (open..wanted).map(|_| self.connect("probe"));
        let mut fit = Vec::new();
        let mut said = None;
        for opened in futures_util::future::join_all(opening).await {
            match opened {
                Ok(connection) => fit.push(connection),
                Err(error) => said = said.or(Some(error)),
            }
        }
        let got = fit.len() + open;
        self.room.fetch_max(got, Ordering::Relaxed);
        for connection in fit {
            self.keep(connection);
        }
        (got, said)
    }

    /// Opens a connection, again and again for up to a minute while the server is away. Returns `None` when `stop` was
    /// cancelled meanwhile. Each failed try is an event, if there is a sink.
    ///
    /// # Errors
    /// The last error, when the server stays away or refuses.
    pub(crate) async fn connect_patiently(
        &self,
        purpose: &str,
        stop: &CancellationToken,
        sink: Option<&EventSink>,
    ) -> Result<Option<PgConnection>, sqlx::Error> {
        let start = Instant::now();
        let mut attempt = 0;
        loop {
            let connected = tokio::select! {
                connected = self.connect(purpose) => connected,
                () = stop.cancelled() => return Ok(None),
            };
            let error = match connected {
                Ok(connection) => return Ok(Some(connection)),
                Err(error) => error,
            };
            attempt += 1;
            if class_of(&error) != ErrorClass::Connection || start.elapsed() > PATIENCE {
                return Err(error);
            }
            if let Some(sink) = sink {
                sink(Event::Reconnecting { reason: describe(&error), attempt });
            }
            let pause = Duration::from_millis(100) * 2_u32.pow(attempt.min(5)).min(20);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return Ok(None),
            }
        }
    }
}

async fn look(first: &mut PgConnection, second: &mut PgConnection) -> Result<Way, sqlx::Error> {
    let before = backend(first, "").await?;
    let other = match backend(second, "BEGIN; ").await {
        Ok(other) => other,
        Err(error) if is_silence(&error) => {
            return backend(first, "").await.map(|_| Way::OneConnection);
        }
        // A pooler that gives a session for a statement: there is no BEGIN. PostgreSQL never says so.
        Err(error) if sqlstate(&error).as_deref() == Some("08P01") => return Ok(Way::TransactionPooler),
        Err(error) => return Err(error),
    };
    let after = match backend(first, "").await {
        Ok(after) => after,
        Err(error) if is_silence(&error) => {
            rollback(second).await;
            // It had to wait until the other's transaction was over.
            return backend(first, "").await.map(|_| Way::TransactionPooler);
        }
        Err(error) => return Err(error),
    };
    rollback(second).await;
    Ok(if before == other || before != after { Way::TransactionPooler } else { Way::Direct })
}

/// Returns the backend of a connection, in one round trip.
async fn backend(connection: &mut PgConnection, first: &str) -> Result<String, sqlx::Error> {
    let text = format!("{first}SELECT pg_catalog.pg_backend_pid()");
    let row = answer(connection.fetch_one(sqlx::raw_sql(sqlx::AssertSqlSafe(text)))).await?;
    row.try_get_unchecked(0)
}

fn is_silence(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}
