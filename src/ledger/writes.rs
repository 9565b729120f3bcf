//! The sync trigger's counters: who still writes the old column.

use sqlx::{PgConnection, Row};

use super::{Ledger, LedgerError, Run};
use crate::names::Counters;
use crate::pg;

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

impl Ledger {
    /// Reads the trigger's counters and notes when the old one last moved. Returns `None` before expand and after the
    /// end, when there are no counters.
    ///
    /// # Errors
    /// The server's error.
    pub async fn sample_writes(
        &self,
        connection: &mut PgConnection,
        run: &Run,
    ) -> Result<Option<WriteCounts>, LedgerError> {
        let Some((old, new, conflicts)) = self.counters(connection, run).await? else { return Ok(None) };
        let upsert = self.sql(
            "INSERT INTO crossfade.write_count AS c (run_id, old_writes, new_writes, conflicts, old_changed_at, sampled_at) \
             VALUES ($1, $2, $3, $4, pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp()) \
             ON CONFLICT (run_id) DO UPDATE SET old_writes = excluded.old_writes, new_writes = excluded.new_writes, \
               conflicts = excluded.conflicts, sampled_at = excluded.sampled_at, \
               old_changed_at = CASE WHEN c.old_writes = excluded.old_writes THEN c.old_changed_at ELSE excluded.old_changed_at END \
             RETURNING EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - old_changed_at)::bigint",
        );
        let row = pg::query(&upsert).bind(run.id.0).bind(old).bind(new).bind(conflicts).fetch_one(connection).await?;
        Ok(Some(WriteCounts { old, new, conflicts, old_quiet_seconds: row.try_get(0)? }))
    }

    /// Returns the counters, or their last noted values once the trigger is gone. Changes nothing.
    ///
    /// # Errors
    /// The server's error.
    pub async fn write_counts(&self, connection: &mut PgConnection, run: &Run) -> Result<WriteCounts, LedgerError> {
        let noted = self.sql(
            "SELECT old_writes, new_writes, conflicts, EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - old_changed_at)::bigint \
             FROM crossfade.write_count WHERE run_id = $1",
        );
        let noted = match pg::query(&noted).bind(run.id.0).fetch_optional(&mut *connection).await? {
            Some(row) => WriteCounts {
                old: row.try_get(0)?,
                new: row.try_get(1)?,
                conflicts: row.try_get(2)?,
                old_quiet_seconds: row.try_get(3)?,
            },
            None => WriteCounts::default(),
        };
        Ok(match self.counters(connection, run).await? {
            Some((old, new, conflicts)) => {
                let old_quiet_seconds = if old == noted.old { noted.old_quiet_seconds } else { 0 };
                WriteCounts { old, new, conflicts, old_quiet_seconds }
            }
            None => noted,
        })
    }

    async fn counters(&self, connection: &mut PgConnection, run: &Run) -> Result<Option<(i64, i64, i64)>, LedgerError> {
        let names = Counters::of(&run.program.tag);
        let row = pg::query(
            "SELECT pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass($1)), \
                 pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass($2)), \
                 pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass($3))",
        )
        .bind(self.schema().qualify(&names.old))
        .bind(self.schema().qualify(&names.new))
        .bind(self.schema().qualify(&names.conflict))
        .fetch_one(connection)
        .await?;
        let counts: (Option<i64>, Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(match counts {
            (Some(old), Some(new), Some(conflicts)) => Some((old, new, conflicts)),
            _ => None,
        })
    }
}
