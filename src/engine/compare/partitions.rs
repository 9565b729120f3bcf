//! Partitions, and tables that inherit, that came after the backfill: their rows were not filled, and no write under the trigger
//! has filled them.

use super::repair::sweep;
use crate::engine::{Error, Work};
use crate::event::Event;
use crate::run::{CompareSpec, RelationId};

/// After so many passes over a partition whose rows somebody empties again and again, the check says what is left.
const PASSES: u32 = 10;

/// Fills the rows of partitions that the run has not filled, under the names that the columns have in `spec`, and warns of tables
/// that have left. Does nothing where a table stands alone. May be repeated, and dropped at any point.
///
/// # Errors
/// As [`repair`](super::repair).
pub(crate) async fn complete(work: &Work, spec: &CompareSpec) -> Result<(), Error> {
    let root = work.run.program.relation(spec.relation).filter(|relation| relation.partitioned);
    let Some(root) = root else { return Ok(()) };
    let stopped = || Error::Interrupted;
    let connection = work.connector.connect_patiently("partitions", &work.stop, None).await?;
    let mut connection = connection.ok_or_else(stopped)?;
    let found = work.ledger.progress().partitions(&mut connection, work.lease, root).await?;
    for table in found.detached {
        let columns: Vec<_> = spec.pairs.iter().map(|pair| pair.new.as_str()).collect();
        let message = format!(
            "{table} is no partition or child of {} any more: the run does nothing more with it, and it keeps its columns as they are, {} included",
            root.table,
            columns.join(", ")
        );
        work.emit(Event::Warning { message });
    }
    for (id, partition) in found.unfilled {
        let of_it = CompareSpec { table: partition.table.clone(), ..spec.clone() };
        let mut rows = 0;
        for _ in 0..PASSES {
            let filled = sweep(work, &partition, &of_it, |from, to| of_it.complete(from, to)).await?;
            rows += filled;
            if filled == 0 {
                break;
            }
        }
        if rows > 0 {
            let message = format!(
                "{} came to {} after the backfill: {} filled",
                partition.table,
                root.table,
                crate::amounts::plural(rows, "row")
            );
            work.emit(Event::Warning { message });
        }
        let id: RelationId = id;
        work.ledger.progress().partition_filled(&mut connection, work.lease, id, &partition).await?;
    }
    Ok(())
}
