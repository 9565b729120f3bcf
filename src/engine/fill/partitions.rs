//! The backfill of a table; of a partitioned one, that is each partition, with a pass over its own pages, as many at a time as there are
//! workers; and of one that others inherit from, that table and each of them. Those that come while it lasts are filled before it ends.

use super::control::Control;
use crate::engine::{Error, Work};
use crate::run::{Action, FillSpec, Phase, StepKey, What};

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
    let mut control = Control::start(work, spec, step).await?;
    if !relation.partitioned {
        control.open_pass(spec.relation, &relation).await?;
        control.fill(vec![(spec.relation, relation)]).await?;
        return control.end().await;
    }
    loop {
        // All of them first, so that whoever looks sees all pages that there are to do.
        let mut unfilled = control.unfilled(&relation).await?;
        if unfilled.is_empty() {
            return control.end().await;
        }
        // Processes that help begin where others are not: the first at the other end, the second in the middle.
        if !work.lease.leads {
            let helpers = control.helpers().await?;
            unfilled.reverse();
            let first = unfilled.len() * helpers / (helpers + 1);
            unfilled.rotate_left(first);
        }
        control.fill(unfilled).await?;
    }
}
