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
    let found = query_as(include_str!("blockers.sql")).bind(pid).fetch_all(connection).await?;
    Ok(found.into_iter().map(redacted).collect())
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
    Ok(query.fetch_all(connection).await?.into_iter().map(redacted).collect())
}

columns!(Blocker { pid, user, application, state, transaction_seconds, query });

fn redacted(blocker: Blocker) -> Blocker {
    Blocker { query: blocker.query.as_deref().map(redact), ..blocker }
}
