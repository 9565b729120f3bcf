//! The time that the backfill stood still or went slowly, by reason; and the row that the latency probe writes.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Progress;
use crate::ident::RunId;
use crate::ledger::{ByRun, LedgerError};
use crate::pg;
use crate::run::{Cause, HoldDelta, HoldTime};

pg::columns!(
    struct Row {
        signal: String,
        times: i64,
        seconds: f64,
        slowed_seconds: f64,
        worst: Option<f64>,
        limit: Option<f64>,
        last_at: DateTime<Utc>,
    }
);

impl Progress<'_> {
    /// Adds to the sums of a run. Any number of processes may do so at the same time.
    pub(crate) async fn add_holds(
        self,
        connection: &mut PgConnection,
        run: RunId,
        deltas: &[HoldDelta],
    ) -> Result<(), LedgerError> {
        if deltas.is_empty() {
            return Ok(());
        }
        // In the order of names, so that two processes cannot wait for each other.
        let upsert = self.ledger.sql(
            "INSERT INTO crossfade.hold AS h (run_id, signal, times, seconds, slowed_seconds, worst, worst_limit, last_at) \
             SELECT $1, d.*, pg_catalog.clock_timestamp() \
             FROM ROWS FROM (pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::bigint[]), pg_catalog.unnest($4::float8[]), \
               pg_catalog.unnest($5::float8[]), pg_catalog.unnest($6::float8[]), pg_catalog.unnest($7::float8[])) \
               AS d (signal, times, seconds, slowed_seconds, worst, worst_limit) \
             ORDER BY d.signal \
             ON CONFLICT (run_id, signal) DO UPDATE SET times = h.times + excluded.times, seconds = h.seconds + excluded.seconds, \
               slowed_seconds = h.slowed_seconds + excluded.slowed_seconds, worst = GREATEST(h.worst, excluded.worst), \
               worst_limit = CASE WHEN h.worst >= excluded.worst OR excluded.worst IS NULL THEN h.worst_limit ELSE excluded.worst_limit END, \
               last_at = excluded.last_at",
        );
        pg::query(&upsert)
            .bind(run.0)
            .bind(deltas.iter().map(|delta| delta.signal.name().to_owned()).collect::<Vec<_>>())
            .bind(deltas.iter().map(|delta| delta.times).collect::<Vec<_>>())
            .bind(deltas.iter().map(|delta| delta.seconds).collect::<Vec<_>>())
            .bind(deltas.iter().map(|delta| delta.slowed_seconds).collect::<Vec<_>>())
            .bind(deltas.iter().map(|delta| delta.worst).collect::<Vec<_>>())
            .bind(deltas.iter().map(|delta| delta.limit).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Returns what each signal has cost the backfill of each run so far, the most expensive first; `None` in place of a signal that only a
    /// newer crossfade knows.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn holds(
        self,
        connection: &mut PgConnection,
        runs: &[RunId],
    ) -> Result<ByRun<Option<HoldTime>>, sqlx::Error> {
        let select = "SELECT run_id, signal, times, seconds, slowed_seconds, worst, worst_limit AS \"limit\", last_at FROM crossfade.hold \
             WHERE run_id = ANY ($1) ORDER BY seconds DESC, slowed_seconds DESC, signal";
        Ok(self.ledger.by_run(connection, select, runs).await?.map(|_, row: Row| {
            let Row { signal, times, seconds, slowed_seconds, worst, limit, last_at } = row;
            let signal = Cause::named(&signal)?;
            Some(HoldTime { signal, times, seconds, slowed_seconds, worst, limit, last_at })
        }))
    }

    /// Makes the row that the latency probe of the session `client` writes, and removes those of sessions that are gone.
    pub(crate) async fn begin_probe(
        self,
        connection: &mut PgConnection,
        run: RunId,
        client: i32,
    ) -> Result<(), sqlx::Error> {
        let gone = self.ledger.sql(
            "DELETE FROM crossfade.latency_probe AS p WHERE NOT EXISTS \
               (SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = p.client)",
        );
        pg::batch(connection, &gone).await?;
        let insert = self.ledger.sql(
            "INSERT INTO crossfade.latency_probe (run_id, client, probes) VALUES ($1, $2, 0) \
             ON CONFLICT (run_id, client) DO UPDATE SET probes = 0",
        );
        pg::query(&insert).bind(run.0).bind(client).execute(connection).await?;
        Ok(())
    }

    /// Returns the statement that writes that row, as a small transaction of an application would.
    pub(crate) fn probe_sql(self, run: RunId, client: i32) -> String {
        self.ledger.sql(&format!(
            "UPDATE crossfade.latency_probe SET probes = probes + 1 WHERE run_id = {} AND client = {client}",
            run.0
        ))
    }
}
