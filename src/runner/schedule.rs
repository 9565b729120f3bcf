//! Work that ends when the window of the plan's schedule closes.

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use super::session::Session;
use super::{Error, NotYet, clock};
use crate::amounts::duration;
use crate::engine::Work;
use crate::plan::calendar::{Opening, in_zone};
use crate::run::{Action, GateKind, GateReading, Orders, Phase, State, Step};

/// How many times as long as the last time a check may take.
const MARGIN: f64 = 1.5;

/// Returns when the window that is open at `at` closes; `None` if none does.
pub(super) fn closes(work: &Work, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match work.run.plan.schedule.as_ref()?.opening(at) {
        Opening::Open { until } => until,
        Opening::Frozen(_) | Opening::Outside => Some(at),
    }
}

/// Refuses to begin a step that is done again from its beginning when it is cut off, and that would not end before the window
/// closes.
///
/// # Errors
/// [`NotYet::Gate`] with the next opening that is long enough.
pub(super) async fn fits(
    work: &Work,
    session: &mut Session,
    state: &State,
    step: &Step,
    until: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    if until.is_none() {
        return Ok(());
    }
    let needs = needs(work, session, step).await?;
    ends_before(work, session, (state.phase, &step.key.to_string()), needs, until).await
}

/// As [`fits`], of a check of all rows that is no step.
///
/// # Errors
/// As [`fits`].
pub(super) async fn check_fits(
    work: &Work,
    session: &mut Session,
    phase: Phase,
    until: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    if until.is_none() {
        return Ok(());
    }
    let needs = delta(check_seconds(work, session).await?);
    ends_before(work, session, (phase, "the check of all rows"), needs, until).await
}

async fn ends_before(
    work: &Work,
    session: &mut Session,
    (phase, what): (Phase, &str),
    needs: Option<TimeDelta>,
    until: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    let (Some(needs), Some(until), Some(schedule)) = (needs, until, &work.run.plan.schedule) else { return Ok(()) };
    let now = clock::now(session).await?;
    if until - now >= needs {
        return Ok(());
    }
    let opens = schedule.next_opening(now, needs);
    let about = duration(needs.as_seconds_f64());
    let then = match opens {
        Some(opens) => format!("the next one that is long enough opens {}", in_zone(opens, schedule.timezone)),
        None => "no later one is long enough: give the plan a longer window or one in `schedule.extra`".to_owned(),
    };
    let reason =
        format!("{what} takes up to {about}, and the window closes {}; {then}", in_zone(until, schedule.timezone));
    let reading = GateReading::fail(GateKind::Window, reason).opens(opens);
    Err(Error::NotYet(NotYet::Gate { name: work.run.name().clone(), phase, reading }))
}

/// Returns how long a step takes that must not be cut off, with a margin; `None` for one that may be, that is short, or of which
/// nothing is known.
async fn needs(work: &Work, session: &mut Session, step: &Step) -> Result<Option<TimeDelta>, Error> {
    let seconds = match &step.action {
        Action::Concurrent { builds: Some(_), .. } | Action::BuildInPartitions(_) => {
            let is_build = |step: &&Step| {
                matches!(step.action, Action::Concurrent { builds: Some(_), .. } | Action::BuildInPartitions(_))
            };
            let builds = work.run.program.steps.iter().filter(is_build).count().max(1);
            let orders = predicted(work, session).await?;
            #[expect(clippy::cast_precision_loss, reason = "a few indexes")]
            orders.map(|orders| orders.own().build_seconds.high / builds as f64)
        }
        Action::Compare(_) => check_seconds(work, session).await?,
        _ => None,
    };
    Ok(delta(seconds))
}

/// Returns how many seconds a check takes, with a margin.
async fn check_seconds(work: &Work, session: &mut Session) -> Result<Option<f64>, Error> {
    Ok(match work.ledger.progress().check_seconds(&mut session.main, work.run.id).await? {
        Some(seconds) => Some(seconds * MARGIN),
        // It reads what the backfill is expected to write, and is done sooner.
        None => predicted(work, session).await?.map(|orders| orders.own().seconds.high),
    })
}

fn delta(seconds: Option<f64>) -> Option<TimeDelta> {
    TimeDelta::from_std(std::time::Duration::try_from_secs_f64(seconds?).ok()?).ok()
}

async fn predicted(work: &Work, session: &mut Session) -> Result<Option<Orders>, Error> {
    let predicted = work.ledger.log().prediction(&mut session.main, work.run.id).await?;
    Ok(predicted.and_then(|predicted| predicted.orders))
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
            let opens = work.run.plan.schedule.as_ref().and_then(|of| of.next_opening(until, TimeDelta::zero()));
            let reading = GateReading::fail(GateKind::Window, reason).opens(opens);
            Err(Error::NotYet(NotYet::Gate { name: work.run.name().clone(), phase: state.phase, reading }))
        }
        other => other,
    }
}

fn closed_by_time(window: &CancellationToken, process: &CancellationToken) -> bool {
    window.is_cancelled() && !process.is_cancelled()
}
