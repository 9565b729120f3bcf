//! Runs the user's query, on a connection of its own: however slow it is, the other signals stay fresh.

use std::time::Duration;

use sqlx::{PgConnection, Row};

use super::{Seen, Signal, Value};
use crate::event::{Event, EventSink};
use crate::latest::Latest;
use crate::pg::{self, Connector, ErrorClass};

/// Between two runs of the query.
const EVERY: Duration = Duration::from_secs(1);
/// What makes the user's query harmless: it changes nothing and does not run for long.
///
/// Its names are looked up as in any other session of the role.
const HARMLESS: &str =
    "RESET search_path; SET default_transaction_read_only = on; SET statement_timeout = '2s'; SET lock_timeout = '1s'";

/// Opens a connection on which queries of the user's may run.
pub(super) async fn harmless(connector: &Connector, purpose: &str) -> Result<PgConnection, sqlx::Error> {
    let mut connection = connector.connect(purpose).await?;
    pg::batch(&mut connection, HARMLESS).await?;
    Ok(connection)
}

/// Runs the query whenever its signal is wanted, and publishes its number. Never returns. If the query fails, people are told
/// why, and the signal becomes stale, which holds the backfill.
pub(crate) async fn probe(connector: Connector, sink: EventSink, seen: Latest<Seen>, sql: String) {
    // As a subquery it must be one query with one column and at most one row; the line break ends a comment.
    let text = format!("SELECT ({}\n)::float8", sql.trim().trim_end_matches(';'));
    let mut wanted = seen.follow();
    let mut connection = None;
    let mut told = String::new();
    loop {
        if !seen.get().wants(Signal::Probe) {
            connection = None;
            if wanted.wait_for(|seen| seen.wants(Signal::Probe)).await.is_err() {
                return;
            }
        }
        let message = match once(&connector, &mut connection, &text).await {
            Ok(Some(number)) if number.is_finite() => {
                seen.change(|seen| seen.set(Signal::Probe, Value::Known(number), None));
                String::new()
            }
            Ok(_) => "the probe query returns no number: the backfill holds".to_owned(),
            Err(error) => {
                if pg::class_of(&error) == ErrorClass::Connection {
                    connection = None;
                }
                format!("the probe query fails, so the backfill holds: {}", pg::describe(&error))
            }
        };
        if !message.is_empty() && message != told {
            told.clone_from(&message);
            sink(Event::Warning { message });
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn once(
    connector: &Connector,
    connection: &mut Option<PgConnection>,
    text: &str,
) -> Result<Option<f64>, sqlx::Error> {
    let open = match connection {
        Some(open) => open,
        None => connection.insert(harmless(connector, "probe").await?),
    };
    let rows = pg::fetch(open, text).await?;
    rows.first().map_or(Ok(None), |row| row.try_get(0))
}
