//! The schedule of a plan, which ticks keep to. Whoever runs a plan by hand has decided that it is time.

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::session::Session;
use super::{Error, NotYet, clock};
use crate::engine::Work;
use crate::ledger::LoggedEntry;
use crate::run::{Entry, State, Timing, timing};

/// Returns until when the run may go on; `None` for as long as it takes.
///
/// # Errors
/// [`NotYet::Due`] and [`NotYet::Closed`].
pub(super) async fn open_until(
    work: &Work,
    session: &mut Session,
    state: &State,
) -> Result<Option<DateTime<Utc>>, Error> {
    let Some(schedule) = &work.run.plan.schedule else { return Ok(None) };
    let log = work.ledger.log().entries(&mut session.main, work.run.id).await?;
    let now = clock::now(session).await?;
    let entered = entered(&log);
    let closed = |frozen: Option<&str>| NotYet::Closed {
        name: work.run.name().clone(),
        frozen: frozen.map(ToOwned::to_owned),
        opens: schedule.next_opening(now, chrono::TimeDelta::zero()),
        zone: schedule.timezone,
    };
    let why = match timing(schedule, &work.run.program, (state.phase, entered), now) {
        Timing::Open { until } => return Ok(until),
        Timing::Early(due) => {
            NotYet::Due { name: work.run.name().clone(), phase: state.phase, due, zone: schedule.timezone }
        }
        Timing::Frozen(freeze) => closed(Some(&freeze.why)),
        Timing::Outside => closed(None),
    };
    Err(Error::NotYet(why))
}

/// When the run came into its phase; `None` in its first.
pub(crate) fn entered(log: &[LoggedEntry]) -> Option<DateTime<Utc>> {
    log.iter().rev().find(|line| matches!(line.entry, Entry::PhaseDone { .. })).map(|line| line.at)
}

/// Does work that may be left at any point, such as a backfill, until it ends or the window closes.
///
/// # Errors
/// [`NotYet::Closed`] when the window closed first; those of `run`.
pub(super) async fn within(
    work: &Work,
    session: &mut Session,
    state: &State,
    until: Option<DateTime<Utc>>,
    run: impl AsyncFnOnce(&Work) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(until) = until else { return run(work).await };
    let left = (until - clock::now(session).await?).to_std().unwrap_or_default();
    let closes = work.stop.child_token();
    let inside = Work { stop: closes.clone(), ..work.clone() };
    let timer = async {
        tokio::time::sleep(left).await;
        closes.cancel();
        // The work notices that, and ends.
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = run(&inside) => ended,
        () = timer => Ok(()),
    };
    match ended {
        Err(Error::Interrupted) if closed_by_time(&closes, &work.stop) => {
            open_until(work, session, state).await?;
            // The server's clock is behind ours by a little.
            Err(Error::NotYet(NotYet::Closed {
                name: work.run.name().clone(),
                frozen: None,
                opens: None,
                zone: work.run.plan.schedule.as_ref().map_or(chrono_tz::UTC, |schedule| schedule.timezone),
            }))
        }
        other => other,
    }
}

fn closed_by_time(window: &CancellationToken, process: &CancellationToken) -> bool {
    window.is_cancelled() && !process.is_cancelled()
}
