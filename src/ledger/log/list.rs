//! Every run of a ledger, a line each.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::Log;
use crate::ledger::LedgerError;
use crate::pg;

/// The latest runs of a ledger.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Listed {
    /// The runs, newest first.
    pub runs: Vec<ListedRun>,
    /// How many older ones there are.
    pub older: i64,
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedRun {
    /// What it is called, `NAME@NUMBER`.
    pub name: String,
    /// The table that it works on.
    pub table: String,
    /// The phase that it is in, or was in last, as its log has it.
    pub phase: String,
    /// Its state, as its log has it, or `running` while a process leads it.
    pub state: String,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// As which role.
    pub created_by: String,
    /// When the latest entry of its log was written.
    pub last_at: DateTime<Utc>,
    /// How many entries its log has.
    pub entries: i64,
}

pg::columns!(ListedRun { name, table, phase, state, created_at, created_by, last_at, entries });

impl Log<'_> {
    /// Returns the latest `limit` runs; none where there is no ledger. What is stored of them is not looked at: a run that cannot
    /// be read any more is listed.
    ///
    /// # Errors
    /// The server's error.
    pub async fn list(self, connection: &mut PgConnection, limit: u32) -> Result<Listed, LedgerError> {
        if self.ledger.version(connection).await?.is_none() {
            return Ok(Listed::default());
        }
        let select = self.ledger.sql(
            "SELECT r.name || '@' || r.number AS name, t.schema_name || '.' || t.table_name AS \"table\", e.phase, \
               CASE WHEN e.state IN ('waiting', 'failed') AND EXISTS (SELECT FROM crossfade.lease AS l WHERE l.run_id = r.id AND l.leads \
                 AND l.expires > pg_catalog.clock_timestamp()) THEN 'running' ELSE e.state END AS state, r.created_at, \
               r.created_by, e.at AS last_at, e.seq AS entries \
             FROM crossfade.run AS r JOIN crossfade.relation AS t ON t.run_id = r.id AND t.relation = 0 \
             JOIN LATERAL (SELECT * FROM crossfade.event AS e WHERE e.run_id = r.id ORDER BY e.seq DESC LIMIT 1) AS e ON true \
             ORDER BY r.id DESC LIMIT $1",
        );
        let runs: Vec<ListedRun> = pg::query_as(&select).bind(i64::from(limit)).fetch_all(&mut *connection).await?;
        let shown = i64::try_from(runs.len()).unwrap_or(i64::MAX);
        Ok(Listed { runs, older: self.count(connection).await?.saturating_sub(shown) })
    }

    /// Returns how many runs a ledger has, ended ones too.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn count(self, connection: &mut PgConnection) -> Result<i64, LedgerError> {
        let count = self.ledger.sql("SELECT pg_catalog.count(*) FROM crossfade.run");
        Ok(pg::query_scalar(&count).fetch_one(connection).await?)
    }

    /// Returns what the runs of a ledger are called that have not ended, as their logs have it, newest first.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn active(self, connection: &mut PgConnection) -> Result<Vec<String>, LedgerError> {
        let select = self.ledger.sql(
            "SELECT r.name FROM crossfade.run AS r \
             JOIN LATERAL (SELECT e.state FROM crossfade.event AS e WHERE e.run_id = r.id ORDER BY e.seq DESC LIMIT 1) AS e ON true \
             WHERE e.state NOT IN ('done', 'rolled_back') ORDER BY r.id DESC",
        );
        Ok(pg::query_scalar(&select).fetch_all(connection).await?)
    }

    /// Lets nobody register a run until the open transaction ends.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn refuse_new(self, connection: &mut PgConnection) -> Result<(), LedgerError> {
        Ok(pg::batch(connection, &self.ledger.sql("LOCK TABLE crossfade.claim IN ACCESS EXCLUSIVE MODE")).await?)
    }
}
