//! Says when the point of no return is near.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::{Error, clock, gates};
use crate::ledger::{Ledger, LedgerError, LoggedEntry, Run};
use crate::plan::Contract;
use crate::run::{Actor, Entry, Nears, State, StepKey, point_of_no_return};

/// How long before.
const NEAR: TimeDelta = TimeDelta::hours(24);

/// What cannot be undone, and is ahead.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PointOfNoReturn {
    /// The step beyond which there is no way back.
    pub step: StepKey,
    /// The earliest moment at which it may be done, by the server's clock.
    pub at: DateTime<Utc>,
    /// Whether that is within the next 24 hours.
    pub near: bool,
}

/// Returns the point of no return that is ahead, at `now`; `None` where there is none any more, or where it depends on when
/// somebody goes on by hand. `log` is the whole log of the run.
pub(crate) fn ahead(
    (run, state, log): (&Run, &State, &[LoggedEntry]),
    contract: &Contract,
    now: DateTime<Utc>,
) -> Option<PointOfNoReturn> {
    let told = Nears {
        schedule: run.plan.schedule.as_ref(),
        contract,
        entered: gates::entered(log),
        last_done: clock::last_done(log),
        now,
    };
    let found = point_of_no_return(&run.program, state, told);
    found.map(|(step, at)| PointOfNoReturn { step, at, near: at - now <= NEAR })
}

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
    let now = clock::server(connection).await?;
    let contract = ledger.progress().contract(connection, run).await?;
    let Some(ahead) = ahead((run, &state, &log), &contract, now) else { return Ok(()) };
    if !ahead.near || state.has_told_near() {
        return Ok(());
    }
    let entry = Entry::Nearing { step: ahead.step, at: ahead.at };
    ledger.log().record(connection, run, None, &[entry], actor).await?;
    Ok(())
}
