//! The sync trigger's counters: who still writes the old column.

use std::time::Duration;

use sqlx::PgConnection;

use super::Progress;
use crate::ledger::{LedgerError, Run};
use crate::names::Counters;
use crate::pg;
use crate::sql::quote_literal;

/// Whole seconds since a write through an old column was last noticed.
const QUIET_SECONDS: &str =
    "pg_catalog.floor(EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - old_changed_at))::bigint";

/// Writes through the columns, as the sync trigger counted them. Rolled-back writes count too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct WriteCounts {
    /// Through an old column.
    pub old: i64,
    /// Through a new column.
    pub new: i64,
    /// Statements that set both to values that do not agree.
    pub conflicts: i64,
    /// Seconds since a write through an old column was last noticed.
    pub old_quiet_seconds: i64,
}

pg::columns!(WriteCounts { old, new, conflicts, old_quiet_seconds });

pg::columns!(
    struct Counted {
        old: Option<i64>,
        new: Option<i64>,
        conflicts: Option<i64>,
    }
);

impl Progress<'_> {
    /// Reads the trigger's counters and notes when the old one last moved. Returns `None` before expand and after the
    /// end, when there are no counters.
    ///
    /// # Errors
    /// The server's error.
    pub async fn sample_writes(
        self,
        connection: &mut PgConnection,
        run: &Run,
    ) -> Result<Option<WriteCounts>, LedgerError> {
        let Some((old, new, conflicts)) = self.counters(connection, run).await? else { return Ok(None) };
        let upsert = self.ledger.sql(
            "INSERT INTO crossfade.write_count AS c (run_id, old_writes, new_writes, conflicts, old_changed_at, sampled_at) \
             VALUES ($1, $2, $3, $4, pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp()) \
             ON CONFLICT (run_id) DO UPDATE SET old_writes = excluded.old_writes, new_writes = excluded.new_writes, \
               conflicts = excluded.conflicts, sampled_at = excluded.sampled_at, \
               old_changed_at = CASE WHEN c.old_writes = excluded.old_writes AND c.old_changed_at <= excluded.old_changed_at \
                 THEN c.old_changed_at ELSE excluded.old_changed_at END \
             RETURNING ",
        ) + QUIET_SECONDS;
        let query = pg::query_scalar(&upsert).bind(run.id.0).bind(old).bind(new).bind(conflicts);
        let old_quiet_seconds = query.fetch_one(connection).await?;
        Ok(Some(WriteCounts { old, new, conflicts, old_quiet_seconds }))
    }

    /// Returns the counters, or their last noted values once the trigger is gone. Changes nothing.
    ///
    /// # Errors
    /// The server's error.
    pub async fn write_counts(self, connection: &mut PgConnection, run: &Run) -> Result<WriteCounts, LedgerError> {
        let noted = self.ledger.sql(
            "SELECT old_writes AS old, new_writes AS new, conflicts, \
               {QUIET} AS old_quiet_seconds FROM crossfade.write_count WHERE run_id = $1",
        );
        let noted = noted.replace("{QUIET}", QUIET_SECONDS);
        let noted: Option<WriteCounts> = pg::query_as(&noted).bind(run.id.0).fetch_optional(&mut *connection).await?;
        let noted = noted.unwrap_or_default();
        Ok(match self.counters(connection, run).await? {
            Some((old, new, conflicts)) => {
                let old_quiet_seconds = if old == noted.old { noted.old_quiet_seconds } else { 0 };
                WriteCounts { old, new, conflicts, old_quiet_seconds }
            }
            None => noted,
        })
    }

    /// Returns the condition that nothing has been written to the old columns for `quiet`, as far as is known, nor since that
    /// was looked at.
    pub(crate) fn is_quiet(self, run: &Run, quiet: Duration) -> String {
        if quiet.is_zero() {
            return "true".to_owned();
        }
        let noted = self.ledger.sql(&format!("SELECT FROM crossfade.write_count AS c WHERE c.run_id = {}", run.id));
        format!(
            "EXISTS ({noted} AND c.old_writes = {} AND c.old_changed_at <= pg_catalog.clock_timestamp() \
             AND {} >= {})",
            self.counter(&Counters::of(&run.program.tag).old),
            QUIET_SECONDS.replace("old_changed_at", "c.old_changed_at"),
            quiet.as_secs()
        )
    }

    /// Returns the condition that the new columns have been written as often as `before`.
    pub(crate) fn has_new_writes(self, run: &Run, before: i64) -> String {
        let noted = self.ledger.sql(&format!("SELECT new_writes FROM crossfade.write_count WHERE run_id = {}", run.id));
        format!("COALESCE({}, ({noted}), 0) = {before}", self.counter(&Counters::of(&run.program.tag).new))
    }

    /// Returns the value of a counter as an expression; NULL where it is not there.
    fn counter(self, name: &str) -> String {
        let name = quote_literal(&self.ledger.schema().qualify(name));
        format!("pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass({name}))")
    }

    async fn counters(self, connection: &mut PgConnection, run: &Run) -> Result<Option<(i64, i64, i64)>, LedgerError> {
        let names = Counters::of(&run.program.tag);
        let select = "SELECT pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass($1)) AS old, \
                        pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass($2)) AS new, \
                        pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass($3)) AS conflicts";
        let schema = self.ledger.schema();
        let counted: Counted = pg::query_as(select)
            .bind(schema.qualify(&names.old))
            .bind(schema.qualify(&names.new))
            .bind(schema.qualify(&names.conflict))
            .fetch_one(connection)
            .await?;
        Ok(match counted {
            Counted { old: Some(old), new: Some(new), conflicts: Some(conflicts) } => Some((old, new, conflicts)),
            _ => None,
        })
    }
}
