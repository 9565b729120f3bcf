//! What a program can ask of crossfade: the same calls that the command line makes.

mod at_work;
mod parts;
mod registered;

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::parts::refuse_part;
use self::registered::goes_on;
use super::forward::{Bypass, Until};
use super::preview::{Known, Preview};
use super::{Error, clock, gate, gates, session, soak, undo};
use crate::engine::{CHECK_CONNECTIONS, compare};
use crate::event::EventSink;
use crate::ledger::{Ledger, LedgerError, Listed, LoggedEntry, Record, Run, Snapshot};
use crate::names::LedgerSchema;
use crate::pg::Connector;
use crate::plan::Plan;
use crate::pulse::Pulse;
use crate::run::{Actor, Entry, GateReading, Head, Outcome, Phase, Program, Side, Standing, State, Told, WaitingFor};

/// A database with its ledger, and where events go.
#[derive(Clone)]
pub struct Tool {
    pub(super) connector: Connector,
    pub(crate) ledger: Ledger,
    pub(super) actor: Actor,
    pub(super) sink: EventSink,
    pub(super) stop: CancellationToken,
    pub(super) pulse: Pulse,
    pub(super) consent: bool,
    bypass: Option<Bypass>,
    hooks: Option<PathBuf>,
    #[cfg(feature = "notify")]
    desk: super::courier::Desk,
    accepts: Option<String>,
}

/// The result of a call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finish {
    /// What the run is called: the plan's name, with its number behind an @ if there is a later run of that plan.
    pub name: String,
    /// The phase the run is in now, or its part whose turn it is.
    pub phase: Phase,
    /// The part whose turn it is, of a run that changes columns of other tables too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Its state now.
    pub state: Standing,
    /// The phases that this call finished.
    pub did: Vec<Phase>,
    /// What the run waits for, if it has not ended.
    pub waiting_for: Option<WaitingFor>,
    /// The zone in which its times are shown.
    #[serde(skip)]
    pub zone: Tz,
    /// What a rollback has left as the run had made it, as sentences; empty in nearly all runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<String>,
    /// The hash of its log's latest entry, by which `crossfade history --check --head` finds out whether the log was cut.
    pub head: Option<Head>,
}

impl Tool {
    /// Returns a tool for the database of `connector`. `actor` names this process in the ledger; `stop` ends the work
    /// before the next unit.
    pub fn new(
        connector: Connector,
        schema: LedgerSchema,
        actor: impl Into<Actor>,
        sink: EventSink,
        stop: CancellationToken,
    ) -> Self {
        Self {
            connector,
            ledger: Ledger::new(schema),
            actor: actor.into(),
            sink,
            stop,
            pulse: Pulse::default(),
            consent: false,
            bypass: None,
            hooks: None,
            #[cfg(feature = "notify")]
            desk: super::courier::Desk::default(),
            accepts: None,
        }
    }

    /// Returns the tool with the consent of whoever is responsible for the data: a run goes past its point of no return, and
    /// a rollback drops what the run had added. Without it they stop before that, with [`NotYet::Irreversible`](crate::NotYet::Irreversible) and
    /// [`NotYet::Drops`](crate::NotYet::Drops).
    #[must_use]
    pub fn with_consent(self) -> Self {
        Self { consent: true, ..self }
    }

    /// Returns the tool of somebody for whom this process works, such as a visitor of its page: the log names `person` before the user of this
    /// process. That is the process's own word; what counts for the server is the role.
    #[must_use]
    pub fn on_behalf_of(mut self, person: &str) -> Self {
        self.actor.user = format!("{person} through {}", self.actor.user);
        self
    }

    /// Returns who the log says has done what this tool does.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Returns the tool, which goes on without an approval that the plan asks for: `person` answers for it, for this `reason`. The
    /// log keeps both.
    #[must_use]
    pub fn bypassing_approval(self, person: &str, reason: &str) -> Self {
        Self { bypass: Some(Bypass { person: person.to_owned(), reason: reason.to_owned() }), ..self }
    }

    /// Returns the tool that goes on although the old column may still be used, for this reason: what is seen of it is recorded
    /// with the reason. Without it a run stops at the gate `unused`.
    #[must_use]
    pub fn accepting_evidence(self, reason: &str) -> Self {
        Self { accepts: Some(reason.to_owned()), ..self }
    }

    /// Returns the tool with a ledger whose schema may belong to `role`, and not only to the tool's own role or a superuser:
    /// whoever has that role can make crossfade run any statement with the tool's rights.
    #[must_use]
    pub fn trusting(mut self, role: &str) -> Self {
        self.ledger = self.ledger.trusting(role);
        self
    }

    /// Returns the tool with the directory of the hooks that plans may name. Its files are run with the rights of this process,
    /// when a plan in the ledger says so.
    #[must_use]
    pub fn with_hooks(self, directory: PathBuf) -> Self {
        Self { hooks: Some(directory), ..self }
    }

    /// Returns what tells whether the loops of a run that this tool works on still move. A program that wants to be ended
    /// when they do not, as the command line does, watches it: [`Pulse::watch`].
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Connects, for what takes little time; refuses what is not a way to the server itself.
    pub(crate) async fn connect(&self) -> Result<sqlx::PgConnection, Error> {
        self.unless_stopped(async {
            session::refuse_pooler(&self.connector).await?;
            Ok(self.connector.connect("control").await?)
        })
        .await
    }

    /// Runs what may be dropped at any point, until it ends or this process is to stop.
    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            result = work => result,
            () = self.stop.cancelled() => Err(Error::Interrupted),
        }
    }

    /// Returns what a run of `plan` would do, or where its run stands. Nothing is changed.
    ///
    /// # Errors
    /// [`Error::PlanEdited`]; the server's; problems of plan and table are in the preview.
    pub async fn preview(&self, plan: &Plan) -> Result<Preview, Error> {
        let mut connection = self.connect().await?;
        if let Some(run) = self.ledger.log().find_opt(&mut connection, plan.name.as_str()).await? {
            refuse_copy(&self.ledger, &run)?;
            let log = self.ledger.log().entries(&mut connection, run.id).await?;
            let state = run.replay(&log).map_err(LedgerError::from)?;
            if goes_on(&run, &state, plan)? {
                let known = Known::of(&run, &state, &log);
                return Ok(Preview { program: Some(run.program), run: Some(known), ..Preview::default() });
            }
        }
        Ok(Box::pin(self.previewed(&mut connection, plan)).await?.1)
    }

    /// Runs the phases of `plan` now, up to the end of `to`, and registers the run if there is none. `text` is the file, for
    /// the ledger. May be cancelled by the tool's token; a run that was killed continues from where it was.
    ///
    /// # Errors
    /// Why it could not continue. What was done is recorded.
    pub async fn run(&self, plan: &Plan, text: &str, to: Option<Phase>) -> Result<Finish, Error> {
        let run = self.unless_stopped(Box::pin(self.registered(plan, text))).await?;
        self.go(run, to.map_or(Until::End, Until::Phase), false).await
    }

    /// Registers the run and does its first phase, if that is due by the plan's schedule.
    ///
    /// # Errors
    /// As [`Tool::run`].
    pub async fn start(&self, plan: &Plan, text: &str) -> Result<Finish, Error> {
        let run = self.unless_stopped(Box::pin(self.registered(plan, text))).await?;
        let first = run.program.phases[0];
        self.go(run, Until::Phase(first), true).await
    }

    /// Moves the run forward by at most one phase, if that is due by the plan's schedule. Never waits for a gate to open.
    ///
    /// # Errors
    /// As [`Tool::run`].
    pub async fn advance(&self, name: &str) -> Result<Finish, Error> {
        let run = self.find(name).await?;
        self.go(run, Until::OnePhase, true).await
    }

    /// Returns what [`Tool::advance`] would do now, as a sentence, or at another time if nothing but the clock changes.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn advance_preview(&self, name: &str, at: Option<DateTime<Utc>>) -> Result<String, Error> {
        let mut connection = self.connect().await?;
        let run = self.ledger.log().find(&mut connection, name).await?;
        let run = Box::pin(self.whose_turn(&mut connection, run)).await?;
        let log = self.ledger.log().entries(&mut connection, run.id).await?;
        let state = run.replay(&log).map_err(LedgerError::from)?;
        if state.is_over() {
            return Ok(format!("nothing: the run is {}", state.standing()));
        }
        let seen = gates::look_at(&self.ledger, &mut connection, &run, &state).await?;
        let at = at.unwrap_or(seen.snapshot.at);
        let found = gates::readings(&self.ledger, &mut connection, (&run, &state, &log), &seen, at).await?.gates;
        let closed = gates::closed(&run, &state, &found, true).map(|closed| closed.to_string());
        let closed = closed.or_else(|| gates::first(&run, &state, &found).map(|gate| gate.reason.clone()));
        let check = soak::due(&state, &found).filter(|_| state.is_soaking(&run.program));
        match (check, closed) {
            (Some(why), Some(closed)) => {
                return Ok(format!("compare all rows again ({}), and then: {closed}", why.reason));
            }
            (None, Some(closed)) => return Ok(format!("nothing: {closed}")),
            (_, None) => {}
        }
        let steps: Vec<_> = run
            .program
            .steps_of(state.phase)
            .filter(|step| !state.done.contains(&step.key))
            .map(|step| format!("{} ({})", step.key, step.title))
            .collect();
        let steps = if steps.is_empty() { "there is nothing left to do in it".to_owned() } else { steps.join("; ") };
        Ok(format!("finish {}: {steps}", state.phase))
    }

    /// Returns the names of all runs, newest first, without those that are parts of others.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn names(&self) -> Result<Vec<String>, Error> {
        let mut connection = self.connect().await?;
        Ok(self.ledger.log().names(&mut connection).await?)
    }

    /// Returns the log of the run, oldest first.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn history(&self, name: &str) -> Result<Vec<LoggedEntry>, Error> {
        let mut connection = self.connect().await?;
        let run = self.ledger.log().find(&mut connection, name).await?;
        Ok(self.ledger.log().entries(&mut connection, run.id).await?)
    }

    /// Returns the latest `limit` runs, newest first. What is stored of them is not looked at.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn runs(&self, limit: u32) -> Result<Listed, Error> {
        let mut connection = self.connect().await?;
        Ok(self.ledger.log().list(&mut connection, limit).await?)
    }

    /// Returns all runs of this name with their logs as they are stored, oldest first: a plan that was rolled back may have
    /// been run again. Of a single run, where the name says which, that one alone.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn attempts(&self, name: &str) -> Result<Vec<Record>, Error> {
        let mut connection = self.connect().await?;
        let ids = self.ledger.log().runs_called(&mut connection, name).await?;
        let mut records = Vec::new();
        for id in ids {
            records.push(self.ledger.log().record_of(&mut connection, id).await?);
        }
        Ok(records)
    }

    /// Puts into the log that this process ends now, in the middle of whatever it works on.
    ///
    /// # Errors
    /// The ledger's. Whoever ends does not wait for them for long.
    pub async fn note_cut_short(&self) -> Result<(), Error> {
        let mut connection = self.connector.connect("control").await?;
        for name in self.ledger.leases().runs_of(&mut connection, &self.actor.to_string()).await? {
            let run = self.ledger.log().find(&mut connection, &name).await?;
            self.ledger.log().record(&mut connection, &run, None, &[Entry::CutShort], &self.actor).await?;
        }
        Ok(())
    }

    /// Compares all rows and records the result; first repairs those that differ, if told which side wins.
    ///
    /// # Errors
    /// [`Error::NothingToCompare`] when the run has not got both columns; a mismatch is a result, not an error.
    pub async fn verify(&self, name: &str, repair: Option<Side>) -> Result<Outcome, Error> {
        let checked = Box::pin(self.checked(name, repair)).await;
        #[cfg(feature = "notify")]
        self.deliver().await;
        checked
    }

    async fn checked(&self, name: &str, repair: Option<Side>) -> Result<Outcome, Error> {
        let mut connection = self.connect().await?;
        let run = self.ledger.log().find(&mut connection, name).await?;
        refuse_copy(&self.ledger, &run)?;
        let state = self.ledger.log().state(&mut connection, &run).await?;
        let spec = gate::current_spec(&run, &state)?.clone();
        if let Some(winner) = repair {
            if !run.program.fills().all(|(step, _)| state.is_done(&step.key)) {
                return Err(Error::NotFilledYet { name: run.name().clone() });
            }
            let (work, beat) = self.work(run.clone(), None).await?;
            let repaired = tokio::select! {
                repaired = compare::repair(&work, &spec, winner).instrument(work.span()) => repaired.map_err(Error::from),
                why = beat.gives_up() => Err(why),
            };
            drop(beat);
            let rows = match repaired {
                Ok(rows) => rows,
                Err(error) => {
                    self.give_back(&work).await;
                    return Err(error);
                }
            };
            let entry = Entry::Repaired { winner, rows };
            self.ledger.log().record(&mut connection, &run, Some(work.lease), &[entry], &self.actor).await?;
            self.give_back(&work).await;
        }
        let check = compare::check(
            &self.connector,
            &self.ledger,
            &run.program,
            &spec,
            &self.sink,
            &self.stop,
            state.phase,
            CHECK_CONNECTIONS,
        );
        let check = async { Ok(check.await?) };
        let (mut outcome, identity) = tokio::select! {
            checked = self.unless_stopped(check) => checked?,
            why = session::silence(&self.connector, &mut connection) => return Err(why),
        };
        self.ledger.progress().trace(&mut connection, run.id, &mut outcome.keys).await?;
        self.ledger
            .progress()
            .store_check(&mut connection, &run, spec.relation, &identity, &outcome, repair.is_some())
            .await?;
        let entry = Entry::Verified { counts: outcome.counts };
        self.ledger.log().record(&mut connection, &run, None, &[entry], &self.actor).await?;
        Ok(outcome)
    }

    /// Pauses the run: a running backfill holds before its next batch, wherever it runs. Returns false if it was paused
    /// already.
    ///
    /// # Errors
    /// [`Error::Over`]; the ledger's.
    pub async fn pause(&self, name: &str) -> Result<bool, Error> {
        self.set_all_paused(name, true).await
    }

    /// Resumes a paused run. Returns false if it was not paused.
    ///
    /// # Errors
    /// [`Error::Over`]; the ledger's.
    pub async fn resume(&self, name: &str) -> Result<bool, Error> {
        self.set_all_paused(name, false).await
    }

    /// Finds a run that has not ended, with its state.
    pub(super) async fn active(&self, connection: &mut sqlx::PgConnection, name: &str) -> Result<(Run, State), Error> {
        let run = self.ledger.log().find(connection, name).await?;
        let state = self.ledger.log().state(connection, &run).await?;
        refuse_copy(&self.ledger, &run)?;
        if state.is_over() {
            return Err(Error::Over { name: run.called.clone(), state: state.standing() });
        }
        Ok((run, state))
    }

    async fn set_paused(&self, name: &str, paused: bool) -> Result<bool, Error> {
        let mut connection = self.connect().await?;
        let (run, state) = self.active(&mut connection, name).await?;
        if state.paused == paused {
            return Ok(false);
        }
        let entry = if paused { Entry::Paused } else { Entry::Resumed };
        let setting = ("paused".to_owned(), paused.to_string());
        self.ledger.log().tune(&mut connection, &run, &[entry], &[setting], &self.actor).await?;
        Ok(true)
    }

    /// Returns the run as the ledger has it.
    ///
    /// # Errors
    /// The ledger's.
    pub(crate) async fn run_called(&self, name: &str) -> Result<Run, Error> {
        let mut connection = self.connect().await?;
        Ok(self.ledger.log().find(&mut connection, name).await?)
    }

    /// Returns the plan of the run and the program it was compiled to, as the ledger has them.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn stored(&self, name: &str) -> Result<(Plan, Program), Error> {
        let run = self.run_called(name).await?;
        Ok((run.plan, run.program))
    }

    /// Changes live settings of the run; a running backfill adopts them before its next batch.
    ///
    /// # Errors
    /// [`Error::Over`]; [`Error::Misconfigured`] naming the setting that does not exist or the value that it cannot take.
    pub async fn tune(&self, name: &str, settings: &[(String, String)]) -> Result<(), Error> {
        for (key, value) in settings {
            crate::plan::settings::check(key, value).map_err(|wrong| Error::Misconfigured {
                key: key.clone(),
                reason: format!("{wrong}; {}", wrong.help),
            })?;
        }
        for part in self.active_parts(name).await? {
            Box::pin(self.tune(&part, settings)).await?;
        }
        let mut connection = self.connect().await?;
        let (run, _) = self.active(&mut connection, name).await?;
        if run.plan.throttle.probe.is_none() && settings.iter().any(|(key, value)| key == "probe" && value != "off") {
            let reason = format!("the plan of run {name} has no probe query, so there is nothing to limit");
            return Err(Error::Misconfigured { key: "probe".to_owned(), reason });
        }
        let locks = run.program.steps.iter().any(|step| step.locked_for.is_some());
        if !locks && settings.iter().any(|(key, _)| key == "exclusion_lock") {
            let reason = format!("run {name} builds no exclusion constraint, so there is no lock to limit");
            return Err(Error::Misconfigured { key: "exclusion_lock".to_owned(), reason });
        }
        let entry = |(key, value): &(String, String)| Entry::Tuned { key: key.clone(), value: value.clone() };
        let entries: Vec<_> = settings.iter().map(entry).collect();
        self.ledger.log().tune(&mut connection, &run, &entries, settings, &self.actor).await?;
        Ok(())
    }

    /// Rolls the run back to the end of `to`, or to before it began. No write made through either column is lost.
    ///
    /// # Errors
    /// [`Error::PointOfNoReturn`]; [`Error::WouldLose`] when a value has no way back; [`NotYet::Drops`](crate::NotYet::Drops).
    pub async fn rollback(&self, name: &str, to: Option<Phase>) -> Result<Finish, Error> {
        let run = self.find(name).await?;
        refuse_part(&run)?;
        let parts = if to.is_none() { Box::pin(self.parts_of(&run)).await? } else { vec![] };
        let mut finish = Box::pin(self.one_back(run, to)).await?;
        // What refers to it comes last: as long as the key has the wider type, they must have it too.
        for (part, _) in parts.into_iter().rev() {
            finish.stays.extend(Box::pin(self.one_back(part, None)).await?.stays);
        }
        Ok(finish)
    }

    async fn one_back(&self, run: Run, to: Option<Phase>) -> Result<Finish, Error> {
        let plan = run.plan.clone();
        match self.telling(&plan, Box::pin(self.back(run, to))).await {
            Err(error) => Err(self.unless_gone(error).await),
            done => done,
        }
    }

    async fn back(&self, run: Run, to: Option<Phase>) -> Result<Finish, Error> {
        let (mut work, beat) = self.work(run, None).await?;
        let span = work.span();
        let result = tokio::select! {
            result = undo::back(&mut work, to, self.consent).instrument(span) => result,
            why = beat.gives_up() => Err(why),
        };
        drop(beat);
        self.give_back(&work).await;
        result.map_err(|error| match error {
            Error::Step { step, error } => Error::UndoFailed { step, error },
            other => other,
        })?;
        self.finish(&work.run, &[]).await
    }

    /// Returns the statements by which [`Tool::rollback`] would drop something, in order. Changes nothing.
    ///
    /// # Errors
    /// Why the run cannot go back to the end of `to`.
    pub async fn rollback_preview(&self, name: &str, to: Option<Phase>) -> Result<Vec<String>, Error> {
        let run = self.find(name).await?;
        let mut connection = self.connect().await?;
        let state = self.ledger.log().state(&mut connection, &run).await?;
        let mut drops = undo::drops(&run, &state, to)?;
        let parts = if to.is_none() { Box::pin(self.parts_of(&run)).await? } else { vec![] };
        for (part, state) in parts.iter().rev() {
            drops.extend(undo::drops(part, state, None)?);
        }
        Ok(drops)
    }

    pub(super) async fn find(&self, name: &str) -> Result<Run, Error> {
        let mut connection = self.connect().await?;
        let run = self.ledger.log().find(&mut connection, name).await?;
        self.connector.keep(connection);
        refuse_copy(&self.ledger, &run)?;
        Ok(run)
    }

    /// Returns the tool with the destinations that it delivers announcements to, of all runs of its ledger.
    #[cfg(feature = "notify")]
    #[must_use]
    pub fn with_destinations(mut self, destinations: crate::notify::Destinations) -> Self {
        self.desk = super::courier::Desk::new(destinations);
        self
    }

    /// Delivers what announcements of this ledger are due, for a few seconds at most. Every call that works on a run does that
    /// by itself.
    #[cfg(feature = "notify")]
    pub async fn deliver(&self) {
        super::courier::Courier::start(self.office(), true).finish().await;
    }

    #[cfg(feature = "notify")]
    fn office(&self) -> super::courier::Office {
        super::courier::Office {
            connector: self.connector.clone(),
            ledger: self.ledger.clone(),
            sink: self.sink.clone(),
            stop: self.stop.clone(),
            desk: self.desk.clone(),
        }
    }
}

/// Returns what a run waits for while no process is at work on it; `None` when it is over. `log` is its whole log, `seen` what the ledger holds
/// besides, `readings` what was found of its gates.
pub(crate) fn waiting_for(
    (run, state, log): (&Run, &State, &[LoggedEntry]),
    seen: &Snapshot,
    readings: &[GateReading],
) -> Option<WaitingFor> {
    let entry = readings.iter().find(|reading| reading.gate.is_entry() && !reading.is_open()).map(|reading| {
        WaitingFor::Gate { phase: state.phase, reading: reading.clone(), zone: crate::run::zone(&run.plan) }
    });
    let quiet = Duration::from_secs(u64::try_from(seen.writes.old_quiet_seconds).unwrap_or(0));
    let (last_done, paused_by) = (clock::last_done(log), paused_by(log));
    let told = Told { last_done, paused_by, contract: &seen.contract, quiet, now: seen.at, entry };
    WaitingFor::of(&run.program, state, told)
}

/// Returns who paused the run last.
fn paused_by(log: &[LoggedEntry]) -> Option<String> {
    log.iter().rev().find(|line| matches!(line.entry, Entry::Paused)).map(|line| line.actor.to_string())
}

/// Refuses a ledger that was copied with its database (docs/postgres.md, "A ledger in a copied database").
pub(crate) fn refuse_copy(ledger: &Ledger, run: &Run) -> Result<(), Error> {
    if run.same_database {
        return Ok(());
    }
    Err(Error::Copied { name: run.called.clone(), schema: ledger.schema().as_str().to_owned() })
}
