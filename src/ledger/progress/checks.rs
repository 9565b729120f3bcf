//! Results of checks, and what they count for.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Progress, number};
use crate::ident::RunId;
use crate::ledger::{LedgerError, Run};
use crate::pg;
use crate::run::{Identity, Outcome, RelationId};
use crate::sql::quote_literal;

pg::columns!(
    struct Last {
        at: Option<DateTime<Utc>>,
        mismatches: Option<i64>,
    }
);

impl Progress<'_> {
    /// Stores the result of a check of a relation. It names what it counts for: the plan, the trigger and the table's file.
    ///
    /// # Errors
    /// The server's error.
    pub async fn store_check(
        self,
        connection: &mut PgConnection,
        run: &Run,
        relation: RelationId,
        identity: &Identity,
        outcome: &Outcome,
        repaired: bool,
    ) -> Result<(), LedgerError> {
        let insert = self.ledger.sql(
            "INSERT INTO crossfade.verification (run_id, relation, started_at, fingerprint, body_hash, relfilenode, repaired, \
               rows, equal, empty, different, unconverted, only_new, seconds, keys) \
             VALUES ($1, $2, $3, $4, $5, $6::bigint::oid, $7, $8, $9, $10, $11, $12, $13, $14, $15::jsonb)",
        );
        let keys = crate::run::write(&outcome.keys).map_err(|error| LedgerError::Unreadable {
            what: "check",
            run: run.id,
            error,
        })?;
        let counts = outcome.counts;
        pg::query(&insert)
            .bind(run.id.0)
            .bind(number(relation))
            .bind(identity.started_at)
            .bind(&run.fingerprint)
            .bind(&identity.body_hash)
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

    /// Returns the condition that the latest check of each of these relations is clean, not a repair, younger than `max_age`
    /// and made of what is there now, as the query beside the relation says (`body_hash`, `relfilenode`). The caller names
    /// every relation of the run that has something to compare; naming none proves nothing, so then it is false.
    pub fn verified(self, run: &Run, relations: &[(RelationId, String)], max_age: Duration) -> String {
        let one = |(relation, identity): &(RelationId, String)| {
            // A check that was made after now was made before somebody set the clock back.
            let check = format!(
                "SELECT FROM (SELECT * FROM crossfade.verification WHERE run_id = {} AND relation = {} ORDER BY id DESC LIMIT 1) AS v, ",
                run.id,
                number(*relation),
            );
            format!(
                "EXISTS ({}({identity}\n) AS i WHERE v.fingerprint = {} AND v.body_hash = i.body_hash \
                 AND v.relfilenode::bigint = i.relfilenode AND NOT v.repaired AND v.empty + v.different + v.unconverted = 0 \
                 AND v.started_at > pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => {}) \
                 AND v.started_at <= pg_catalog.clock_timestamp())",
                self.ledger.sql(&check),
                quote_literal(&run.fingerprint),
                max_age.as_secs_f64(),
            )
        };
        let all: Vec<_> = relations.iter().map(one).collect();
        if all.is_empty() { "false".to_owned() } else { all.join(" AND ") }
    }

    /// Returns how many seconds the latest check of a run took; `None` before the first.
    ///
    /// # Errors
    /// The server's error.
    pub async fn check_seconds(self, connection: &mut PgConnection, run: RunId) -> Result<Option<f64>, LedgerError> {
        let select =
            self.ledger.sql("SELECT seconds FROM crossfade.verification WHERE run_id = $1 ORDER BY id DESC LIMIT 1");
        Ok(pg::query_scalar(&select).bind(run.0).fetch_optional(connection).await?)
    }

    /// Returns when the latest checks of the run's relations ended, the oldest of them, and how many rows were not equal in
    /// all of them; `None` before the first check.
    ///
    /// # Errors
    /// The server's error.
    pub async fn last_check(
        self,
        connection: &mut PgConnection,
        run: RunId,
    ) -> Result<Option<(DateTime<Utc>, i64)>, LedgerError> {
        let select = self.ledger.sql(
            "SELECT pg_catalog.min(v.at) AS at, pg_catalog.sum(v.empty + v.different + v.unconverted)::bigint AS mismatches \
             FROM (SELECT DISTINCT ON (relation) * FROM crossfade.verification WHERE run_id = $1 ORDER BY relation, id DESC) AS v",
        );
        let Last { at, mismatches } = pg::query_as(&select).bind(run.0).fetch_one(connection).await?;
        Ok(at.zip(mismatches))
    }
}
