//! BEFORE triggers that others create in the middle of a run: the sync trigger is put around them.

use super::ddl::{Ended, Job};
use super::session::Session;
use super::{Error, ddl};
use crate::catalog::{self, Others};
use crate::engine::Work;
use crate::run::{Entry, Phase, RelationId, State, StepKey, Target, What};
use crate::sql::LockMode;

/// Looks whether others have BEFORE triggers on the table, and puts the sync trigger around them where it is not yet. Rows
/// that were written between the two may differ; the check finds them. Returns whether something was changed.
///
/// # Errors
/// [`Error::Drifted`] where a trigger fires before the first or after the last of crossfade's; that the lock could not be
/// acquired.
pub(super) async fn surround(
    work: &Work,
    session: &mut Session,
    (state, signature): (&State, &str),
) -> Result<bool, Error> {
    let program = &work.run.program;
    let there = state.is_done(&StepKey::new(Phase::Expand, What::Columns))
        && !state.is_done(&StepKey::new(Phase::Contract, What::Drop));
    let Some(relation) = program.relation(RelationId::MAIN).filter(|_| there && !program.surround.is_empty()) else {
        return Ok(false);
    };
    let Others { names: others, outside, surrounded } =
        catalog::others(&mut session.main, relation, &program.tag).await?;
    if !outside.is_empty() {
        let order = |name: &String| format!("trigger \"{name}\" fires outside those of crossfade, by its name");
        let facts: Vec<_> = outside.iter().map(order).collect();
        let entry = [Entry::Drifted { facts: facts.clone() }];
        work.ledger.log().record(&mut session.main, &work.run, Some(work.lease), &entry, &work.actor).await?;
        return Err(Error::Drifted { facts });
    }
    if others.is_empty() || surrounded {
        return Ok(false);
    }
    let step = StepKey::new(Phase::Expand, What::Columns);
    let targets = [Target { relation: RelationId::MAIN, mode: LockMode::ShareRowExclusive }];
    let entries = [Entry::Surrounded { triggers: others }];
    let job = Job {
        above: &[],
        step: &step,
        targets: &targets,
        needs: &[],
        statements: &program.surround,
        entries: &entries,
        new_writes: None,
        signature: Some((&work.run.program.relations, signature)),
        approved: None,
        locked_for: None,
    };
    // Where somebody has changed the table once more, the next look finds it.
    let (Ended::Done | Ended::Guard(_)) = ddl::transaction(work, session, &job).await?;
    Ok(true)
}
