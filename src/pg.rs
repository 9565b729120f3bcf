//! Connections, timeouts and SQLSTATE classes, and the one place that sends generated SQL.

mod error;
mod patience;

use std::time::Duration;

use futures_util::StreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row as _};

use crate::event::Blocker;

pub use error::{ErrorClass, class_of, describe, sqlstate};
pub(crate) use patience::{about, between};

/// How long crossfade's transactions may be idle before the server ends them. Below the lease, so that a stopped process
/// can neither hold locks nor commit once another one has taken over.
pub const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(8);

/// How long a server may take to accept a connection. One that is stopped, or behind a network that swallows everything, never
/// answers at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

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

    /// Opens a connection whose `application_name` is `crossfade <purpose>`.
    ///
    /// # Errors
    /// Whatever keeps the connection from being made.
    pub async fn connect(&self, purpose: &str) -> Result<PgConnection, sqlx::Error> {
        let options = self.options.clone().application_name(&format!("crossfade {purpose}"));
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, Box::pin(PgConnection::connect_with(&options)));
        let mut connection = connecting.await.unwrap_or_else(|_| Err(no_answer()))?;
        // A backend whose client is gone stops waiting for locks (docs/postgres.md, "Abandoned backends").
        // And the JIT compiler takes seconds over our catalog queries, whose cost the planner cannot know.
        connection.execute(sqlx::raw_sql("SET client_connection_check_interval = '1s'; SET jit = off")).await?;
        Ok(connection)
    }
}

/// Returns `deadlock_timeout`: how long a session that waits for a lock waits before it looks for a deadlock, once, and
/// before it cancels an ordinary autovacuum that is in its way.
///
/// # Errors
/// The server's error.
pub(crate) async fn deadlock_timeout(connection: &mut PgConnection) -> Result<Duration, sqlx::Error> {
    let select = "SELECT s.setting::bigint FROM pg_catalog.pg_settings AS s WHERE s.name = 'deadlock_timeout'";
    let milliseconds: i64 = query(select).fetch_one(connection).await?.try_get(0)?;
    Ok(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(1000)))
}

/// Returns the longest that a transaction of ours may wait with all its waits together: when the detector of a session
/// that waits for it looks, it has not begun to wait for that session, or has given up.
pub(crate) fn waits_end(deadlock_timeout: Duration) -> Duration {
    deadlock_timeout.mul_f64(0.9)
}

/// The timeouts of one transaction.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// `lock_timeout`.
    pub lock: Duration,
    /// `statement_timeout`.
    pub statement: Duration,
}

/// Opens a READ COMMITTED transaction with these timeouts, an unambiguous `search_path`, and nothing left to settings
/// of the role or the database. `durable: false` adds `synchronous_commit = off`: for work whose progress commits with
/// it, so that a crash loses both or none.
///
/// # Errors
/// The server's error.
pub async fn begin(connection: &mut PgConnection, timeouts: Timeouts, durable: bool) -> Result<(), sqlx::Error> {
    batch(connection, &begin_text(timeouts, durable)).await
}

/// What a script said before it ended.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The first column of each row of its queries, which must be text.
    pub(crate) texts: Vec<String>,
    /// The number of rows that each statement changed or returned.
    pub(crate) affected: Vec<u64>,
    /// The error that ended it early.
    pub(crate) error: Option<sqlx::Error>,
}

/// Opens a transaction and runs `more` in it, statement by statement up to the first error, in one round trip.
pub(crate) async fn begin_script(connection: &mut PgConnection, timeouts: Timeouts, durable: bool, more: &str) -> Said {
    let text = begin_text(timeouts, durable) + more;
    let mut said = Said::default();
    let mut stream = connection.fetch_many(sqlx::raw_sql(AssertSqlSafe(text)));
    while let Some(item) = stream.next().await {
        match item {
            Ok(sqlx::Either::Left(done)) => said.affected.push(done.rows_affected()),
            Ok(sqlx::Either::Right(row)) => match row.try_get(0) {
                Ok(text) => said.texts.push(text),
                Err(error) => said.error = said.error.or(Some(error)),
            },
            Err(error) => said.error = said.error.or(Some(error)),
        }
    }
    said
}

/// Runs a query in a transaction of its own that is rolled back, after the statements of `more`, in one round trip.
/// Returns its rows, whose values are text.
///
/// # Errors
/// The server's error.
pub(crate) async fn look(
    connection: &mut PgConnection,
    timeouts: Timeouts,
    more: &str,
    sql: &str,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let text = format!("{}{more}; {sql}; ROLLBACK", begin_text(timeouts, false));
    let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(text))).await;
    if rows.is_err() {
        rollback(connection).await;
    }
    rows
}

fn begin_text(timeouts: Timeouts, durable: bool) -> String {
    let commit = if durable { "" } else { "SET LOCAL synchronous_commit = off; " };
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {}; \
         SET LOCAL idle_in_transaction_session_timeout = {}; SET LOCAL search_path = pg_catalog, pg_temp; \
         SET LOCAL row_security = off; SET LOCAL jit = off; {commit}",
        timeouts.lock.as_millis(),
        timeouts.statement.as_millis(),
        IDLE_IN_TRANSACTION.as_millis(),
    )
}

/// Commits the open transaction.
///
/// # Errors
/// The server's error; whether the transaction committed is then unknown if the connection was lost.
pub async fn commit(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    batch(connection, "COMMIT").await
}

/// Rolls the open transaction back, if there is one. Errors are of no interest: a lost connection rolls back as well.
pub async fn rollback(connection: &mut PgConnection) {
    if let Err(error) = batch(connection, "ROLLBACK").await {
        tracing::debug!(%error, "rollback");
    }
}

/// Sends statements without results in one message of the simple protocol.
///
/// # Errors
/// The server's error.
pub async fn batch(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop)
}

/// Sends one generated statement. Returns the number of rows it changed.
///
/// # Errors
/// The server's error.
pub async fn execute(connection: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    let done = connection.execute(sqlx::query(AssertSqlSafe(sql)).persistent(false)).await?;
    Ok(done.rows_affected())
}

/// Sends one generated statement in one round trip. Returns the number of rows it changed.
///
/// # Errors
/// The server's error.
pub async fn update(connection: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
    Ok(done.rows_affected())
}

/// Sends one generated query. Returns its rows.
///
/// # Errors
/// The server's error.
pub async fn fetch(connection: &mut PgConnection, sql: &str) -> Result<Vec<PgRow>, sqlx::Error> {
    connection.fetch_all(sqlx::query(AssertSqlSafe(sql)).persistent(false)).await
}

/// Returns a query to bind values to; it leaves no prepared statement behind, so it works with poolers.
pub(crate) fn query<'q>(sql: &str) -> sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments> {
    sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false)
}

/// Returns the backend's process id.
///
/// # Errors
/// The server's error.
pub async fn backend_pid(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_catalog.pg_backend_pid()").persistent(false).fetch_one(connection).await
}

/// Returns who blocks the backend `pid`; empty if nobody does. Roles without `pg_read_all_stats` see other
/// roles' processes but not what they do.
///
/// # Errors
/// The server's error.
pub async fn blockers(connection: &mut PgConnection, pid: i32) -> Result<Vec<Blocker>, sqlx::Error> {
    let rows: Vec<BlockerRow> =
        sqlx::query_as(include_str!("pg/blockers.sql")).persistent(false).bind(pid).fetch_all(connection).await?;
    Ok(rows.into_iter().map(blocker).collect())
}

/// Returns the sessions other than crossfade's that hold a lock on the table and have been in a transaction for longer than
/// `older_than`: a strong lock would wait for them, and everybody else behind it.
///
/// # Errors
/// The server's error.
pub async fn old_holders(
    connection: &mut PgConnection,
    table_oid: i64,
    older_than: Duration,
) -> Result<Vec<Blocker>, sqlx::Error> {
    let rows: Vec<BlockerRow> = sqlx::query_as(include_str!("pg/old_holders.sql"))
        .persistent(false)
        .bind(table_oid)
        .bind(older_than.as_secs_f64())
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(blocker).collect())
}

type BlockerRow = (i32, Option<String>, Option<String>, Option<String>, Option<i64>, Option<String>);

fn blocker((pid, user, application, state, transaction_seconds, query): BlockerRow) -> Blocker {
    Blocker { pid, user, application, state, transaction_seconds, query: query.map(|query| redact(&query)) }
}

/// Replaces literals by `?`, so that no customer's data ends up in a log, and shortens long statements.
fn redact(query: &str) -> String {
    let mut text = String::new();
    let mut characters = query.chars().peekable();
    let mut after_word = false;
    while let Some(c) = characters.next() {
        if c == '\'' {
            text.push('?');
            while let Some(c) = characters.next() {
                if c == '\'' && characters.next_if_eq(&'\'').is_none() {
                    break;
                }
            }
            after_word = true;
        } else if c.is_ascii_digit() && !after_word {
            text.push('?');
            while characters.next_if(|c| c.is_ascii_alphanumeric() || *c == '.').is_some() {}
            after_word = true;
        } else {
            after_word = c.is_alphanumeric() || c == '_' || c == '$' || c == '"';
            text.push(if c.is_whitespace() { ' ' } else { c });
        }
    }
    if text.chars().count() > 120 {
        text = text.chars().take(119).chain(['…']).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn literals_are_redacted() {
        assert_eq!(
            redact("UPDATE t1 SET a = 'O''Hara', b=12.5\nWHERE id2 = $1"),
            "UPDATE t1 SET a = ?, b=? WHERE id2 = $1"
        );
        assert!(redact(&"x ".repeat(200)).chars().count() <= 120);
    }
}
