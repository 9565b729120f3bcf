//! Nothing waits for the server for ever.
//!
//! A network that swallows everything says nothing, and the driver waits. So each statement has a limit on the server
//! (`statement_timeout`) and a slightly longer one here, for the answer: whoever does not answer by then is gone. The
//! limits follow each other: [`up_to`] is called where a longer or shorter `statement_timeout` is set.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow};
use sqlx::query::{Query, QueryAs, QueryScalar};
use sqlx::{Encode, FromRow, PgConnection, Postgres, Type};

/// `statement_timeout` of crossfade's sessions outside its transactions.
pub(crate) const ORDINARY: Duration = Duration::from_secs(30);

/// What an answer may take besides its statement: round trips, a machine that is busy.
const ON_THE_WAY: Duration = Duration::from_secs(10);

tokio::task_local! {
    /// The `statement_timeout` of the statements of this task.
    static LIMIT: Duration;
}

/// Returns the error of a server that has not answered in time. Its connection is of no more use.
pub(crate) fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the server does not answer"))
}

/// Runs `work`, whose statements the server gives `limit` each.
pub(crate) async fn up_to<F: Future>(limit: Duration, work: F) -> F::Output {
    LIMIT.scope(limit, work).await
}

/// Runs a statement that has no limit on the server. Whoever calls this watches the backend from another connection.
pub(super) async fn watched<F: Future>(work: F) -> F::Output {
    LIMIT.scope(Duration::MAX, work).await
}

/// Waits for the answer to one statement.
pub(super) async fn answer<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    tokio::time::timeout(patience(), statement).await.unwrap_or_else(|_| Err(no_answer()))
}

/// Waits for the next part of an answer.
pub(super) async fn next<T>(
    answer: &mut (impl Stream<Item = Result<T, sqlx::Error>> + Unpin),
) -> Option<Result<T, sqlx::Error>> {
    tokio::time::timeout(patience(), answer.next()).await.unwrap_or_else(|_| Some(Err(no_answer())))
}

fn patience() -> Duration {
    LIMIT.try_with(|limit| *limit).unwrap_or(ORDINARY).saturating_add(ON_THE_WAY)
}

/// A query to bind values to. It leaves no prepared statement behind, and its answer is not waited for without end.
pub(crate) struct Asked<Q>(pub(super) Q);

impl<'q> Asked<Query<'q, Postgres, PgArguments>> {
    /// Binds the next value.
    pub(crate) fn bind<T: 'q + Encode<'q, Postgres> + Type<Postgres>>(self, value: T) -> Self {
        Self(self.0.bind(value))
    }

    /// Runs it.
    pub(crate) async fn execute(self, connection: &mut PgConnection) -> Result<PgQueryResult, sqlx::Error> {
        answer(self.0.execute(connection)).await
    }

    /// Returns its one row.
    pub(crate) async fn fetch_one(self, connection: &mut PgConnection) -> Result<PgRow, sqlx::Error> {
        answer(self.0.fetch_one(connection)).await
    }

    /// Returns its row, if it has one.
    pub(crate) async fn fetch_optional(self, connection: &mut PgConnection) -> Result<Option<PgRow>, sqlx::Error> {
        answer(self.0.fetch_optional(connection)).await
    }

    /// Returns its rows.
    pub(crate) async fn fetch_all(self, connection: &mut PgConnection) -> Result<Vec<PgRow>, sqlx::Error> {
        answer(self.0.fetch_all(connection)).await
    }
}

impl<'q, T> Asked<QueryAs<'q, Postgres, T, PgArguments>>
where
    T: Send + Unpin + for<'r> FromRow<'r, PgRow>,
{
    /// Binds the next value.
    pub(crate) fn bind<V: 'q + Encode<'q, Postgres> + Type<Postgres>>(self, value: V) -> Self {
        Self(self.0.bind(value))
    }

    /// Returns its one row.
    pub(crate) async fn fetch_one(self, connection: &mut PgConnection) -> Result<T, sqlx::Error> {
        answer(self.0.fetch_one(connection)).await
    }

    /// Returns its row, if it has one.
    pub(crate) async fn fetch_optional(self, connection: &mut PgConnection) -> Result<Option<T>, sqlx::Error> {
        answer(self.0.fetch_optional(connection)).await
    }

    /// Returns its rows.
    pub(crate) async fn fetch_all(self, connection: &mut PgConnection) -> Result<Vec<T>, sqlx::Error> {
        answer(self.0.fetch_all(connection)).await
    }
}

impl<'q, T> Asked<QueryScalar<'q, Postgres, T, PgArguments>>
where
    T: Send + Unpin,
    (T,): Send + Unpin + for<'r> FromRow<'r, PgRow>,
{
    /// Binds the next value.
    pub(crate) fn bind<V: 'q + Encode<'q, Postgres> + Type<Postgres>>(self, value: V) -> Self {
        Self(self.0.bind(value))
    }

    /// Returns the column of its one row.
    pub(crate) async fn fetch_one(self, connection: &mut PgConnection) -> Result<T, sqlx::Error> {
        answer(self.0.fetch_one(connection)).await
    }

    /// Returns the column of its row, if it has one.
    pub(crate) async fn fetch_optional(self, connection: &mut PgConnection) -> Result<Option<T>, sqlx::Error> {
        answer(self.0.fetch_optional(connection)).await
    }

    /// Returns the column of its rows.
    pub(crate) async fn fetch_all(self, connection: &mut PgConnection) -> Result<Vec<T>, sqlx::Error> {
        answer(self.0.fetch_all(connection)).await
    }
}
