//! Joining the backfill of a run that another process leads.

use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::PgConnection;
use tracing::Instrument as _;

use super::{Error, NoJoin, Tool, heartbeat};
use crate::engine::{Work, fill};
use crate::event::{Event, Wait};
use crate::ledger::{Lease, LeaseError, LedgerError, Run};
use crate::pg::ErrorClass;
use crate::plan::Plan;
use crate::run::{Action, Mode, Phase, Standing, State, Step};

/// The interval for checking whether the backfill has begun.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How long a process waits for somebody to register the run that it is to join.
const NOT_BEGUN: Duration = Duration::from_mins(1);

/// The state of a run when a process that had joined its backfill left it with nothing more to fill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Joined {
    /// The plan's name.
    pub name: String,
    /// The phase the run is in now.
    pub phase: Phase,
    /// Its state in the log.
    pub state: Standing,
    /// Rows filled in windows that were this process's own in the end; 0 when the backfill had been done before.
    pub rows: i64,
}

/// What the state of a run means for a process that wants to join its backfill.
#[derive(Debug, PartialEq)]
enum Chance<'r> {
    /// Now is the time.
    Filling(&'r Step),
    /// Not yet, and why.
    Wait(Wait),
    /// The backfill is over.
    Past,
    /// Somebody paused it.
    Paused,
    /// It cannot be joined now, and why.
    Never(NoJoin),
}

/// Why a process has stopped filling rows.
enum Ended {
    /// Every page is done.
    Covered,
    /// Its lease is gone. The run's state says what to do.
    Revoked,
}

impl Tool {
    /// Fills rows of the run of `plan` until its backfill is done, beside the process that leads the run and any others
    /// that have joined; waits for the backfill if it has not begun. Does no step and writes no entry that moves the run.
    /// May be cancelled by the tool's token. A process that was taken for dead joins again once it finds out.
    ///
    /// # Errors
    /// [`Error::Paused`]; [`Error::CannotJoin`] when the run failed, drifted, is being rolled back or was rolled back; those
    /// of the backfill, but for a lost lease.
    pub async fn join(&self, plan: &Plan) -> Result<Joined, Error> {
        self.begun(plan).await?;
        let mut connection = self.connect_patiently("control").await?;
        let (mut waited, mut rows) = (false, 0);
        loop {
            // Its program may be another one by now.
            let latest = self.latest(&mut connection, plan.name.as_str()).await;
            let (run, state) = match latest {
                Err(error) if error.class() == ErrorClass::Connection => {
                    connection = self.connect_patiently("control").await?;
                    continue;
                }
                other => other?,
            };
            let is_part = run.plan.part_of.as_ref() == Some(&plan.name);
            if !state.is_over() && !is_part && !run.is_of(plan) {
                return Err(Error::PlanEdited { name: run.name().to_string() });
            }
            let joined =
                |rows| Joined { name: run.name().to_string(), phase: state.phase, state: state.standing(), rows };
            match chance(&run, &state, waited) {
                Chance::Past => return Ok(joined(rows)),
                Chance::Paused => return Err(Error::Paused { name: run.name().clone(), by: None }),
                Chance::Never(why) => return Err(Error::CannotJoin { why }),
                Chance::Wait(wait) => {
                    (self.sink)(Event::Waiting { wait, seconds: None });
                    self.sleep(LOOK_AGAIN).await?;
                }
                Chance::Filling(step) => match self.fill_beside_others(&run, step, &mut rows).await {
                    Ok(Ended::Covered) => return Ok(joined(rows)),
                    Ok(Ended::Revoked) => {}
                    Err(error) if matches!(error.class(), ErrorClass::Connection | ErrorClass::Contention) => {
                        tracing::warn!(%error, "rejoining");
                        self.sleep(LOOK_AGAIN).await?;
                    }
                    Err(error) => return Err(error),
                },
            }
            waited = true;
        }
    }

    /// Returns the run with its state, or its part whose turn it is.
    async fn latest(&self, connection: &mut PgConnection, name: &str) -> Result<(Run, State), Error> {
        let key = self.ledger.log().find(connection, name).await?;
        let run = self.whose_turn(connection, key).await?;
        let state = self.ledger.log().state(connection, &run).await?;
        Ok((run, state))
    }

    /// Waits until `plan` has a run. Processes that are started together come here before one of them has registered it.
    async fn begun(&self, plan: &Plan) -> Result<Run, Error> {
        let since = Instant::now();
        loop {
            match self.find(plan.name.as_str()).await {
                Err(Error::Ledger(LedgerError::NoSuchRun { .. })) if since.elapsed() < NOT_BEGUN => {
                    (self.sink)(Event::Waiting { wait: Wait::Run { name: plan.name.clone() }, seconds: None });
                    self.sleep(LOOK_AGAIN).await?;
                }
                found => return found,
            }
        }
    }

    /// Joins, fills, and leaves; adds the rows to `rows`.
    async fn fill_beside_others(&self, run: &Run, step: &Step, rows: &mut i64) -> Result<Ended, Error> {
        let Action::Fill(spec) = &step.action else { return Ok(Ended::Revoked) };
        let mut connection = self.connect_patiently("heartbeat").await?;
        let Some(lease) = self.ledger.leases().join(&mut connection, run, &self.actor).await? else {
            return Ok(Ended::Revoked);
        };
        let work = Work {
            connector: self.connector.clone(),
            ledger: self.ledger.clone(),
            run: run.clone(),
            lease,
            sink: self.sink.clone(),
            stop: self.stop.clone(),
            actor: self.actor.clone(),
            pulse: self.pulse.clone(),
        };
        work.emit(Event::Joined { name: run.name().to_string() });
        work.emit(Event::PhaseStarted { phase: step.key.phase });
        let beat = heartbeat::start(work.clone(), connection);
        let span = work.span();
        let inside = span.in_scope(|| Work::step_span(&step.key));
        let fill = Box::pin(fill::run(&work, spec)).instrument(inside).instrument(span);
        let ended = tokio::select! {
            result = fill => result.map(|()| Ended::Covered).map_err(Error::from),
            why = beat.gives_up() => Err(why),
        };
        drop(beat);
        *rows += self.leave(run, lease).await;
        match ended {
            Err(Error::Ledger(LedgerError::Lease(LeaseError::Lost { .. }))) => Ok(Ended::Revoked),
            other => other,
        }
    }

    /// Gives the lease back and returns the rows that were filled; where that fails the lease expires by itself.
    async fn leave(&self, run: &Run, lease: Lease) -> i64 {
        let left = async {
            let mut connection = self.connector.connect("control").await?;
            self.ledger.leases().leave(&mut connection, run, lease, &self.actor).await
        };
        match self.last_words(left).await {
            Some(Ok(rows)) => rows,
            other => {
                tracing::warn!(?other, "leaving the backfill");
                0
            }
        }
    }

    async fn connect_patiently(&self, purpose: &str) -> Result<PgConnection, Error> {
        let connection = self.connector.connect_patiently(purpose, &self.stop, Some(&self.sink)).await?;
        connection.ok_or(Error::Interrupted)
    }

    async fn sleep(&self, time: Duration) -> Result<(), Error> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = self.stop.cancelled() => Err(Error::Interrupted),
        }
    }
}

/// Returns what to do about a run in this state; `waited` says whether we have waited for it already, or worked on it: then
/// a pause is sat out.
fn chance<'r>(run: &'r Run, state: &State, waited: bool) -> Chance<'r> {
    let (name, program) = (run.name(), &run.program);
    let named = || name.clone();
    let Some(step) = program.steps.iter().find(|step| matches!(step.action, Action::Fill(_))) else {
        return Chance::Never(NoJoin::NoBackfill { name: named() });
    };
    let error = || state.error.clone().unwrap_or_else(|| "see crossfade history".to_owned());
    match state.mode {
        Mode::RolledBack => Chance::Never(NoJoin::RolledBack { name: named() }),
        Mode::Undoing(Some(to)) => Chance::Wait(Wait::Rollback { name: named(), to }),
        Mode::Undoing(None) => Chance::Never(NoJoin::RollingBack { name: named() }),
        _ if state.done.contains(&step.key) => Chance::Past,
        Mode::Done => Chance::Past,
        Mode::Failed => Chance::Never(NoJoin::Failed { name: named(), error: error() }),
        Mode::Drifted => Chance::Never(NoJoin::Drifted { name: named(), error: error() }),
        Mode::New | Mode::Forward if state.paused && !waited => Chance::Paused,
        Mode::New | Mode::Forward if state.is_filling(program) => Chance::Filling(step),
        Mode::New | Mode::Forward => Chance::Wait(Wait::Backfill { name: named(), phase: state.phase }),
    }
}
