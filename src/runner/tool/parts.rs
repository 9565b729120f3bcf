//! Runs with parts: a key, and the columns of other tables that refer to it. The tables are changed one after the other, those that refer
//! first, so that a column never refers to a value that its type does not hold; the way back is the other way round.

use sqlx::PgConnection;

use super::super::forward::Until;
use super::super::parts::{has_switched, is_taken_back, parts_of, turn};
use super::super::{Error, NotYet, preview};
use super::{Finish, Tool};
use crate::catalog::{self, Family, Finding};
use crate::event::Event;
use crate::ledger::Run;
use crate::plan::{Plan, Referring};
use crate::run::{Mode, Phase, Standing, State};
use crate::runner::{PartPreview, Preview};

/// What is said of columns that keep their types, which these do not.
const KEEP_THEIR_TYPES: &str = "catalog::referring_columns";

/// Refuses to move a part by itself.
pub(super) fn refuse_part(run: &Run) -> Result<(), Error> {
    match &run.plan.part_of {
        Some(of) => Err(Error::Part { name: run.called.clone(), of: of.clone() }),
        None => Ok(()),
    }
}

impl Tool {
    /// Returns the parts of `run` with their states, in the order in which they are done.
    pub(in crate::runner) async fn parts_of(&self, run: &Run) -> Result<Vec<(Run, State)>, Error> {
        if run.plan.parts.is_empty() {
            return Ok(vec![]);
        }
        let mut connection = self.connect().await?;
        self.read_parts(&mut connection, run).await
    }

    async fn read_parts(&self, connection: &mut PgConnection, run: &Run) -> Result<Vec<(Run, State)>, Error> {
        parts_of(&self.ledger, connection, run).await
    }

    /// Returns the run whose turn it is: `run` itself, or one of its parts.
    pub(in crate::runner) async fn whose_turn(&self, connection: &mut PgConnection, run: Run) -> Result<Run, Error> {
        if run.plan.parts.is_empty() {
            return Ok(run);
        }
        let state = self.ledger.log().state(connection, &run).await?;
        let mut parts = self.read_parts(connection, &run).await?;
        Ok(turn(&state, &parts).map_or(run, |at| parts.swap_remove(at).0))
    }

    /// Refuses to go on with a run before its parts have switched. Whoever asks has its lease, without which they are not taken back.
    ///
    /// # Errors
    /// [`NotYet::Plans`].
    pub(super) async fn parts_have_switched(&self, run: &Run) -> Result<(), Error> {
        for (part, state) in self.parts_of(run).await? {
            if !has_switched(&part, &state) {
                let (plan, required) = (run.name().clone(), part.name().clone());
                return Err(Error::NotYet(NotYet::Plans { plan, required }));
            }
        }
        Ok(())
    }

    /// Moves a run and its parts, one after the other.
    pub(super) async fn go_by_parts(&self, key: Run, until: Until, scheduled: bool) -> Result<Finish, Error> {
        let mut did: Vec<Phase> = Vec::new();
        loop {
            let mut connection = self.connect().await?;
            let state = self.ledger.log().state(&mut connection, &key).await?;
            let parts = self.read_parts(&mut connection, &key).await?;
            if state.mode != Mode::RolledBack && parts.iter().any(|(_, state)| is_taken_back(state)) {
                return Err(Error::RollingBack { name: key.name().clone() });
            }
            if state.paused && !state.is_over() {
                return Err(Error::Paused { name: key.name().clone(), by: None });
            }
            if until == Until::OnePhase {
                self.note_tick(&mut connection, &key).await;
            }
            let Some(at) = turn(&state, &parts) else {
                drop(connection);
                if !did.is_empty() {
                    (self.sink)(Event::Resumed { name: key.called.clone(), phase: state.phase });
                }
                let finish = Box::pin(self.go_alone(key.clone(), until, scheduled)).await?;
                did.extend(finish.did.iter().copied().filter(|phase| !did.contains(phase)).collect::<Vec<_>>());
                // The key is at its end, and the parts may not be.
                let left = finish.state == Standing::Done && parts.iter().any(|(_, state)| !state.is_over());
                match until {
                    Until::End | Until::Phase(Phase::Contract) if left => continue,
                    _ if left => return self.finish_by_parts(&key, did).await,
                    _ => return Ok(Finish { did, ..finish }),
                }
            };
            drop(connection);
            let (part, of_part) = parts[at].clone();
            (self.sink)(Event::Resumed { name: part.called.clone(), phase: of_part.phase });
            let to = match until {
                Until::OnePhase => Until::OnePhase,
                Until::End if state.mode == Mode::Done => Until::End,
                Until::Phase(to) if state.mode == Mode::Done => Until::Phase(to),
                Until::End => Until::Phase(Phase::Switch),
                Until::Phase(to) => Until::Phase(to.min(Phase::Switch)),
            };
            let finish = Box::pin(self.part_goes(&key, part, to, scheduled)).await?;
            did.extend(finish.did.iter().copied().filter(|phase| !did.contains(phase)).collect::<Vec<_>>());
            let goes_on = match to {
                Until::OnePhase => false,
                Until::End => true,
                Until::Phase(to) => to == Phase::Switch || finish.state.is_over(),
            };
            let left = self.parts_of(&key).await?;
            let key_state = self.ledger.log().state(&mut self.connect().await?, &key).await?;
            if !goes_on || key_state.mode == Mode::Done && turn(&key_state, &left).is_none() {
                return self.finish_by_parts(&key, did).await;
            }
        }
    }

    /// Moves a part, with the lease of its key: whoever would take the key or its parts back waits.
    async fn part_goes(&self, key: &Run, part: Run, to: Until, scheduled: bool) -> Result<Finish, Error> {
        let (work, beat) = self.work(key.clone(), None).await?;
        let result = tokio::select! {
            result = Box::pin(self.go_alone(part, to, scheduled)) => result,
            why = beat.gives_up() => Err(why),
        };
        drop(beat);
        self.give_back(&work).await;
        result
    }

    /// Returns where a run with parts stands: what the one whose turn it is says.
    async fn finish_by_parts(&self, key: &Run, did: Vec<Phase>) -> Result<Finish, Error> {
        let mut connection = self.connect().await?;
        let whose = self.whose_turn(&mut connection, key.clone()).await?;
        drop(connection);
        let part = (whose.id != key.id).then(|| whose.called.clone());
        Ok(Finish { name: key.called.clone(), part, ..self.finish(&whose, &did).await? })
    }

    /// Returns the plan with its parts, and what a run of it would do.
    pub(super) async fn previewed(&self, connection: &mut PgConnection, plan: &Plan) -> Result<(Plan, Preview), Error> {
        let Family { key, parts, refusals, warnings } = catalog::family(connection, plan).await?;
        let mut whole = preview::preview(&self.ledger, connection, &key).await?;
        whole.refusals.extend(refusals);
        if plan.referring == Some(Referring::Change) {
            whole.warnings.retain(|finding| finding.code != KEEP_THEIR_TYPES);
        }
        whole.warnings.extend(warnings);
        for part in parts {
            let mut found = preview::preview(&self.ledger, connection, &part).await?;
            found.warnings.retain(|finding| finding.code != KEEP_THEIR_TYPES);
            let of = |finding: &Finding| Finding {
                message: format!("{}: {}", part.table, finding.message),
                ..finding.clone()
            };
            whole.refusals.extend(found.refusals.iter().map(of));
            let known: Vec<_> = whole.warnings.iter().map(|finding| finding.message.clone()).collect();
            whole.warnings.extend(found.warnings.iter().filter(|one| !known.contains(&one.message)).map(of));
            whole.parts.push(PartPreview { plan: part, preview: found });
        }
        whole.whole = (key != *plan).then(|| key.clone());
        Ok((key, whole))
    }

    /// Returns the names of the parts of the run called `name` that have not ended.
    pub(super) async fn active_parts(&self, name: &str) -> Result<Vec<String>, Error> {
        let run = self.find(name).await?;
        let parts = self.parts_of(&run).await?;
        Ok(parts.into_iter().filter(|(_, state)| !state.is_over()).map(|(part, _)| part.called).collect())
    }

    /// Pauses or resumes a run with its parts. Returns whether any of them was not so.
    pub(super) async fn set_all_paused(&self, name: &str, paused: bool) -> Result<bool, Error> {
        let parts = self.active_parts(name).await?;
        let mut connection = self.connect().await?;
        let run = self.find(name).await?;
        let over = self.ledger.log().state(&mut connection, &run).await?.is_over();
        let mut any = false;
        for part in &parts {
            any |= self.set_paused(part, paused).await?;
        }
        // The key may be at its end before its parts are.
        if parts.is_empty() || !over {
            any |= self.set_paused(name, paused).await?;
        }
        Ok(any)
    }
}
