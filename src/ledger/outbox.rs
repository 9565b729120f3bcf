//! Announcements: written with the entries that they announce, delivered later, at least once.

use sqlx::PgConnection;

use super::{ByRun, Ledger, LedgerError};
use crate::ident::RunId;
use crate::pg;
use crate::plan::{Notify, Plan};
use crate::run::{Announcement, Entry, Program, State, announce};
use crate::sql::quote_literal;

#[cfg(feature = "notify")]
mod deliveries;
#[cfg(feature = "notify")]
pub use deliveries::{Delivery, Ended};

/// The announcements of a ledger.
#[derive(Debug, Clone, Copy)]
pub struct Outbox<'l> {
    pub(super) ledger: &'l Ledger,
}

/// An announcement that has not reached a destination.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Undelivered {
    /// The destination, as the plan calls it.
    pub to: String,
    /// How many announcements.
    pub count: i64,
    /// Whether some of them are not tried any more.
    pub given_up: bool,
    /// What the last attempt said; `None` where there was none.
    pub error: Option<String>,
}
pg::columns!(Undelivered { to, count, given_up, error });

/// Whom a run tells, and how it is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Teller<'a> {
    pub(super) called: &'a str,
    pub(super) plan: &'a Plan,
}

impl Outbox<'_> {
    /// Returns the statements that write what `entry` announces.
    pub(super) fn statements(
        self,
        (run, teller): (RunId, Teller<'_>),
        program: &Program,
        before: &State,
        entry: &Entry,
        after: &State,
    ) -> Result<Vec<String>, LedgerError> {
        let told = &teller.plan.notify;
        if told.is_empty() {
            return Ok(vec![]);
        }
        let mut statements = Vec::new();
        for announcement in announce(teller.called, program, before, entry, after) {
            let to: Vec<_> = told.iter().filter(|notify| notify.on.contains(&announcement.topic)).collect();
            if !to.is_empty() {
                statements.push(self.statement(run, &announcement, &to)?);
            }
        }
        Ok(statements)
    }

    fn statement(self, run: RunId, announcement: &Announcement, to: &[&Notify]) -> Result<String, LedgerError> {
        let payload = serde_json::to_string(announcement).map_err(|error| LedgerError::Unreadable {
            what: "announcement",
            run,
            error,
        })?;
        let row = |notify: &&Notify| {
            format!("({}, {})", quote_literal(notify.to.as_str()), quote_literal(notify.shape.as_str()))
        };
        let rows: Vec<_> = to.iter().map(row).collect();
        let seq = announcement.entry;
        // Values come between texts that name the schema: a name in a message is none.
        Ok([
            self.ledger.sql("WITH made AS (INSERT INTO crossfade.announcement (run_id, seq, topic, payload) VALUES "),
            format!(
                "({run}, {seq}, {}, {}::jsonb || pg_catalog.jsonb_build_object('head', ",
                quote_literal(announcement.topic.as_str()),
                quote_literal(&payload)
            ),
            // The entry stands before this statement, and has its hash from a trigger.
            self.ledger.sql("(SELECT e.hash FROM crossfade.event AS e "),
            format!("WHERE e.run_id = {run} AND e.seq = {seq}))) RETURNING id) "),
            self.ledger.sql("INSERT INTO crossfade.delivery (announcement, destination, shape, run_id) "),
            format!("SELECT made.id, d.destination, d.shape, {run} FROM made, (VALUES {}) AS d (destination, shape) ", rows.join(", ")),
            self.ledger.sql("WHERE NOT EXISTS (SELECT FROM crossfade.delivery AS g WHERE g.gone AND g.destination = d.destination AND "),
            format!("g.run_id = {run})"),
        ]
        .concat())
    }

    /// Returns what of each run's announcements has not arrived although it was tried, or is a minute old.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn undelivered(
        self,
        connection: &mut PgConnection,
        runs: &[RunId],
    ) -> Result<ByRun<Undelivered>, sqlx::Error> {
        let select = "SELECT d.run_id, d.destination AS \"to\", pg_catalog.count(*) AS count, pg_catalog.bool_or(d.given_up_at IS NOT NULL) AS given_up, \
               (pg_catalog.array_agg(d.last_error ORDER BY a.at DESC))[1] AS error \
             FROM crossfade.delivery AS d JOIN crossfade.announcement AS a ON a.id = d.announcement \
             WHERE d.run_id = ANY ($1) AND d.delivered_at IS NULL \
               AND (d.last_error IS NOT NULL OR a.at < pg_catalog.clock_timestamp() - interval '1 minute') \
             GROUP BY d.run_id, d.destination ORDER BY d.destination";
        self.ledger.by_run(connection, select, runs).await
    }
}
