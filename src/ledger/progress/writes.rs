//! The sync trigger's counters: who still writes the old column, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Progress;
use crate::ident::RunId;
use crate::ledger::by_run::{ByRun, OfRun};
use crate::ledger::{LedgerError, Run};
use crate::names::{Counters, LedgerSchema};
use crate::pg;
use crate::sql::quote_literal;

/// Whole seconds since a write through an old column was last noticed.
const QUIET_SECONDS: &str =
    "pg_catalog.floor(EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - old_changed_at))::bigint";

/// The part of a counter that says in how many seconds there were writes; above it is the second of the last one.
const COUNT: i64 = (1 << Counters::BITS) - 1;

/// Writes through the columns, as the sync trigger noted them: in how many seconds there were any. Rolled-back writes are
/// noted too.
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

/// What is known of writes through the new columns at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewWrites {
    /// The counter.
    value: i64,
    /// The server's clock.
    second: i64,
}

impl NewWrites {
    /// Returns whether the next write will be noted: not in a second in which there was one.
    pub fn notes_the_next(self) -> bool {
        self.value >> Counters::BITS < self.second
    }
}

pg::columns!(NewWrites { value, second });

pg::columns!(
    struct Counted {
        old: Option<i64>,
        new: Option<i64>,
        conflicts: Option<i64>,
    }
);

/// The counters as they are now.
struct Now {
    old: i64,
    new: i64,
    conflicts: i64,
    /// The end of the second in which the old column was last written; the beginning of 1970 if it was not.
    old_until: DateTime<Utc>,
}

impl Progress<'_> {
    /// Reads the trigger's counters and notes when the old column was last written. Returns `None` before expand and after
    /// the end, when there are no counters.
    ///
    /// No moment that is noted is later than the server's clock, so a clock that was set back makes nobody wait for longer
    /// than he would have waited anyway.
    ///
    /// # Errors
    /// The server's error.
    pub async fn sample_writes(
        self,
        connection: &mut PgConnection,
        run: &Run,
    ) -> Result<Option<WriteCounts>, LedgerError> {
        let counted = self.counters(connection, &[run]).await?.one(run.id);
        let Some(Now { old, new, conflicts, old_until }) = counted.and_then(Counted::now) else {
            return Ok(None);
        };
        let upsert = self.ledger.sql(
            "INSERT INTO crossfade.write_count AS c (run_id, old_writes, new_writes, conflicts, old_changed_at, sampled_at) \
             VALUES ($1, $2, $3, $4, CASE WHEN $2 = 0 THEN pg_catalog.clock_timestamp() ELSE LEAST($5, pg_catalog.clock_timestamp()) END, \
               pg_catalog.clock_timestamp()) \
             ON CONFLICT (run_id) DO UPDATE SET old_writes = excluded.old_writes, new_writes = excluded.new_writes, \
               conflicts = excluded.conflicts, sampled_at = excluded.sampled_at, \
               old_changed_at = CASE WHEN c.old_writes = excluded.old_writes THEN LEAST(c.old_changed_at, excluded.sampled_at) \
                                     ELSE excluded.old_changed_at END \
             RETURNING ",
        ) + QUIET_SECONDS;
        let query = pg::query_scalar(&upsert).bind(run.id.0).bind(old).bind(new).bind(conflicts).bind(old_until);
        let old_quiet_seconds = query.fetch_one(connection).await?;
        Ok(Some(WriteCounts { old, new, conflicts, old_quiet_seconds }))
    }

    /// Returns the counters of each run at `at`, which is now, or their last noted values once the trigger is gone. Changes nothing.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn write_counts(
        self,
        connection: &mut PgConnection,
        runs: &[&Run],
        at: DateTime<Utc>,
    ) -> Result<BTreeMap<RunId, WriteCounts>, sqlx::Error> {
        let noted = "SELECT run_id, old_writes AS old, new_writes AS new, conflicts, \
               GREATEST({QUIET}, 0) AS old_quiet_seconds FROM crossfade.write_count WHERE run_id = ANY ($1)";
        let ids: Vec<RunId> = runs.iter().map(|run| run.id).collect();
        let noted = noted.replace("{QUIET}", QUIET_SECONDS);
        let mut noted: ByRun<WriteCounts> = self.ledger.by_run(connection, &noted, &ids).await?;
        let mut counters = self.counters(connection, runs).await?;
        let counts = |run: RunId| {
            let noted = noted.one(run).unwrap_or_default();
            let counted = match counters.one(run).and_then(Counted::now) {
                None => noted,
                Some(Now { old, new, conflicts, .. }) if old == noted.old => WriteCounts { new, conflicts, ..noted },
                Some(Now { old, new, conflicts, old_until }) => {
                    WriteCounts { old, new, conflicts, old_quiet_seconds: (at - old_until).num_seconds().max(0) }
                }
            };
            (run, counted)
        };
        Ok(ids.into_iter().map(counts).collect())
    }

    /// Returns the condition that nothing has been written to the old columns for `quiet`, as far as is known, nor since that
    /// was looked at.
    pub(crate) fn is_quiet(self, run: &Run, quiet: Duration) -> String {
        if quiet.is_zero() {
            return "true".to_owned();
        }
        let noted = self.ledger.sql(&format!("SELECT FROM crossfade.write_count AS c WHERE c.run_id = {}", run.id));
        format!(
            "EXISTS ({noted} AND c.old_writes = {} & {COUNT} AND c.old_changed_at <= pg_catalog.clock_timestamp() \
             AND {} >= {})",
            counter(self.ledger.schema(), &Counters::of(&run.program.tag).old),
            QUIET_SECONDS.replace("old_changed_at", "c.old_changed_at"),
            quiet.as_secs()
        )
    }

    /// Returns the condition that nothing has been written through a new column since `before`; true where there are no
    /// counters. A write in the very second of `before` counts: only the first of a second is noted.
    pub(crate) fn no_new_writes(self, run: &Run, before: NewWrites) -> String {
        if !before.notes_the_next() {
            return "false".to_owned();
        }
        let now = counter(self.ledger.schema(), &Counters::of(&run.program.tag).new);
        format!("COALESCE({now}, {0}) = {0}", before.value)
    }

    /// Returns what is known now of writes through the new columns; `None` where there are no counters.
    ///
    /// # Errors
    /// The server's error.
    pub async fn new_writes(self, connection: &mut PgConnection, run: &Run) -> Result<Option<NewWrites>, LedgerError> {
        let select = "SELECT value, EXTRACT(EPOCH FROM pg_catalog.clock_timestamp())::bigint AS second \
                      FROM (SELECT pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass($1)) AS value) AS counter WHERE value IS NOT NULL";
        let name = self.ledger.schema().qualify(&Counters::of(&run.program.tag).new);
        Ok(pg::query_as(select).bind(name).fetch_optional(connection).await?)
    }

    async fn counters(self, connection: &mut PgConnection, runs: &[&Run]) -> Result<ByRun<Counted>, sqlx::Error> {
        let select = "SELECT c.run_id, pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass(c.old)) AS old, \
                        pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass(c.new)) AS new, \
                        pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass(c.conflicts)) AS conflicts \
                      FROM ROWS FROM (pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[]), \
                        pg_catalog.unnest($4::text[])) AS c (run_id, old, new, conflicts)";
        let names: Vec<_> = runs.iter().map(|run| Counters::of(&run.program.tag)).collect();
        let qualified = |name: fn(&Counters) -> &str| {
            names.iter().map(|names| self.ledger.schema().qualify(name(names))).collect::<Vec<_>>()
        };
        let counted: Vec<OfRun<Counted>> = pg::query_as(select)
            .bind(runs.iter().map(|run| run.id.0).collect::<Vec<_>>())
            .bind(qualified(|names| &names.old))
            .bind(qualified(|names| &names.new))
            .bind(qualified(|names| &names.conflict))
            .fetch_all(connection)
            .await?;
        Ok(counted.into_iter().collect())
    }
}

impl Counted {
    /// Returns what the counters say; `None` where one of them is not there.
    fn now(self) -> Option<Now> {
        let Self { old: Some(old), new: Some(new), conflicts: Some(conflicts) } = self else { return None };
        let count = |value: i64| value & COUNT;
        // A write may have come at any time of the second, and the second is rounded.
        let old_until = DateTime::from_timestamp((old >> Counters::BITS) + 1, 0).unwrap_or_default();
        Some(Now { old: count(old), new: count(new), conflicts: count(conflicts), old_until })
    }
}

/// Returns the value of a counter as an expression; NULL where it is not there.
fn counter(schema: &LedgerSchema, name: &str) -> String {
    let name = quote_literal(&schema.qualify(name));
    format!("pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass({name}))")
}
