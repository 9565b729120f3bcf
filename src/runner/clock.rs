//! The server's clock, which somebody may set back in the weeks of a run.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Error;
use super::session::Session;
use crate::engine::Work;
use crate::event::Event;
use crate::ledger::LoggedEntry;
use crate::pg;
use crate::run::Entry;

/// A clock that goes back by less than this was adjusted, as clocks are.
pub(super) const SET_BACK: chrono::Duration = chrono::Duration::seconds(1);

/// Returns when the last step was done, by the server's clock as it goes now: for each time that it was set back since, so much
/// earlier.
pub(crate) fn last_done(log: &[LoggedEntry]) -> Option<DateTime<Utc>> {
    let at = log.iter().rposition(|line| matches!(line.entry, Entry::StepDone { .. }))?;
    let later = log[at..].windows(2).map(|lines| lines[0].at - lines[1].at);
    let set_back: chrono::Duration = later.filter(|back| *back > chrono::Duration::zero()).sum();
    Some(log[at].at - set_back)
}

/// Compares the server's clock with the last entry of the log, before there is another.
pub(super) async fn notice(work: &Work, session: &mut Session) -> Result<(), Error> {
    let log = work.ledger.log().entries(&mut session.main, work.run.id).await?;
    let now = now(session).await?;
    match log.last().map(|line| line.at - now).filter(|back| *back > SET_BACK) {
        Some(back) => note_set_back(work, session, back).await,
        None => Ok(()),
    }
}

pub(super) async fn now(session: &mut Session) -> Result<DateTime<Utc>, Error> {
    server(&mut session.main).await
}

/// Returns what the server's clock says.
pub(crate) async fn server(connection: &mut PgConnection) -> Result<DateTime<Utc>, Error> {
    Ok(pg::query_scalar("SELECT pg_catalog.clock_timestamp()").fetch_one(connection).await?)
}

/// Tells people, and the log, whose next entries then have the clock as it goes now.
pub(super) async fn note_set_back(work: &Work, session: &mut Session, back: chrono::Duration) -> Result<(), Error> {
    let seconds = back.num_seconds();
    let message = format!(
        "the server's clock was set back by {} or more; a quiet or grace period counts from now on what it had not counted yet",
        humantime::format_duration(Duration::from_secs(seconds.unsigned_abs()))
    );
    work.emit(Event::Warning { message });
    let entry = [Entry::ClockSetBack { seconds }];
    work.ledger.log().record(&mut session.main, &work.run, Some(work.lease), &entry, &work.actor).await?;
    Ok(())
}
