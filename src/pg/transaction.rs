//! Transactions with limits.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row as _};

use super::pins::{self, IDLE_IN_TRANSACTION};
use super::{answer, batch};
use crate::sql::{dollar_quote, quote_literal};

/// The limits of one transaction.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `lock_timeout`.
    pub lock: Duration,
    /// `statement_timeout`; zero where somebody watches the backend from another connection.
    pub statement: Duration,
    /// False adds `synchronous_commit = off`: for work whose progress commits with it, so that a crash of the server loses
    /// both or none.
    pub durable: bool,
}

impl Limits {
    /// Returns how long the server may take for a statement.
    fn patience(self) -> Duration {
        if self.statement.is_zero() { Duration::MAX } else { self.statement }
    }
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
    answer::up_to(limits.patience(), async {
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
    })
    .await
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
    answer::up_to(limits.patience(), async {
        begin(connection, limits).await?;
        let result = body(connection).await;
        rollback(connection).await;
        result
    })
    .await
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
    // Not again as long as for the statement, which may have had no answer either.
    if let Err(error) = answer::up_to(Duration::ZERO, batch(connection, "ROLLBACK")).await {
        tracing::debug!(%error, "rollback");
    }
}

/// What a script said before it ended.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The first column of each row of its queries.
    pub(crate) texts: Vec<String>,
    /// How many statements ended well.
    pub(crate) ended: usize,
    /// The error that ended it early.
    pub(crate) error: Option<sqlx::Error>,
}

/// Opens a transaction and runs `more` in it, statement by statement up to the first error, in one round trip.
pub(crate) async fn begin_script(connection: &mut PgConnection, limits: Limits, more: &str) -> Said {
    script(connection, begin_text(limits) + more).await
}

/// SQLSTATE of a guard that does not hold. No class of PostgreSQL's begins with `CF`.
pub(crate) const GUARD: &str = "CF001";

/// Returns the statement that ends a script unless `condition` holds, with SQLSTATE `code` and words for the server's log.
/// What comes after it in the script, a COMMIT for example, then does not happen.
pub(crate) fn guard(code: &str, condition: &str, words: &str) -> String {
    let raise = format!("RAISE EXCEPTION USING ERRCODE = {}, MESSAGE = {}", quote_literal(code), quote_literal(words));
    format!("DO {}", dollar_quote(&format!("BEGIN IF ({condition}\n) IS NOT TRUE THEN {raise}; END IF; END")))
}

/// Runs a script, statement by statement up to the first error, in one round trip: locks that it takes last as long as the
/// server works, however far away it is.
pub(crate) async fn script(connection: &mut PgConnection, text: String) -> Said {
    let mut said = Said::default();
    let mut stream = connection.fetch_many(sqlx::raw_sql(AssertSqlSafe(text)));
    while let Some(item) = answer::next(&mut stream).await {
        match item {
            Ok(sqlx::Either::Left(_)) => said.ended += 1,
            // In this protocol everything comes as text.
            Ok(sqlx::Either::Right(row)) => {
                said.texts.extend(row.try_get_unchecked::<Option<String>, _>(0).ok().flatten());
            }
            Err(error) => {
                said.error = Some(error);
                break;
            }
        }
    }
    said
}

/// A query for the server's clock, in seconds, to be asked in a script before and after what is to be measured.
pub(crate) const CLOCK: &str = "SELECT EXTRACT(EPOCH FROM pg_catalog.clock_timestamp())::pg_catalog.text";

/// Returns the time between two answers to [`CLOCK`].
pub(crate) fn time_between(begun: &str, ended: &str) -> Duration {
    let seconds = |text: &str| text.parse().unwrap_or(0.0);
    Duration::try_from_secs_f64(seconds(ended) - seconds(begun)).unwrap_or_default()
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
    let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(text)));
    let rows = answer::up_to(limits.statement, answer::answer(rows)).await;
    if rows.is_err() {
        rollback(connection).await;
    }
    rows
}

fn begin_text(limits: Limits) -> String {
    format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {}; ", settings(limits).join("; "))
}

/// The settings of a transaction, as statements.
fn settings(limits: Limits) -> Vec<String> {
    let milliseconds = |name: &str, time: Duration| format!("SET LOCAL {name} = {}", time.as_millis());
    let mut all = vec![
        milliseconds("lock_timeout", limits.lock),
        milliseconds("statement_timeout", limits.statement),
        milliseconds("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION),
    ];
    let fixed = ["search_path = pg_catalog, pg_temp", "row_security = off", "jit = off"];
    let commit = (!limits.durable).then_some("synchronous_commit = off");
    all.extend(fixed.into_iter().chain(commit).map(|setting| format!("SET LOCAL {setting}")));
    all
}

/// The settings of the session and of the transaction once more, as statements, when nothing is left of what somebody else's
/// code has made of them.
pub(super) fn settings_again(limits: Limits) -> Vec<String> {
    pins::statements().into_iter().chain(settings(limits)).collect()
}
