//! A process at work on a run: it takes the lease, goes forward, notes why it stops, delivers what is to be told, and gives the
//! lease back.

use std::path::PathBuf;

use tracing::Instrument as _;

use super::super::forward::{Course, Until};
use super::super::heartbeat::{self, Heartbeat};
use super::super::{Error, NotYet, clock, evidence, forward, gates, nearing, session, soak};
use super::parts::refuse_part;
use super::{Finish, Tool, paused_by, waiting_for};
use crate::engine::Work;
use crate::ledger::{LeaseError, LedgerError, LoggedEntry, Run};
use crate::pg;
use crate::plan::Plan;
use crate::run::{Entry, GateKind, Mode, Phase, State, Step, owed};

/// How long a process that ends tries to give its lease back; the lease expires by itself.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(5);

/// SQLSTATEs of what is not there: a table, a schema, a function.
const NOT_THERE: [&str; 3] = ["42P01", "3F000", "42883"];

impl Tool {
    /// Takes the lease of `run` on the connection that keeps it: a lease whose session is gone is free. There must be room for the
    /// steps that are not done in `state`, or for all where there is none.
    pub(super) async fn work(&self, run: Run, state: Option<&State>) -> Result<(Work, Heartbeat), Error> {
        let ahead = || run.program.steps.iter().filter(|step| state.is_none_or(|state| !state.is_done(&step.key)));
        let filling = state.is_some_and(|state| state.is_filling(&run.program));
        let mut connection = self
            .unless_stopped(async {
                session::refuse_pooler(&self.connector).await?;
                session::require_room(&self.connector, &run.plan, &ahead().collect::<Vec<_>>(), 0).await?;
                Ok(self.connector.connect("heartbeat").await?)
            })
            .await?;
        let lease = match self.ledger.leases().take(&mut connection, run.id, &self.actor.to_string()).await {
            Ok(lease) => lease,
            Err(LeaseError::Held { holder, seconds }) => {
                return Err(Error::Held { name: run.name().clone(), holder, seconds, filling });
            }
            Err(error) => return Err(error.into()),
        };
        let work = Work {
            connector: self.connector.clone(),
            ledger: self.ledger.clone(),
            run,
            lease,
            sink: self.sink.clone(),
            stop: self.stop.clone(),
            actor: self.actor.clone(),
            pulse: self.pulse.clone(),
        };
        let beat = heartbeat::start(work.clone(), connection);
        Ok((work, beat))
    }

    /// Does `work` on a run of `plan`, and delivers what it and others have announced.
    pub(super) async fn telling<T>(&self, plan: &Plan, work: impl Future<Output = T>) -> T {
        #[cfg(not(feature = "notify"))]
        let _ = plan;
        #[cfg(feature = "notify")]
        self.office().warn_of_destinations(plan);
        #[cfg(feature = "notify")]
        let courier = crate::runner::courier::Courier::start(self.office(), !plan.notify.is_empty());
        let done = work.await;
        #[cfg(feature = "notify")]
        courier.finish().await;
        done
    }

    pub(super) async fn go(&self, run: Run, until: Until, scheduled: bool) -> Result<Finish, Error> {
        refuse_part(&run)?;
        if run.plan.parts.is_empty() {
            return Box::pin(self.go_alone(run, until, scheduled)).await;
        }
        Box::pin(self.go_by_parts(run, until, scheduled)).await
    }

    /// Moves one run, without its parts.
    pub(super) async fn go_alone(&self, run: Run, until: Until, scheduled: bool) -> Result<Finish, Error> {
        let plan = run.plan.clone();
        let done = self.telling(&plan, Box::pin(self.go_on(run, until, scheduled))).await;
        match done {
            Err(error) => Err(self.unless_gone(error).await),
            done => done,
        }
    }

    /// Returns that the ledger is gone, where that is why something was not there.
    pub(super) async fn unless_gone(&self, error: Error) -> Error {
        let code = error.database().and_then(pg::sqlstate).unwrap_or_default();
        if !NOT_THERE.contains(&code.as_str()) {
            return error;
        }
        let version = async { self.ledger.version(&mut self.connect().await?).await.map_err(Error::from) };
        match self.last_words(version).await {
            Some(Ok(None)) => LedgerError::Gone { schema: self.ledger.schema().as_str().to_owned() }.into(),
            _ => error,
        }
    }

    async fn go_on(&self, run: Run, until: Until, scheduled: bool) -> Result<Finish, Error> {
        let mut connection = self.connect().await?;
        let log = self.ledger.log().entries(&mut connection, run.id).await?;
        let state = run.replay(&log).map_err(LedgerError::from)?;
        if state.is_over() && !(state.mode == Mode::Done && self.owes_hooks(&run, &log)) {
            return self.finish(&run, &[]).await;
        }
        if until == Until::OnePhase {
            self.note_tick(&mut connection, &run).await;
        }
        if state.paused {
            return Err(Error::Paused { name: run.name().clone(), by: paused_by(&log) });
        }
        if evidence::is_due(&run, &state) {
            evidence::note(&self.ledger, &mut connection, &run).await?;
        }
        if scheduled && !self.owes_hooks(&run, &log) {
            // A tick that comes too early needs no lease, and is nothing that the log need tell of.
            let now = clock::server(&mut connection).await?;
            let mut found = crate::run::scheduled(&run.plan, &run.program, (state.phase, gates::entered(&log)), now);
            if let Some(closed) = gates::closed(&run, &state, &found, true) {
                if until == Until::OnePhase && state.is_soaking(&run.program) {
                    let seen = gates::look_at(&self.ledger, &mut connection, &run, &state).await?;
                    found.push(gates::verified(&run, &seen, now));
                }
                if soak::due(&state, &found).is_none() {
                    self.note_near(&run).await;
                    return Err(Error::NotYet(closed));
                }
            }
        }
        self.connector.keep(connection);
        let (mut work, beat) = self.work(run, Some(&state)).await?;
        // With the lease: nobody can take its parts back from now on.
        if let Err(early) = Box::pin(self.parts_have_switched(&work.run)).await {
            drop(beat);
            self.give_back(&work).await;
            return Err(early);
        }
        let span = work.span();
        let course = Course {
            until,
            consent: self.consent,
            scheduled,
            bypass: self.bypass.as_ref(),
            hooks: self.hooks.as_deref(),
            accepts: self.accepts.as_deref(),
        };
        // In a box: what a run comes to is large.
        let result = tokio::select! {
            result = Box::pin(forward::forward(&mut work, course).instrument(span)) => result,
            why = beat.gives_up() => Err(why),
        };
        drop(beat);
        if let Err(Error::NotYet(gate)) = &result
            && !matches!(gate, NotYet::Gate { reading, .. } if reading.gate == GateKind::Due)
        {
            self.note_blocked(&work, gate).await;
        }
        if matches!(result, Ok(_) | Err(Error::NotYet(_))) {
            self.note_near(&work.run).await;
        }
        self.give_back(&work).await;
        self.finish(&work.run, &result?).await
    }

    /// Notes that a scheduler has asked for the run. A tick that cannot be noted is seen as missing, and is done all the same.
    pub(super) async fn note_tick(&self, connection: &mut sqlx::PgConnection, run: &Run) {
        if let Err(error) = self.ledger.progress().note_tick(connection, run.id, &self.actor.host).await {
            tracing::warn!(%error, "the tick is not noted");
        }
    }

    /// Returns whether a hook after the last phase was not run, and can be.
    fn owes_hooks(&self, run: &Run, log: &[LoggedEntry]) -> bool {
        let owed = owed(&run.plan.hooks, log.iter().map(|line| &line.entry), None);
        let is_there = |directory: &PathBuf| owed.iter().all(|of| directory.join(of.hook.run.as_str()).is_file());
        !owed.is_empty() && self.hooks.as_ref().is_some_and(is_there)
    }

    /// Puts into the log that the point of no return is near, if it is.
    async fn note_near(&self, run: &Run) {
        let noted = async {
            let mut connection = self.connect().await?;
            nearing::note(&self.ledger, &mut connection, run, &self.actor).await?;
            self.connector.keep(connection);
            Ok::<_, Error>(())
        };
        if let Err(error) = noted.await {
            tracing::debug!(%error, "log that the point of no return is near");
        }
    }

    /// Puts into the log that the run came to a closed gate; once, however often a scheduler tries.
    async fn note_blocked(&self, work: &Work, closed: &NotYet) {
        let gate = gate_of(closed).to_owned();
        let noted = async {
            let mut connection = self.connect().await?;
            let log = self.ledger.log().entries(&mut connection, work.run.id).await?;
            let state = work.run.replay(&log).map_err(LedgerError::from)?;
            if state.has_told_gate(&gate) {
                return Ok(());
            }
            let entry = Entry::Blocked { gate, reason: closed.to_string() };
            self.ledger.log().record(&mut connection, &work.run, Some(work.lease), &[entry], &self.actor).await?;
            Ok::<_, Error>(())
        };
        if let Err(error) = noted.await {
            tracing::debug!(%error, "log a closed gate");
        }
    }

    /// Releases the lease; where that fails it expires by itself.
    pub(super) async fn give_back(&self, work: &Work) {
        let release = async {
            let mut connection = self.connector.connect("control").await?;
            self.ledger.leases().release(&mut connection, work.lease).await?;
            self.connector.keep(connection);
            Ok::<_, LeaseError>(())
        };
        match self.last_words(release).await {
            Some(Ok(())) => {}
            other => tracing::debug!(?other, "release lease"),
        }
    }

    /// Runs what a process still does that ends anyway. Nobody waits for that for long.
    pub(in crate::runner) async fn last_words<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(LAST_WORDS, work).await.ok()
    }

    pub(super) async fn finish(&self, run: &Run, did: &[Phase]) -> Result<Finish, Error> {
        let mut connection = self.connect().await?;
        let log = self.ledger.log().entries(&mut connection, run.id).await?;
        let state = run.replay(&log).map_err(LedgerError::from)?;
        let seen = gates::look_at(&self.ledger, &mut connection, run, &state).await?;
        let all = (run, &state, log.as_slice());
        let found = gates::readings(&self.ledger, &mut connection, all, &seen, seen.snapshot.at).await?;
        let head = self.ledger.log().head(&mut connection, run.id).await?;
        self.connector.keep(connection);
        Ok(Finish {
            name: run.called.clone(),
            phase: state.phase,
            part: None,
            state: state.standing(),
            did: did.to_vec(),
            waiting_for: waiting_for(all, &seen.snapshot, &found.gates),
            zone: crate::run::zone(&run.plan),
            stays: if state.mode == Mode::RolledBack { stays(run, &log) } else { vec![] },
            head,
        })
    }
}

/// Returns what was done and not undone, because nothing undoes it.
fn stays(run: &Run, log: &[LoggedEntry]) -> Vec<String> {
    let done = |step: &Step| {
        log.iter().any(|line| matches!(&line.entry, Entry::StepDone { step: done, .. } if *done == step.key))
    };
    run.program.steps.iter().filter(|step| done(step)).filter_map(Step::stays).map(str::to_owned).collect()
}

/// Returns the name of a gate that is closed, as the log has it.
fn gate_of(gate: &NotYet) -> &'static str {
    match gate {
        NotYet::Quiet { .. } => "quiet",
        NotYet::Grace { .. } => "grace",
        NotYet::Irreversible { .. } | NotYet::Drops { .. } => "consent",
        NotYet::Gate { reading, .. } => reading.gate.as_str(),
        NotYet::Plans { .. } => "plans",
    }
}
