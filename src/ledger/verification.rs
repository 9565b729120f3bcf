//! Results of checks, and what they count for.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use super::{Ledger, LedgerError, Run};
use crate::engine::compare::Identity;
use crate::ident::RunId;
use crate::pg;
use crate::run::Outcome;

impl Ledger {
    /// Stores the result of a check. It names what it counts for: the plan, the trigger and the table's file.
    ///
    /// # Errors
    /// The server's error.
    pub async fn store_verification(
        &self,
        connection: &mut PgConnection,
        run: &Run,
        identity: &Identity,
        outcome: &Outcome,
        repaired: bool,
    ) -> Result<(), LedgerError> {
        let insert = self.sql(
            "INSERT INTO crossfade.verification (run_id, started_at, fingerprint, body_hash, relfilenode, repaired, rows, equal, \
             empty, different, unconverted, only_new, seconds, keys) \
             VALUES ($1, $2, $3, $4, $5::bigint::oid, $6, $7, $8, $9, $10, $11, $12, $13, $14::jsonb)",
        );
        let keys = serde_json::to_string(&outcome.keys).map_err(|error| LedgerError::Unreadable {
            what: "check",
            run: run.id,
            error,
        })?;
        let counts = outcome.counts;
        pg::query(&insert)
            .bind(run.id.0)
            .bind(identity.started_at)
            .bind(run.fingerprint.clone())
            .bind(identity.body_hash.clone())
            .bind(identity.relfilenode)
            .bind(repaired)
            .bind(counts.rows)
            .bind(counts.equal)
            .bind(counts.empty)
            .bind(counts.different)
            .bind(counts.unconverted)
            .bind(counts.only_new)
            .bind(outcome.seconds)
            .bind(keys)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Returns whether the latest check of this run is clean, not a repair, younger than `max_age` and made of what
    /// `identity` says is there now.
    ///
    /// # Errors
    /// The server's error.
    pub async fn is_verified(
        &self,
        connection: &mut PgConnection,
        run: &Run,
        identity: &Identity,
        max_age: std::time::Duration,
    ) -> Result<bool, LedgerError> {
        let select = self.sql(
            "SELECT fingerprint = $2 AND body_hash = $3 AND relfilenode::bigint = $4 AND NOT repaired \
               AND empty + different + unconverted = 0 \
               AND started_at > pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $5) \
             FROM crossfade.verification WHERE run_id = $1 ORDER BY id DESC LIMIT 1",
        );
        let row = pg::query(&select)
            .bind(run.id.0)
            .bind(run.fingerprint.clone())
            .bind(identity.body_hash.clone())
            .bind(identity.relfilenode)
            .bind(max_age.as_secs_f64())
            .fetch_optional(connection)
            .await?;
        Ok(match row {
            Some(row) => row.try_get(0)?,
            None => false,
        })
    }

    /// Returns when the run's latest check ended and how many rows were not equal.
    ///
    /// # Errors
    /// The server's error.
    pub async fn last_verification(
        &self,
        connection: &mut PgConnection,
        run: RunId,
    ) -> Result<Option<(DateTime<Utc>, i64)>, LedgerError> {
        let select = self.sql(
            "SELECT at, empty + different + unconverted FROM crossfade.verification WHERE run_id = $1 ORDER BY id DESC LIMIT 1",
        );
        let row = pg::query(&select).bind(run.0).fetch_optional(connection).await?;
        row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
    }
}
