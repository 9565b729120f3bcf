//! How a plan becomes a run.

use super::super::{Error, NotYet, session};
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
                self.connector.keep(connection);
                return Ok(run);
            }
        }
        if let Some(run) = self.ledger.log().find_opt(&mut connection, name).await?
            && Box::pin(self.parts_of(&run)).await?.iter().any(|(_, state)| !state.is_over())
        {
            return Err(Error::RollingBack { name: plan.name.clone() });
        }
        self.require_plans(&mut connection, plan).await?;
        if self.ledger.version(&mut connection).await?.is_some() {
            match self.ledger.log().refuse_claimed(&mut connection, plan).await {
                Err(LedgerError::Active { .. }) => return self.registered_meanwhile(&mut connection, plan).await,
                other => other?,
            }
        }
        let (whole, preview) = Box::pin(self.previewed(&mut connection, plan)).await?;
        for finding in &preview.warnings {
            (self.sink)(Event::Warning { message: finding.message.clone() });
        }
        let (Some(program), Some(facts), true) = (preview.program, preview.facts, preview.refusals.is_empty()) else {
            return Err(Error::Refused { findings: preview.refusals });
        };
        // Before anything is changed; this connection is one of them.
        session::require_room(&self.connector, &whole, &program.steps.iter().collect::<Vec<_>>(), 1).await?;
        self.ledger.create(&mut connection).await?;
        let texts: Vec<_> = preview.parts.iter().map(|part| crate::plan::to_yaml(&part.plan)).collect();
        let mut all = Vec::new();
        for (part, text) in preview.parts.iter().zip(&texts).rev() {
            let (Some(facts), Some(program)) = (&part.preview.facts, &part.preview.program) else { continue };
            all.push(NewRun { plan: &part.plan, plan_text: text, facts, program });
        }
        // The last, so that it is the newest.
        all.push(NewRun { plan: &whole, plan_text: text, facts: &facts, program: &program });
        match self.ledger.log().register(&mut connection, &all, &self.actor).await {
            Ok(runs) => {
                let estimates = preview.parts.iter().rev().map(|part| &part.preview.estimates);
                for (run, estimates) in runs.into_iter().zip(estimates.chain([&preview.estimates])) {
                    self.ledger.log().store_prediction(&mut connection, run, estimates).await?;
                }
                self.note_warnings(&mut connection, name, &preview.warnings).await?;
                (self.sink)(Event::Registered { name: name.to_owned() });
            }
            Err(LedgerError::Active { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let run = self.registered_meanwhile(&mut connection, plan).await?;
        self.connector.keep(connection);
        Ok(run)
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
