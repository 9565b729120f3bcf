//! What the catalog should show after the steps that are done.

use super::Error;
use super::session::Session;
use crate::engine::Work;
use crate::run::{Condition, Program, State, Step};

/// Returns those of `conditions` that do not hold, in words.
pub(super) async fn missing(
    work: &Work,
    session: &mut Session,
    conditions: &[Condition],
) -> Result<Vec<String>, Error> {
    let (relations, ledger) = (&work.run.program.relations, work.ledger.schema());
    let holds = crate::catalog::holds(&mut session.main, relations, ledger, conditions).await?;
    let missing = conditions.iter().zip(holds).filter(|(_, holds)| !holds);
    Ok(missing.map(|(condition, _)| condition.to_string()).collect())
}

/// Returns what the catalog should show after the steps that are done.
pub(super) fn expected_conditions(program: &Program, state: &State) -> Vec<Condition> {
    let done: Vec<_> = state.done.iter().filter_map(|id| program.step(id)).collect();
    let superseded = |step: &Step| done.iter().any(|later| later.supersedes.contains(&step.key));
    done.iter().filter(|step| !superseded(step)).flat_map(|step| step.done_when.clone()).collect()
}
