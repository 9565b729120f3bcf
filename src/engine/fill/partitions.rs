//! The backfill of a table; of a partitioned one, that is one partition after the other, each with a pass over its own pages, and of one
//! that others inherit from, that table and each of them. Those that come while it lasts are filled before it ends.

use std::sync::Arc;

use super::control::{control, of_table};
use crate::engine::{Error, Work};
use crate::run::{Action, FillSpec, Phase, Relation, StepKey, What};

/// Fills every row that existed when the sync trigger was created, from where the ledger says. Returns when every page below
/// the bound was in a committed window.
///
/// Takes row locks for the time of a batch. May be dropped at any point: at most the open batches are lost, and the next
/// call continues from there.
///
/// # Errors
/// [`Error::Interrupted`] when `work.stop` was cancelled, after the open batches were finished; the lease's error when it
/// is lost; the server's error when a row cannot be filled, or when the server is unreachable for more than a minute.
pub async fn run(work: &Work, spec: &FillSpec) -> Result<(), Error> {
    let unknown = || Error::TableGone { table: spec.table.clone() };
    let relation = work.run.program.relation(spec.relation).cloned().ok_or_else(unknown)?;
    let step = work.run.program.steps.iter().find(|step| matches!(&step.action, Action::Fill(s) if s == spec));
    let step = step.map_or_else(|| StepKey::new(Phase::Backfill, What::Fill(spec.relation)), |step| step.key.clone());
    if relation.partitioned {
        return of_partitions(work, spec, &relation, &step).await;
    }
    of_table(work, spec, relation, step, &Arc::default()).await
}

/// Fills every partition of `root`, or `root` and every table that inherits from it, of every level, that is not filled yet.
///
/// # Errors
/// As [`run`].
async fn of_partitions(work: &Work, spec: &FillSpec, root: &Relation, step: &StepKey) -> Result<(), Error> {
    let together = Arc::default();
    loop {
        let mut connection = control(work, true).await?;
        let unfilled = work.ledger.progress().partitions(&mut connection, work.lease, root).await?.unfilled;
        if unfilled.is_empty() {
            return Ok(());
        }
        // All of them first, so that whoever looks sees all pages that there are to do.
        let mut with_rows = Vec::new();
        for (id, partition) in unfilled {
            let opened = work.ledger.progress().open_pass(&mut connection, work.lease, id, &partition).await;
            if or_gone(opened.map_err(Error::from), &partition)?.is_some_and(|pass| pass.bound > 0) {
                with_rows.push((id, partition));
            }
        }
        // Processes that help begin where others are not: the first at the other end, the second in the middle.
        if !work.lease.leads {
            let others = work.ledger.leases().others(&mut connection, work.lease).await?;
            let helpers = others.iter().filter(|other| !other.leads).count();
            with_rows.reverse();
            let first = with_rows.len() * helpers / (helpers + 1);
            with_rows.rotate_left(first);
        }
        drop(connection);
        for (id, partition) in with_rows {
            let spec = FillSpec { relation: id, table: partition.table.clone(), fills: spec.fills.clone() };
            or_gone(of_table(work, &spec, partition.clone(), step.clone(), &together).await, &partition)?;
        }
    }
}

/// A partition that is gone, or has another name by now, is found by the next look.
fn or_gone<T>(result: Result<T, Error>, partition: &Relation) -> Result<Option<T>, Error> {
    let missing = |error: &Error| error.database().and_then(crate::pg::sqlstate).is_some_and(|code| code == "42P01");
    match result {
        Err(error) if matches!(error, Error::TableGone { .. }) || missing(&error) => {
            tracing::debug!(%error, partition = %partition.table, "a partition is gone");
            Ok(None)
        }
        other => other.map(Some),
    }
}
