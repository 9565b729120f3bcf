//! Who is in the way of a lock.

use std::time::Duration;

use sqlx::PgConnection;

use super::redact::redact;
use super::{columns, query_as};
use crate::event::Blocker;

/// Returns who blocks the backend `pid`; empty if nobody does. Roles without `pg_read_all_stats` see other
/// roles' processes but not what they do.
///
/// # Errors
/// The server's error.
pub async fn blockers(connection: &mut PgConnection, pid: i32) -> Result<Vec<Blocker>, sqlx::Error> {
    let found: Vec<Found> = query_as(include_str!("blockers.sql")).bind(pid).fetch_all(connection).await?;
    Ok(found.into_iter().map(Blocker::from).collect())
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
    let query = query_as(include_str!("old_holders.sql")).bind(table_oid).bind(older_than.as_secs_f64());
    let found: Vec<Found> = query.fetch_all(connection).await?;
    Ok(found.into_iter().map(Blocker::from).collect())
}

/// A transaction that reads with an old snapshot.
#[derive(Debug, Clone)]
pub(crate) struct OldReader {
    /// Its virtual transaction id: another transaction of the session has another.
    pub(crate) transaction: String,
    /// Its session.
    pub(crate) session: Blocker,
}

/// Returns the transactions of this database that may read with a snapshot from before the transaction `before`, one after the
/// other if something from before it is still under way; not those of crossfade. Every role may see them.
///
/// # Errors
/// The server's error.
pub(crate) async fn old_readers(connection: &mut PgConnection, before: i64) -> Result<Vec<OldReader>, sqlx::Error> {
    let found: Vec<Reader> =
        query_as(include_str!("old_readers.sql")).bind(before.to_string()).fetch_all(connection).await?;
    let reader = |Reader { transaction, pid, user, application, state, transaction_seconds, query }| {
        let session = Found { pid, user, application, state, transaction_seconds, query };
        OldReader { transaction, session: session.into() }
    };
    Ok(found.into_iter().map(reader).collect())
}

columns!(
    struct Reader {
        transaction: String,
        pid: i32,
        user: Option<Vec<u8>>,
        application: Option<Vec<u8>>,
        state: Option<String>,
        transaction_seconds: Option<i64>,
        query: Option<Vec<u8>>,
    }
);

columns!(
    /// A row of the two queries. Texts come as bytes: a session of another database, or of one in `SQL_ASCII`, may run a
    /// statement that is not UTF-8.
    struct Found {
        pid: i32,
        user: Option<Vec<u8>>,
        application: Option<Vec<u8>>,
        state: Option<String>,
        transaction_seconds: Option<i64>,
        query: Option<Vec<u8>>,
    }
);

impl From<Found> for Blocker {
    fn from(found: Found) -> Self {
        let Found { pid, user, application, state, transaction_seconds, query } = found;
        let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let query = text(query).as_deref().map(redact);
        Self { pid, user: text(user), application: text(application), state, transaction_seconds, query }
    }
}
