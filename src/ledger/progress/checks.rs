//! Results of checks, and what they count for.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::{Progress, number};
use crate::ident::RunId;
use crate::ledger::{ByRun, LedgerError, Run};
use crate::pg;
use crate::run::{Counts, Identity, MismatchKey, Outcome, Phase, RelationId, StepKey, What, WrittenBy};
use crate::sql::quote_literal;

/// What the latest checks of a run's relations found, all of them together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LastCheck {
    /// When the oldest of them ended.
    pub(crate) at: DateTime<Utc>,
    /// Rows that were not equal.
    pub(crate) mismatches: i64,
    /// The first of these rows.
    pub(crate) unequal: Vec<MismatchKey>,
}

pg::columns!(
    struct Last {
        at: DateTime<Utc>,
        mismatches: i64,
        unequal: Vec<String>,
    }
);

pg::columns!(
    struct Stored {
        table: String,
        started_at: DateTime<Utc>,
        at: DateTime<Utc>,
        seconds: f64,
        fingerprint: String,
        body_hash: String,
        relfilenode: i64,
        repaired: bool,
        rows: i64,
        equal: i64,
        empty: i64,
        different: i64,
        unconverted: i64,
        only_new: i64,
    }
);

pg::columns!(
    struct Traced {
        at: Option<DateTime<Utc>>,
        origin: Option<String>,
        is_replayed: bool,
        is_backfill: bool,
        is_older: bool,
        is_later: bool,
        is_unique: bool,
    }
);

/// The result of a check of one table, and what it counts for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The table, under the name that it had when the run was registered.
    pub table: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// How many seconds it took.
    pub seconds: f64,
    /// What it found.
    pub counts: Counts,
    /// The fingerprint of the plan.
    pub fingerprint: String,
    /// SHA-256 of the text of the sync trigger's functions.
    pub body_hash: String,
    /// The table's file: a rewrite of the table gives it another.
    pub relfilenode: i64,
    /// Whether it was a part of a repair. Then it does not count as a proof.
    pub repaired: bool,
}

impl Progress<'_> {
    /// Returns the latest check of each of the run's relations.
    ///
    /// # Errors
    /// The server's error.
    pub async fn checks(self, connection: &mut PgConnection, run: RunId) -> Result<Vec<Check>, LedgerError> {
        let select = self.ledger.sql(
            "SELECT DISTINCT ON (v.relation) r.schema_name || '.' || r.table_name AS table, v.started_at, v.at, v.seconds, \
               v.fingerprint, v.body_hash, v.relfilenode::bigint AS relfilenode, v.repaired, v.rows, v.equal, v.empty, v.different, \
               v.unconverted, v.only_new FROM crossfade.verification AS v \
             JOIN crossfade.relation AS r ON r.run_id = v.run_id AND r.relation = v.relation \
             WHERE v.run_id = $1 ORDER BY v.relation, v.id DESC",
        );
        let stored: Vec<Stored> = pg::query_as(&select).bind(run.0).fetch_all(connection).await?;
        let check = |row: Stored| {
            let Stored { table, started_at, at, seconds, fingerprint, body_hash, relfilenode, repaired, .. } = row;
            let Stored { rows, equal, empty, different, unconverted, only_new, .. } = row;
            let counts = Counts { rows, equal, empty, different, unconverted, only_new };
            Check { table, started_at, at, seconds, counts, fingerprint, body_hash, relfilenode, repaired }
        };
        Ok(stored.into_iter().map(check).collect())
    }

    /// Finds out how rows that are not equal were last written, as far as the server and the ledger know (docs/postgres.md, "Who
    /// wrote a row").
    ///
    /// # Errors
    /// The server's error.
    pub async fn trace(
        self,
        connection: &mut PgConnection,
        run: RunId,
        keys: &mut [MismatchKey],
    ) -> Result<(), LedgerError> {
        let select = self.ledger.sql(include_str!("trace.sql"));
        for key in keys {
            let traced: Traced = pg::query_as(&select)
                .bind(run.0)
                .bind(&key.written.transaction)
                .bind(StepKey::new(Phase::Expand, What::Columns).to_string())
                .fetch_one(&mut *connection)
                .await?;
            // A value in the new column was written after that was made; the number of a transaction may have come round since.
            let is_later = key.class == "different" || traced.is_later && traced.is_unique;
            key.written.by = if traced.is_replayed {
                Some(WrittenBy::Replication)
            } else if traced.is_backfill {
                Some(WrittenBy::Backfill)
            } else if traced.is_older {
                Some(WrittenBy::OlderTransaction)
            } else if is_later && key.class != "unconverted" {
                Some(WrittenBy::PastTrigger)
            } else {
                None
            };
            (key.written.at, key.written.origin) = (traced.at, traced.origin);
        }
        Ok(())
    }

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
            let latest = self.latest_check(&run.id.to_string(), &number(*relation).to_string());
            format!(
                "EXISTS (SELECT FROM ({latest}) AS v, ({identity}\n) AS i WHERE v.fingerprint = {} AND v.body_hash = i.body_hash \
                 AND v.relfilenode::bigint = i.relfilenode AND NOT v.repaired AND v.empty + v.different + v.unconverted = 0 \
                 AND v.started_at > pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => {}) \
                 AND v.started_at <= pg_catalog.clock_timestamp())",
                quote_literal(&run.fingerprint),
                max_age.as_secs_f64(),
            )
        };
        let all: Vec<_> = relations.iter().map(one).collect();
        if all.is_empty() { "false".to_owned() } else { all.join(" AND ") }
    }

    /// Returns the query of the latest check of a relation; both are expressions.
    pub(crate) fn latest_check(self, run: &str, relation: &str) -> String {
        let select = "SELECT v.* FROM crossfade.verification AS v WHERE v.run_id = ";
        format!("{}{run} AND v.relation = {relation} ORDER BY v.id DESC LIMIT 1", self.ledger.sql(select))
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

    /// Returns what the latest checks of each run's relations found; nothing of a run before its first check. What is damaged of one run is
    /// an error of that run alone.
    ///
    /// # Errors
    /// The server's error; inside, [`LedgerError::Unreadable`].
    pub(crate) async fn last_checks(
        self,
        connection: &mut PgConnection,
        runs: &[RunId],
    ) -> Result<ByRun<Result<LastCheck, LedgerError>>, sqlx::Error> {
        let select = "SELECT v.run_id, pg_catalog.min(v.at) AS at, pg_catalog.sum(v.empty + v.different + v.unconverted)::bigint AS mismatches, \
               pg_catalog.array_agg(v.keys::text ORDER BY v.relation) AS unequal \
             FROM (SELECT DISTINCT ON (run_id, relation) * FROM crossfade.verification WHERE run_id = ANY ($1) \
               ORDER BY run_id, relation, id DESC) AS v GROUP BY v.run_id";
        Ok(self.ledger.by_run(connection, select, runs).await?.map(|run, Last { at, mismatches, unequal }| {
            let unreadable = |error| LedgerError::Unreadable { what: "check", run, error };
            let read = |text: &String| crate::run::read::<Vec<MismatchKey>>(text).map_err(unreadable);
            let unequal = unequal.iter().map(read).collect::<Result<Vec<_>, _>>()?.concat();
            Ok(LastCheck { at, mismatches, unequal })
        }))
    }
}
