//! Taking what is due, and recording what came of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Outbox;
use crate::ledger::{BOOKKEEPING, LedgerError};
use crate::pg;

/// What one announcement is to one destination, taken by this process for [`TAKEN`] seconds.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The announcement's id.
    pub id: String,
    /// The destination.
    pub destination: String,
    /// What the message looks like.
    pub shape: String,
    /// Which attempt this is, from 1.
    pub attempts: i32,
    /// What it is about.
    pub topic: String,
    /// When it was announced.
    pub at: DateTime<Utc>,
    /// The announcement, as JSON.
    pub payload: String,
    /// The database that it is of.
    pub database: String,
    /// The table that the run is about, as SQL names it.
    pub table_name: String,
    /// The number of the run.
    pub run_id: i64,
}
pg::columns!(Delivery { id, destination, shape, attempts, topic, at, payload, database, table_name, run_id });

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The receiver has it.
    Delivered,
    /// The receiver wants nothing more of this run.
    Gone,
    /// It is tried again after this time.
    Again(Duration, String),
    /// It is not tried again.
    GivenUp(String),
}

/// For how long a delivery is nobody else's: longer than a request may take.
const TAKEN: i32 = 30;

/// No attempt is further away than this, and nothing older is told: whoever has been away for longer reads the history. A time
/// that is further away was written before the server's clock was set back.
const LONGEST: &str = "interval '26 hours'";
const STALE: &str = "interval '7 days'";

impl Outbox<'_> {
    /// Takes the oldest delivery that is due to one of `destinations`; `None` if there is none. Several processes may ask at once.
    ///
    /// # Errors
    /// The server's error.
    pub async fn take(
        self,
        connection: &mut PgConnection,
        destinations: &[String],
    ) -> Result<Option<Delivery>, LedgerError> {
        let take = self.ledger.sql(&format!(
            "WITH due AS (SELECT d.announcement, d.destination FROM crossfade.delivery AS d \
               JOIN crossfade.announcement AS a ON a.id = d.announcement \
               WHERE d.delivered_at IS NULL AND d.given_up_at IS NULL AND d.destination = ANY ($1::text[]) \
                 AND (d.next_at <= pg_catalog.clock_timestamp() OR d.next_at > pg_catalog.clock_timestamp() + {LONGEST}) \
                 AND a.at > pg_catalog.clock_timestamp() - {STALE} \
               ORDER BY a.at, a.run_id, a.seq LIMIT 1 FOR UPDATE OF d SKIP LOCKED) \
             UPDATE crossfade.delivery AS d SET attempts = d.attempts + 1, \
               next_at = pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => {TAKEN}) \
             FROM due, crossfade.announcement AS a, crossfade.relation AS r \
             WHERE d.announcement = due.announcement AND d.destination = due.destination AND a.id = d.announcement \
               AND r.run_id = d.run_id AND r.relation = 0 \
             RETURNING d.announcement::text AS id, d.destination, d.shape, d.attempts, a.topic, a.at, a.payload::text AS payload, \
               pg_catalog.current_database()::text AS database, r.schema_name || '.' || r.table_name AS table_name, d.run_id"
        ));
        let limits = pg::Limits { lock: Duration::from_secs(1), statement: Duration::from_secs(2), durable: true };
        pg::transaction(connection, limits, async |tx| {
            Ok(pg::query_as(&take).bind(destinations).fetch_optional(tx).await?)
        })
        .await
    }

    /// Records how an attempt ended. Where the process was so late that another took the delivery, only a success counts.
    ///
    /// # Errors
    /// The server's error.
    pub async fn ended(
        self,
        connection: &mut PgConnection,
        delivery: &Delivery,
        ended: &Ended,
    ) -> Result<(), LedgerError> {
        let this = "announcement = $1::uuid AND destination = $2";
        let update = |set: &str, which: &str| {
            self.ledger.sql(&format!("UPDATE crossfade.delivery SET {set} WHERE {which} AND delivered_at IS NULL"))
        };
        pg::transaction(connection, BOOKKEEPING, async |tx| {
            let Delivery { id, destination, attempts, run_id, .. } = delivery;
            match ended {
                Ended::Delivered => {
                    let sql = update("delivered_at = pg_catalog.clock_timestamp(), last_error = NULL", this);
                    pg::query(&sql).bind(id).bind(destination).execute(tx).await?;
                }
                Ended::Gone => {
                    let set = "gone = true, given_up_at = pg_catalog.clock_timestamp(), last_error = 'it answered 410 Gone'";
                    let sql = update(set, "run_id = $1 AND destination = $2 AND given_up_at IS NULL");
                    pg::query(&sql).bind(run_id).bind(destination).execute(tx).await?;
                }
                Ended::GivenUp(error) => {
                    let set = "given_up_at = pg_catalog.clock_timestamp(), last_error = $4";
                    let sql = update(set, &format!("{this} AND attempts = $3"));
                    pg::query(&sql).bind(id).bind(destination).bind(attempts).bind(error).execute(tx).await?;
                }
                Ended::Again(after, error) => {
                    let set = "next_at = pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => $5), last_error = $4";
                    let sql = update(set, &format!("{this} AND attempts = $3"));
                    let query = pg::query(&sql).bind(id).bind(destination).bind(attempts).bind(error);
                    query.bind(after.as_secs_f64()).execute(tx).await?;
                }
            }
            Ok(())
        })
        .await
    }
}
