//! The schedule of a plan, which ticks keep to. Whoever runs a plan by hand has decided that it is time.

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::session::Session;
use super::{Error, NotYet, clock};
use crate::engine::Work;
use crate::ledger::{LoggedEntry, Run};
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
    if work.run.plan.schedule.is_none() {
        return Ok(None);
    }
    let log = work.ledger.log().entries(&mut session.main, work.run.id).await?;
    let now = clock::now(session).await?;
    open_at(&work.run, state, &log, now).map_err(Error::NotYet)
}

/// Returns until when a run in `state`, with this log, may go on from `at` by its plan's schedule; `None` for as long as it
/// takes.
///
/// # Errors
/// [`NotYet::Due`] and [`NotYet::Closed`].
pub(super) fn open_at(
    run: &Run,
    state: &State,
    log: &[LoggedEntry],
    at: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, NotYet> {
    let Some(schedule) = &run.plan.schedule else { return Ok(None) };
    let (name, zone) = (run.name().clone(), schedule.timezone);
    let opens = || schedule.next_opening(at, chrono::TimeDelta::zero());
    match timing(schedule, &run.program, (state.phase, entered(log)), at) {
        Timing::Open { until } => Ok(until),
        Timing::Early(due) => Err(NotYet::Due { name, phase: state.phase, due, zone }),
        Timing::Frozen(freeze) => Err(NotYet::Closed { name, frozen: Some(freeze.why.clone()), opens: opens(), zone }),
        Timing::Outside => Err(NotYet::Closed { name, frozen: None, opens: opens(), zone }),
    }
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
