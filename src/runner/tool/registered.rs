//! How a plan becomes a run.

use super::super::{Error, NotYet, preview, session};
use super::{Tool, refuse_copy};
use crate::catalog::Finding;
use crate::event::Event;
use crate::ledger::{LedgerError, NewRun, Run};
use crate::plan::Plan;
use crate::run::{Entry, Mode, State};

impl Tool {
    /// Finds the plan's run, or registers one after all checks.
    pub(super) async fn registered(&self, plan: &Plan, text: &str) -> Result<Run, Error> {
        let mut connection = self.connect().await?;
        let name = plan.name.as_str();
        if let Some(run) = self.ledger.log().find_opt(&mut connection, name).await? {
            refuse_copy(&self.ledger, &run)?;
            let state = self.ledger.log().state(&mut connection, &run).await?;
            if goes_on(&run, &state, plan)? {
                if !state.is_over() {
                    (self.sink)(Event::Resumed { name: name.to_owned(), phase: state.phase });
                }
                return Ok(run);
            }
        }
        self.require_plans(&mut connection, plan).await?;
        if self.ledger.version(&mut connection).await?.is_some() {
            match self.ledger.log().refuse_claimed(&mut connection, plan).await {
                Err(LedgerError::Active { .. }) => return self.registered_meanwhile(&mut connection, plan).await,
                other => other?,
            }
        }
        let preview = preview::preview(&self.ledger, &mut connection, plan).await?;
        for finding in &preview.warnings {
            (self.sink)(Event::Warning { message: finding.message.clone() });
        }
        let (Some(program), Some(facts), true) = (preview.program, preview.facts, preview.refusals.is_empty()) else {
            return Err(Error::Refused { findings: preview.refusals });
        };
        // Before anything is changed; this connection is one of them.
        session::require_room(&self.connector, plan, &program.steps.iter().collect::<Vec<_>>(), 1).await?;
        self.ledger.create(&mut connection).await?;
        let new = NewRun { plan, plan_text: text, facts: &facts, program: &program };
        match self.ledger.log().register(&mut connection, &new, &self.actor).await {
            Ok(run) => {
                self.ledger.log().store_prediction(&mut connection, run, &preview.estimates).await?;
                self.note_warnings(&mut connection, name, &preview.warnings).await?;
                (self.sink)(Event::Registered { name: name.to_owned() });
            }
            Err(LedgerError::Active { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.registered_meanwhile(&mut connection, plan).await
    }

    /// Puts into the log what was known of the run when it began: whoever approves a phase approves that too.
    async fn note_warnings(
        &self,
        connection: &mut sqlx::PgConnection,
        name: &str,
        warnings: &[Finding],
    ) -> Result<(), Error> {
        if warnings.is_empty() {
            return Ok(());
        }
        let run = self.ledger.log().find(connection, name).await?;
        let of = warnings.iter().map(|warning| warning.message.clone()).collect();
        self.ledger.log().record(connection, &run, None, &[Entry::Warned { of }], &self.actor).await?;
        Ok(())
    }

    /// Returns the run of the plan that this process or another has registered a moment ago.
    async fn registered_meanwhile(&self, connection: &mut sqlx::PgConnection, plan: &Plan) -> Result<Run, Error> {
        let run = self.ledger.log().find(connection, plan.name.as_str()).await?;
        if run.is_of(plan) { Ok(run) } else { Err(Error::PlanEdited { name: plan.name.to_string() }) }
    }

    async fn require_plans(&self, connection: &mut sqlx::PgConnection, plan: &Plan) -> Result<(), Error> {
        for required in &plan.requires.plans {
            let run = self.ledger.log().find_opt(connection, required.as_str()).await?;
            let done = match &run {
                Some(run) => self.ledger.log().state(connection, run).await?.mode == Mode::Done,
                None => false,
            };
            if !done {
                return Err(Error::NotYet(NotYet::Plans { plan: plan.name.clone(), required: required.clone() }));
            }
        }
        Ok(())
    }
}

/// Returns whether `run` is the run of `plan` as it is now: a plan that is done stays done; one that was rolled back may be run
/// again.
pub(super) fn goes_on(run: &Run, state: &State, plan: &Plan) -> Result<bool, Error> {
    let same = run.is_of(plan);
    if !state.is_over() && !same {
        return Err(Error::PlanEdited { name: plan.name.to_string() });
    }
    Ok(!state.is_over() || (same && state.mode == Mode::Done))
}
