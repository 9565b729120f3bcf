//! Measurements that are kept for reports: the course of a backfill, and how many objects a table had.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Progress;
use crate::ident::RunId;
use crate::ledger::LedgerError;
use crate::ledger::objects::OBJECTS;
use crate::pg;
use crate::run::{Latencies, Moment, ObjectCount, RelationId, Sample};

pg::columns!(
    struct Row {
        relation: i16,
        at: DateTime<Utc>,
        rows: i64,
        latencies: Vec<i64>,
        over_goal: i64,
    }
);

pg::columns!(
    struct Counted {
        schema_name: String,
        table_name: String,
        moment: String,
        at: DateTime<Utc>,
        columns: i64,
        indexes: i64,
        constraints: i64,
        triggers: i64,
    }
);

impl Progress<'_> {
    /// Returns the course of the backfill of a run, oldest first: some hundred samples at the most.
    ///
    /// # Errors
    /// The server's error.
    pub async fn samples(self, connection: &mut PgConnection, run: RunId) -> Result<Vec<Sample>, LedgerError> {
        let select = self.ledger.sql(
            "SELECT relation, at, rows, latencies, over_goal FROM crossfade.backfill_sample WHERE run_id = $1 ORDER BY at, relation",
        );
        let rows: Vec<Row> = pg::query_as(&select).bind(run.0).fetch_all(connection).await?;
        let sample = |Row { relation, at, rows, latencies, over_goal }| Sample {
            relation: RelationId(u16::try_from(relation).unwrap_or(0)),
            at,
            rows,
            latencies: Latencies { counts: latencies, over_goal },
        };
        Ok(rows.into_iter().map(sample).collect())
    }

    /// Returns when the backfill of a run began; `None` if it has not.
    ///
    /// # Errors
    /// The server's error.
    pub async fn fill_began(
        self,
        connection: &mut PgConnection,
        run: RunId,
    ) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let select = self.ledger.sql("SELECT pg_catalog.min(began_at) FROM crossfade.backfill WHERE run_id = $1");
        Ok(pg::query_scalar(&select).bind(run.0).fetch_one(connection).await?)
    }

    /// Returns how many objects the tables of a run had when it was registered, how many when it had ended, and how many they
    /// have now. What nobody has counted is missing.
    ///
    /// # Errors
    /// The server's error.
    pub async fn objects(self, connection: &mut PgConnection, run: RunId) -> Result<Vec<ObjectCount>, LedgerError> {
        let select = self.ledger.sql(&format!(
            "SELECT r.schema_name, r.table_name, o.moment, o.at, o.columns, o.indexes, o.constraints, o.triggers \
             FROM (SELECT k.run_id, k.relation, k.moment, k.at, k.columns, k.indexes, k.constraints, k.triggers \
                   FROM crossfade.object_count AS k WHERE k.run_id = $1 \
                   UNION ALL SELECT n.run_id, n.relation, 'now', n.at, n.columns, n.indexes, n.constraints, n.triggers \
                   FROM (\n{OBJECTS}) AS n) AS o \
             JOIN crossfade.relation AS r ON r.run_id = o.run_id AND r.relation = o.relation ORDER BY o.relation, o.at"
        ));
        let rows: Vec<Counted> = pg::query_as(&select).bind(run.0).fetch_all(connection).await?;
        let count = |row: Counted| {
            let Counted { schema_name, table_name, moment, at, columns, indexes, constraints, triggers } = row;
            let moment = Moment::of(&moment)?;
            let table = format!("{schema_name}.{table_name}");
            Some(ObjectCount { table, moment, at, columns, indexes, constraints, triggers })
        };
        Ok(rows.into_iter().filter_map(count).collect())
    }
}
