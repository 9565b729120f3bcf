//! Connecting, also to a server that comes and goes.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};
use tokio_util::sync::CancellationToken;

use super::{ErrorClass, class_of, describe};
use crate::event::{Event, EventSink};

/// How long a server may be unreachable before crossfade gives up. The lease is lost before that; then the run must be
/// resumed by a new call.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long a server may take to accept a connection. One that is stopped, or behind a network that swallows everything, never
/// answers at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The settings of every session. A backend whose client is gone stops waiting for locks (docs/postgres.md, "Abandoned
/// backends"). And the JIT compiler takes seconds over our catalog queries, whose cost the planner cannot know.
pub(super) const SESSION: &str = "SET client_connection_check_interval = '1s'; SET jit = off";

/// Returns the error of a server that has not answered in time. Its connection is of no more use.
pub(crate) fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the server does not answer"))
}

/// Where to connect. Never printed whole: it contains the password.
#[derive(Clone)]
pub struct Connector {
    options: PgConnectOptions,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("target", &self.target()).finish_non_exhaustive()
    }
}

impl Connector {
    /// Returns a connector to the database that `options` name.
    pub fn new(options: PgConnectOptions) -> Self {
        Self { options: options.statement_cache_capacity(0) }
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

    /// Opens a connection whose `application_name` is `crossfade <purpose>`.
    ///
    /// # Errors
    /// Whatever keeps the connection from being made.
    pub async fn connect(&self, purpose: &str) -> Result<PgConnection, sqlx::Error> {
        let options = self.options.clone().application_name(&format!("crossfade {purpose}"));
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, Box::pin(PgConnection::connect_with(&options)));
        let mut connection = connecting.await.unwrap_or_else(|_| Err(no_answer()))?;
        connection.execute(sqlx::raw_sql(SESSION)).await?;
        Ok(connection)
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
            let error = match self.connect(purpose).await {
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
