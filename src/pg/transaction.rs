//! Transactions with limits.

use std::time::Duration;

use futures_util::StreamExt as _;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row as _};

use super::batch;
use super::connect::SESSION;

/// How long a transaction of crossfade may sit idle before the server ends it; below the lease, so that a stopped process
/// cannot hold locks, nor commit, once somebody else has taken over.
pub const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(8);

/// The limits of one transaction.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `lock_timeout`.
    pub lock: Duration,
    /// `statement_timeout`.
    pub statement: Duration,
    /// False adds `synchronous_commit = off`: for work whose progress commits with it, so that a crash of the server loses
    /// both or none.
    pub durable: bool,
}

/// Runs `body` in a READ COMMITTED transaction with an unambiguous `search_path` and nothing left to settings of the role
/// or the database. Commits when it returns a value, rolls back when it returns an error: what a caller wants to learn
/// from a transaction that must not commit is a variant of its `E`.
///
/// If this is dropped, the connection is still inside the transaction and must be dropped too. The server ends it after
/// [`IDLE_IN_TRANSACTION`] at the latest.
///
/// # Errors
/// The error of `body`, or the server's when the transaction cannot begin or commit. If that is one of
/// [`ErrorClass::Connection`](super::ErrorClass::Connection), the COMMIT may have been lost or only its answer, so nobody
/// knows whether the transaction committed: what it has written in the ledger tells.
pub async fn transaction<T, E: From<sqlx::Error>>(
    connection: &mut PgConnection,
    limits: Limits,
    body: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    begin(connection, limits).await?;
    match body(connection).await {
        Ok(value) => {
            commit(connection).await?;
            Ok(value)
        }
        Err(error) => {
            rollback(connection).await;
            Err(error)
        }
    }
}

/// Runs `body` in such a transaction and rolls it back, whatever came of it: nothing that somebody else's code has put off to
/// the end of the transaction happens.
///
/// # Errors
/// The error of `body`, or the server's when the transaction cannot begin.
pub(crate) async fn rolled_back<T, E: From<sqlx::Error>>(
    connection: &mut PgConnection,
    limits: Limits,
    body: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    begin(connection, limits).await?;
    let result = body(connection).await;
    rollback(connection).await;
    result
}

/// Opens such a transaction. [`transaction`] is what nearly everybody wants.
///
/// # Errors
/// The server's error.
pub async fn begin(connection: &mut PgConnection, limits: Limits) -> Result<(), sqlx::Error> {
    batch(connection, &begin_text(limits)).await
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

/// What a script said before it ended.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The first column of each row of its queries, which must be text.
    pub(crate) texts: Vec<String>,
    /// The error that ended it early.
    pub(crate) error: Option<sqlx::Error>,
}

/// Opens a transaction and runs `more` in it, statement by statement up to the first error, in one round trip.
pub(crate) async fn begin_script(connection: &mut PgConnection, limits: Limits, more: &str) -> Said {
    let text = begin_text(limits) + more;
    let mut said = Said::default();
    let mut stream = connection.fetch_many(sqlx::raw_sql(AssertSqlSafe(text)));
    while let Some(item) = stream.next().await {
        match item {
            Ok(sqlx::Either::Left(_)) => {}
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
    limits: Limits,
    more: &str,
    sql: &str,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let text = format!("{}{more}; {sql}; ROLLBACK", begin_text(limits));
    let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(text))).await;
    if rows.is_err() {
        rollback(connection).await;
    }
    rows
}

fn begin_text(limits: Limits) -> String {
    format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {}; ", settings(limits))
}

/// The settings of a transaction.
fn settings(limits: Limits) -> String {
    let commit = if limits.durable { "" } else { "; SET LOCAL synchronous_commit = off" };
    format!(
        "SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {}; \
         SET LOCAL idle_in_transaction_session_timeout = {}; SET LOCAL search_path = pg_catalog, pg_temp; \
         SET LOCAL row_security = off; SET LOCAL jit = off{commit}",
        limits.lock.as_millis(),
        limits.statement.as_millis(),
        IDLE_IN_TRANSACTION.as_millis(),
    )
}

/// The settings of the session and of the transaction, whatever somebody else's code has made of them.
pub(super) fn settings_again(limits: Limits) -> String {
    format!("RESET ALL; {SESSION}; {}", settings(limits))
}
