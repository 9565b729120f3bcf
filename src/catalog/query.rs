//! Sending queries. Each fixed query returns one JSON text, so its columns are read by name into a struct.
//!
//! Nothing is ever prepared under a name: it would break behind a transaction pooler.

use std::time::Duration;

use serde::de::DeserializeOwned;
use sqlx::postgres::{PgArguments, PgDatabaseError, PgErrorPosition};
use sqlx::{PgConnection, Postgres, Row as _};

use super::CatalogError;
use crate::pg::{self, Owner};

/// The limits of the transaction that inspects a table.
pub(super) const LIMITS: pg::Limits =
    pg::Limits { lock: Duration::from_secs(2), statement: Duration::from_secs(30), durable: true };

/// A fixed query that returns one JSON text, or no row.
pub(super) type JsonQuery = pg::Asked<sqlx::query::QueryScalar<'static, Postgres, String, PgArguments>>;

/// Returns the query whose text is in a file next to its reader.
pub(super) fn fixed(sql: &'static str) -> JsonQuery {
    pg::query_scalar(sql)
}

/// Returns the answer; for an `Option`, `None` where there is no row.
pub(super) async fn read<T: DeserializeOwned>(
    conn: &mut PgConnection,
    what: &'static str,
    query: JsonQuery,
) -> Result<T, CatalogError> {
    let text = query.fetch_optional(conn).await.map_err(|source| CatalogError::Database { what, source })?;
    serde_json::from_str(text.as_deref().unwrap_or("null")).map_err(|source| CatalogError::Answer { what, source })
}

/// Runs statements of the rehearsal.
pub(super) async fn run(conn: &mut PgConnection, what: &'static str, sql: String) -> Result<(), CatalogError> {
    let result = pg::batch(conn, &sql).await;
    result.map_err(|source| CatalogError::Database { what, source })
}

/// Returns the one text that a generated query returns.
pub(super) async fn text(
    conn: &mut PgConnection,
    what: &'static str,
    sql: String,
) -> Result<Option<String>, CatalogError> {
    pg::query_scalar::<Option<String>>(&sql)
        .fetch_one(conn)
        .await
        .map_err(|source| CatalogError::Database { what, source })
}

/// Returns the answer of a generated query, one JSON text.
pub(super) async fn json<T: DeserializeOwned>(
    conn: &mut PgConnection,
    what: &'static str,
    sql: String,
) -> Result<T, CatalogError> {
    let answer = text(conn, what, sql).await?;
    serde_json::from_str(answer.as_deref().unwrap_or("null")).map_err(|source| CatalogError::Answer { what, source })
}

/// Why the server refuses a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Objection {
    /// SQLSTATE.
    pub(super) code: String,
    /// Its message with detail and hint, and in whose code it was raised.
    pub(super) message: String,
    /// Character in the statement, from 1.
    pub(super) position: Option<usize>,
}

impl Objection {
    /// Whether the value is the reason, and not what the statement names or who runs it.
    pub(super) fn is_of_data(&self) -> bool {
        !["0A", "42", "3F", "2F", "38", "39"].iter().any(|class| self.code.starts_with(class))
    }

    /// Returns why the server refuses the statement itself; `None` for a failure that says nothing about the statement, such
    /// as a lock timeout or a lost connection.
    pub(super) fn of(error: &sqlx::Error) -> Option<Self> {
        let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
        let passing = ["08", "40", "53", "55", "57", "58", "XX"].iter().any(|class| error.code().starts_with(class));
        if passing && error.code() != "55000" {
            return None;
        }
        let mut message = error.message().to_owned();
        for more in [error.detail(), error.hint()].into_iter().flatten() {
            message = format!("{message} ({more})");
        }
        if let Some(context) = pg::context(error) {
            message = format!("{message}, in {context}");
        }
        let position = error.position().map(|position| match position {
            PgErrorPosition::Original(at) | PgErrorPosition::Internal { position: at, .. } => at,
        });
        Some(Self { code: error.code().to_owned(), message, position })
    }
}

/// Runs statements, all or none, and returns the text that the last one returns if it is a SELECT, or why the server refuses
/// the first that it refuses. SELECTs read the catalog; everything else may run the code of the table's owner, as whom it is
/// run.
pub(super) async fn attempt(
    conn: &mut PgConnection,
    what: &'static str,
    statements: impl IntoIterator<Item = String>,
) -> Result<Result<Option<String>, Objection>, CatalogError> {
    attempt_under(conn, what, None, statements).await
}

/// As [`attempt`], with the rights of the connection's own role: for statements that run nobody else's code.
pub(super) async fn attempt_as_oneself(
    conn: &mut PgConnection,
    what: &'static str,
    statements: impl IntoIterator<Item = String>,
) -> Result<Result<Option<String>, Objection>, CatalogError> {
    all_or_none(conn, what, statements.into_iter().map(|sql| (false, sql))).await
}

/// As [`attempt`], under `path` instead of the owner's `search_path`.
pub(super) async fn attempt_under(
    conn: &mut PgConnection,
    what: &'static str,
    path: Option<&str>,
    statements: impl IntoIterator<Item = String>,
) -> Result<Result<Option<String>, Objection>, CatalogError> {
    let asked = |sql: String| {
        if sql.starts_with("SELECT") { (true, sql) } else { (false, Owner::try_under(path, &sql, LIMITS)) }
    };
    all_or_none(conn, what, statements.into_iter().map(asked)).await
}

/// Asks a query that may run the code of the table's owner, and returns the text that it returns, or why the server refuses it.
pub(super) async fn ask(
    conn: &mut PgConnection,
    what: &'static str,
    sql: &str,
    limits: pg::Limits,
) -> Result<Result<Option<String>, Objection>, CatalogError> {
    all_or_none(conn, what, [(true, Owner::try_ask(sql, limits))]).await
}

/// Sends as few messages as possible: a plan tries dozens of statements, and each waits for the network.
async fn all_or_none(
    conn: &mut PgConnection,
    what: &'static str,
    statements: impl IntoIterator<Item = (bool, String)>,
) -> Result<Result<Option<String>, Objection>, CatalogError> {
    let mut messages = vec![(false, "SAVEPOINT crossfade_attempt".to_owned())];
    let mut any = false;
    for (asks, sql) in statements {
        match messages.last_mut() {
            // What was run before may return rows as well.
            Some((_, message)) if !(asks && any) => *message = format!("{message}\n;\n{sql}"),
            _ => messages.push((false, sql)),
        }
        if let Some((last_asks, _)) = messages.last_mut() {
            *last_asks = asks;
        }
        any = true;
    }
    if let Some((_, message)) = messages.last_mut() {
        message.push_str("\n;\nRELEASE SAVEPOINT crossfade_attempt");
    }
    let mut answer = None;
    for (asks, message) in messages {
        match pg::rows(conn, &message).await {
            Ok(rows) => {
                let text = rows.first().filter(|_| asks).map(|row| row.try_get::<Option<String>, _>(0)).transpose();
                answer = text.map_err(|source| CatalogError::Database { what, source })?.flatten();
            }
            Err(source) => {
                let Some(objection) = Objection::of(&source) else {
                    return Err(CatalogError::Database { what, source });
                };
                back_out(conn, what).await?;
                return Ok(Err(objection));
            }
        }
    }
    Ok(Ok(answer))
}

async fn back_out(conn: &mut PgConnection, what: &'static str) -> Result<(), CatalogError> {
    run(conn, what, "ROLLBACK TO SAVEPOINT crossfade_attempt; RELEASE SAVEPOINT crossfade_attempt".to_owned()).await
}

/// Returns the oid of a relation of the rehearsal.
pub(super) async fn oid(conn: &mut PgConnection, relation: &str) -> Result<i64, CatalogError> {
    read(
        conn,
        "look at the rehearsal",
        fixed("SELECT ($1::text::regclass::oid::bigint)::text").bind(relation.to_owned()),
    )
    .await
}
