//! Connections, timeouts and SQLSTATE classes, and the one place that sends generated SQL.

mod answer;
mod blockers;
mod columns;
mod connect;
mod error;
mod mentions;
mod owner;
mod pins;
mod redact;
mod transaction;

use std::time::Duration;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::{Query, QueryAs, QueryScalar};
use sqlx::{AssertSqlSafe, Executor, FromRow, PgConnection, Postgres};

use crate::sql::quote_literal;

pub(crate) use answer::{Asked, no_answer, up_to};
pub(crate) use blockers::{OldReader, old_readers};
pub use blockers::{blockers, old_holders};
pub(crate) use columns::columns;
pub use connect::Connector;
pub(crate) use connect::{PATIENCE, WORKER, Way};
pub use error::{ErrorClass, class_of, describe, sqlstate};
pub(crate) use error::{context, is_not_utf8};
pub(crate) use mentions::{function_names, statement_names};
pub(crate) use owner::Owner;
pub use pins::IDLE_IN_TRANSACTION;
pub(crate) use redact::redact;
#[cfg(feature = "internals")]
pub use transaction::commit;
pub(crate) use transaction::{CLOCK, GUARD, begin_script, guard, look, rolled_back, script, time_between};
pub use transaction::{Limits, begin, rollback, transaction};

/// Sends statements without results in one message of the simple protocol.
///
/// # Errors
/// The server's error.
pub async fn batch(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    answer::answer(connection.execute(sqlx::raw_sql(AssertSqlSafe(sql)))).await.map(drop)
}

/// Sends one generated statement. Returns the number of rows it changed.
///
/// # Errors
/// The server's error.
pub async fn execute(connection: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    let done = answer::answer(connection.execute(sqlx::query(AssertSqlSafe(sql)).persistent(false))).await?;
    Ok(done.rows_affected())
}

/// Sends one generated statement in one round trip. Returns the number of rows it changed.
///
/// # Errors
/// The server's error.
pub(crate) async fn update(connection: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    let done = answer::answer(connection.execute(sqlx::raw_sql(AssertSqlSafe(sql)))).await?;
    Ok(done.rows_affected())
}

/// Sends generated statements in one message. Returns the first column, which must be text, of each row that they return.
///
/// # Errors
/// The server's error.
pub(crate) async fn texts(connection: &mut PgConnection, sql: &str) -> Result<Vec<String>, sqlx::Error> {
    rows(connection, sql).await?.iter().map(|row| sqlx::Row::try_get(row, 0)).collect()
}

/// Sends generated statements in one message. Returns the rows that they return, whose values are text.
///
/// # Errors
/// The server's error.
pub(crate) async fn rows(connection: &mut PgConnection, sql: &str) -> Result<Vec<PgRow>, sqlx::Error> {
    answer::answer(connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql)))).await
}

/// Returns the statements that keep the name `table`, quoted, for the table with this oid until the transaction ends, and fail
/// where it is another one's by now: of a view, for example, which would run its owner's functions.
pub(crate) fn unless_replaced(table: &str, oid: i64) -> String {
    let name = quote_literal(table);
    format!(
        "LOCK TABLE {table} IN ACCESS SHARE MODE; DO $cf$ BEGIN \
         IF pg_catalog.to_regclass({name})::pg_catalog.oid OPERATOR(pg_catalog.<>) {oid}::pg_catalog.oid THEN \
         RAISE undefined_table USING MESSAGE = {}; END IF; END $cf$",
        quote_literal(&format!("{table} is another table than before"))
    )
}

/// Sends one generated query. Returns its rows.
///
/// # Errors
/// The server's error.
pub async fn fetch(connection: &mut PgConnection, sql: &str) -> Result<Vec<PgRow>, sqlx::Error> {
    answer::answer(connection.fetch_all(sqlx::query(AssertSqlSafe(sql)).persistent(false))).await
}

/// Sends one generated statement that has no limit on the server, and may take hours. It ends when `watch` finds that the
/// server has nothing to do for it any more.
///
/// # Errors
/// The server's error.
pub(crate) async fn execute_watched(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    answer::watched(execute(connection, sql)).await.map(drop)
}

/// Returns a query to bind values to; it leaves no prepared statement behind.
pub(crate) fn query<'q>(sql: &str) -> Asked<Query<'q, Postgres, PgArguments>> {
    Asked(sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false))
}

/// Returns a query like [`query`] whose rows become `T`, by the names of their columns ([`columns!`]).
pub(crate) fn query_as<'q, T>(sql: &str) -> Asked<QueryAs<'q, Postgres, T, PgArguments>>
where
    T: for<'r> FromRow<'r, PgRow>,
{
    Asked(sqlx::query_as(AssertSqlSafe(sql.to_owned())).persistent(false))
}

/// Returns a query like [`query`] whose rows have one column, a `T`.
pub(crate) fn query_scalar<'q, T>(sql: &str) -> Asked<QueryScalar<'q, Postgres, T, PgArguments>>
where
    (T,): for<'r> FromRow<'r, PgRow>,
{
    Asked(sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).persistent(false))
}

/// Returns the backend's process id.
///
/// # Errors
/// The server's error.
pub async fn backend_pid(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    query_scalar("SELECT pg_catalog.pg_backend_pid()").fetch_one(connection).await
}

/// Returns whether the backend `pid` is at work: not gone, and not waiting for its client. Whoever waits for its answer
/// although it is not has lost the connection.
///
/// # Errors
/// The server's error.
pub(crate) async fn is_at_work(watch: &mut PgConnection, pid: i32) -> Result<bool, sqlx::Error> {
    // The state of a role's own sessions is visible; with track_activities off it says nothing.
    let select = "SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = $1 AND a.state IS DISTINCT FROM 'idle')";
    query_scalar(select).bind(pid).fetch_one(watch).await
}

/// Returns how long a session waits for a lock before it looks for a deadlock.
///
/// # Errors
/// The server's error.
pub(crate) async fn deadlock_timeout(connection: &mut PgConnection) -> Result<Duration, sqlx::Error> {
    let select = "SELECT s.setting::bigint FROM pg_catalog.pg_settings AS s WHERE s.name = 'deadlock_timeout'";
    let milliseconds: i64 = query_scalar(select).fetch_one(connection).await?;
    Ok(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(1000)))
}

/// Returns the longest that all waits of a transaction may take together: when the detector of an application's session
/// that waits for it looks, the transaction has ended or given up (docs/postgres.md, "Who loses a deadlock").
pub(crate) fn waits_end(deadlock_timeout: Duration) -> Duration {
    deadlock_timeout.mul_f64(0.9)
}

/// Returns a pause between these, at random, so that two processes that wait for the same thing do not keep meeting.
pub(crate) fn between(least: Duration, most: Duration) -> Duration {
    least + most.saturating_sub(least).mul_f64(rand::random())
}

/// Returns between 75 % and 125 % of `pause`, for the same reason.
pub(crate) fn jitter(pause: Duration) -> Duration {
    between(pause.mul_f64(0.75), pause.mul_f64(1.25))
}
