//! Work that ends when the window of the plan's schedule closes.

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::session::Session;
use super::{Error, NotYet, clock};
use crate::engine::Work;
use crate::plan::calendar::Opening;
use crate::run::{GateKind, GateReading, State};

/// Returns when the window that is open at `at` closes; `None` if none does.
pub(super) fn closes(work: &Work, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match work.run.plan.schedule.as_ref()?.opening(at) {
        Opening::Open { until } => until,
        Opening::Frozen(_) | Opening::Outside => Some(at),
    }
}

/// Does work that may be left at any point, such as a backfill, until it ends or the window closes.
///
/// # Errors
/// [`NotYet::Gate`] when the window closed first; those of `run`.
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
            let reason = "the window has closed; it goes on in the next one";
            let opens =
                work.run.plan.schedule.as_ref().and_then(|of| of.next_opening(until, chrono::TimeDelta::zero()));
            let reading = GateReading::fail(GateKind::Window, reason).opens(opens);
            Err(Error::NotYet(NotYet::Gate { name: work.run.name().clone(), phase: state.phase, reading }))
        }
        other => other,
    }
}

fn closed_by_time(window: &CancellationToken, process: &CancellationToken) -> bool {
    window.is_cancelled() && !process.is_cancelled()
}
