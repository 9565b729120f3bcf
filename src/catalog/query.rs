//! Sending queries. Each fixed query returns one JSON text, so its columns are read by name into a struct.
//!
//! Nothing is ever prepared under a name: it would break behind a transaction pooler.

use serde::de::DeserializeOwned;
use sqlx::postgres::{PgArguments, PgDatabaseError, PgErrorPosition};
use sqlx::{PgConnection, Postgres};

use super::CatalogError;
use crate::pg;

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

/// Runs one statement of the rehearsal.
pub(super) async fn run(conn: &mut PgConnection, what: &'static str, sql: String) -> Result<(), CatalogError> {
    let result = pg::execute(conn, &sql).await;
    result.map(drop).map_err(|source| CatalogError::Database { what, source })
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
    /// Its message with detail and hint.
    pub(super) message: String,
    /// Character in the statement, from 1.
    pub(super) position: Option<usize>,
}

impl Objection {
    /// Returns why the server refuses the statement itself; `None` for a failure that says nothing about the statement, such
    /// as a lock timeout or a lost connection.
    fn of(error: &sqlx::Error) -> Option<Self> {
        let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
        let passing = ["08", "40", "53", "55", "57", "58", "XX"].iter().any(|class| error.code().starts_with(class));
        if passing && error.code() != "55000" {
            return None;
        }
        let mut message = error.message().to_owned();
        for more in [error.detail(), error.hint()].into_iter().flatten() {
            message = format!("{message} ({more})");
        }
        let position = match error.position() {
            Some(PgErrorPosition::Original(at)) => Some(at),
            _ => None,
        };
        Some(Self { code: error.code().to_owned(), message, position })
    }
}

/// Runs statements, all or none, and returns the text that the last one returns, or why the server refuses the first that
/// it refuses.
pub(super) async fn attempt(
    conn: &mut PgConnection,
    what: &'static str,
    statements: impl IntoIterator<Item = String>,
) -> Result<Result<Option<String>, Objection>, CatalogError> {
    run(conn, what, "SAVEPOINT crossfade_attempt".to_owned()).await?;
    let mut answer = None;
    for sql in statements {
        match pg::query_scalar::<Option<String>>(&sql).fetch_optional(&mut *conn).await {
            Ok(text) => answer = text.flatten(),
            Err(source) => {
                let Some(objection) = Objection::of(&source) else {
                    return Err(CatalogError::Database { what, source });
                };
                back_out(conn, what).await?;
                return Ok(Err(objection));
            }
        }
    }
    run(conn, what, "RELEASE SAVEPOINT crossfade_attempt".to_owned()).await?;
    Ok(Ok(answer))
}

async fn back_out(conn: &mut PgConnection, what: &'static str) -> Result<(), CatalogError> {
    run(conn, what, "ROLLBACK TO SAVEPOINT crossfade_attempt".to_owned()).await?;
    run(conn, what, "RELEASE SAVEPOINT crossfade_attempt".to_owned()).await
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
