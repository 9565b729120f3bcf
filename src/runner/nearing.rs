//! Says when the point of no return is near.

use chrono::TimeDelta;
use sqlx::PgConnection;

use super::{Error, clock, gates};
use crate::ledger::{Ledger, LedgerError, Run};
use crate::run::{Actor, Entry, Nears, point_of_no_return};

/// How long before.
const NEAR: TimeDelta = TimeDelta::hours(24);

/// Puts into the log that what cannot be undone may be done soon; once.
///
/// # Errors
/// The ledger's.
pub(super) async fn note(
    ledger: &Ledger,
    connection: &mut PgConnection,
    run: &Run,
    actor: &Actor,
) -> Result<(), Error> {
    let log = ledger.log().entries(connection, run.id).await?;
    let state = run.replay(&log).map_err(LedgerError::from)?;
    let contract = ledger.progress().contract(connection, run).await?;
    let now = clock::server(connection).await?;
    let told = Nears {
        schedule: run.plan.schedule.as_ref(),
        contract: &contract,
        entered: gates::entered(&log),
        last_done: clock::last_done(&log),
        now,
    };
    let Some((step, at)) = point_of_no_return(&run.program, &state, told) else { return Ok(()) };
    if at - now > NEAR || state.has_told_near() {
        return Ok(());
    }
    ledger.log().record(connection, run, None, &[Entry::Nearing { step, at }], actor).await?;
    Ok(())
}
