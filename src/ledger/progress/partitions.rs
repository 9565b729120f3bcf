//! Partitions of a run's table, or tables that inherit from it, which come and go while the run lasts. Each gets a number of its own when the run first meets it.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::report::RelationFill;
use super::{Progress, number};
use crate::ident::{RunId, TableName};
use crate::ledger::{BOOKKEEPING, ByRun, Lease, LedgerError};
use crate::pg;
use crate::run::{Relation, RelationId};

/// What there is of a partitioned table, or of one that others inherit from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partitions {
    /// Partitions whose rows are not all filled yet, by name, with their numbers.
    pub(crate) unfilled: Vec<(RelationId, Relation)>,
    /// Tables that were partitions when the run met them and are none now.
    pub(crate) detached: Vec<TableName>,
}

pg::columns!(
    struct Row {
        relation: i16,
        oid: i64,
        schema_name: String,
        table_name: String,
        is_partition: bool,
        is_filled: bool,
    }
);

pg::columns!(
    /// A partition that the backfill has met.
    pub(crate) struct MetPartition {
        relation: i16,
        schema_name: String,
        table_name: String,
        is_filled: bool,
    }
);

/// How far the backfill of one partition is, or of one table of those that inherit from each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionFill {
    /// Its name.
    pub(crate) table: TableName,
    /// Pages that it has to fill.
    pub(crate) bound: i64,
    /// Pages done, those of open windows in proportion.
    pub(crate) done: i64,
    /// Rows filled.
    pub(crate) rows: i64,
    /// Whether every page that had to be filled is.
    pub(crate) is_filled: bool,
    /// Whether the engine said in the last seconds that it is at work on it.
    pub(crate) is_at_work: bool,
}

impl PartitionFill {
    /// Returns the partitions that were `met`, in their order, with what is known of the relations.
    pub(crate) fn of(met: Vec<MetPartition>, relations: &[RelationFill]) -> Vec<Self> {
        let relations: BTreeMap<i16, &RelationFill> = relations.iter().map(|fill| (fill.relation, fill)).collect();
        let one = |met: MetPartition| {
            let fill = relations.get(&met.relation)?;
            let table = TableName::new(&met.schema_name, &met.table_name).ok()?;
            let is_at_work = fill.rows_per_second.is_some() && !met.is_filled;
            let RelationFill { bound, done, rows, .. } = **fill;
            Some(Self { table, bound, done, rows, is_filled: met.is_filled, is_at_work })
        };
        met.into_iter().filter_map(one).collect()
    }
}

impl Progress<'_> {
    /// Returns the partitions that the backfills of these runs have met, by name; of a table that is not partitioned and from which none
    /// inherits, that table.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn met_partitions(
        self,
        connection: &mut PgConnection,
        runs: &[RunId],
    ) -> Result<ByRun<MetPartition>, sqlx::Error> {
        self.ledger.by_run(connection, include_str!("filled_partitions.sql"), runs).await
    }

    /// Returns the partitions of `root`, of every level, or `root` and the tables that inherit from it, that have to be filled, and numbers those that the run has not met yet.
    /// Takes no lock on them.
    ///
    /// # Errors
    /// The lease's error; the server's error.
    pub(crate) async fn partitions(
        self,
        connection: &mut PgConnection,
        lease: Lease,
        root: &Relation,
    ) -> Result<Partitions, LedgerError> {
        let rows: Vec<Row> = pg::transaction(connection, BOOKKEEPING, async |tx| {
            // Two processes may come here at once.
            let lock = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('crossfade.partitions'))";
            pg::batch(tx, lock).await?;
            self.ledger.leases().fence(tx, lease).await?;
            let meet = self.ledger.sql(include_str!("meet_partitions.sql"));
            pg::query(&meet).bind(lease.run.0).bind(root.oid).execute(&mut *tx).await?;
            let select = self.ledger.sql(include_str!("partitions.sql"));
            Ok::<_, LedgerError>(pg::query_as(&select).bind(lease.run.0).bind(root.oid).fetch_all(tx).await?)
        })
        .await?;
        let (mut unfilled, mut detached) = (vec![], vec![]);
        for row in rows {
            let Ok(table) = TableName::new(&row.schema_name, &row.table_name) else { continue };
            if !row.is_partition {
                detached.push(table);
            } else if !row.is_filled {
                let id = RelationId(u16::try_from(row.relation).unwrap_or(u16::MAX));
                unfilled.push((id, Relation { table, oid: row.oid, partitioned: false }));
            }
        }
        Ok(Partitions { unfilled, detached })
    }

    /// Notes that every row of a partition that came after the backfill is filled.
    ///
    /// # Errors
    /// The lease's error; the server's error.
    pub(crate) async fn partition_filled(
        self,
        connection: &mut PgConnection,
        lease: Lease,
        id: RelationId,
        relation: &Relation,
    ) -> Result<(), LedgerError> {
        pg::transaction(connection, BOOKKEEPING, async |tx| {
            self.ledger.leases().fence(tx, lease).await?;
            // It has no pages that windows could be taken of.
            let insert = self.ledger.sql(
                "INSERT INTO crossfade.backfill (run_id, relation, pass, relfilenode, bound, next_page, started_at, heap_bytes, index_bytes) \
                 SELECT $1, $2, 1, COALESCE(pg_catalog.pg_relation_filenode($3::bigint::oid), 0), 0, 0, pg_catalog.clock_timestamp(), \
                   COALESCE(pg_catalog.pg_relation_size($3::bigint::oid), 0), COALESCE(pg_catalog.pg_indexes_size($3::bigint::oid), 0) \
                 ON CONFLICT (run_id, relation) DO NOTHING",
            );
            pg::query(&insert).bind(lease.run.0).bind(number(id)).bind(relation.oid).execute(tx).await?;
            Ok(())
        })
        .await
    }
}
