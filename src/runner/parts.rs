//! The parts of a run: which they are, and whose turn it is.

use sqlx::PgConnection;

use super::Error;
use crate::ledger::{Ledger, Run};
use crate::run::{Mode, Phase, State};

/// Whether applications have moved to the new columns of a run.
pub(super) fn has_switched(run: &Run, state: &State) -> bool {
    let goes = matches!(state.mode, Mode::Done | Mode::Forward | Mode::Failed | Mode::Drifted);
    goes && (state.mode == Mode::Done || run.program.is_past(state.phase, Phase::Switch))
}

pub(super) fn is_taken_back(state: &State) -> bool {
    matches!(state.mode, Mode::Undoing(_) | Mode::RolledBack)
}

/// Returns whose turn it is, by its place among the parts; `None` for the key itself, also when all are over.
pub(crate) fn turn(key: &State, parts: &[(Run, State)]) -> Option<usize> {
    if is_taken_back(key) {
        return None;
    }
    if key.mode == Mode::Done {
        // What a part refers to is at its end before it.
        return parts.iter().rposition(|(_, state)| !state.is_over());
    }
    parts.iter().position(|(run, state)| !has_switched(run, state))
}

/// Returns the parts of `run` with their states, in the order in which they are done.
///
/// # Errors
/// The ledger's.
pub(crate) async fn parts_of(
    ledger: &Ledger,
    connection: &mut PgConnection,
    run: &Run,
) -> Result<Vec<(Run, State)>, Error> {
    let mut parts = Vec::new();
    for name in &run.plan.parts {
        let part = ledger.log().find(connection, name.as_str()).await?;
        // Of another attempt, whose set of tables was another one.
        if part.plan.part_of.as_ref() != Some(run.name()) {
            continue;
        }
        let state = ledger.log().state(connection, &part).await?;
        parts.push((part, state));
    }
    Ok(parts)
}
