//! What keeps dead rows from being pruned.

use sqlx::PgConnection;

use crate::pg;

/// The oldest snapshot or transaction that is not ours.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Horizon {
    /// The next transaction id when this was read.
    pub(super) next_xid: i64,
    /// Rows that died in this transaction or later cannot be pruned.
    pub(super) oldest_xid: i64,
    /// What holds it back, for people; `None` when nothing does.
    pub(super) holder: Option<String>,
    /// For how long; `None` when it is not known.
    pub(super) seconds: Option<f64>,
}

pg::columns!(Horizon { next_xid, oldest_xid, holder, seconds });

impl Horizon {
    /// Reads it.
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        pg::query_as(include_str!("horizon.sql")).fetch_one(connection).await
    }

    /// Returns who holds it back and for how long, as a noun phrase.
    pub(super) fn describe(&self) -> String {
        let holder = self.holder.as_deref().unwrap_or("an old snapshot");
        match self.seconds {
            Some(seconds) => format!("{holder}, in a transaction for {seconds:.0} s"),
            None => holder.to_owned(),
        }
    }
}
