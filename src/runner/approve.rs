//! Approvals of phases: given and taken back. Whether one counts is decided where a step is done ([`super::gate`]).

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::gates::{approval_of, digest_of};
use super::{Error, Tool, clock};
use crate::ledger::LedgerError;
use crate::pg;
use crate::run::{Approval, Head, Phase, is_own, warnings};

/// An approval that was given.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Approved {
    /// What the run is called.
    pub name: String,
    /// The phase.
    pub phase: Phase,
    /// Who has approved it, as they say.
    pub person: String,
    /// As which database role.
    pub role: String,
    /// Until when it counts.
    pub expires: DateTime<Utc>,
    /// The zone in which that is shown.
    #[serde(skip)]
    pub zone: Tz,
    /// What was approved: SHA-256 of the plan, the generated SQL and the warnings.
    pub digest: Head,
    /// What `plan` had warned of when the run began.
    pub warnings: Vec<String>,
    /// What the phase does, a title a step.
    pub steps: Vec<String>,
}

impl Tool {
    /// Approves a phase of the run, which its plan lets wait for that, as `person`; without one, as the user of this process.
    /// The role must be able to execute the ledger's `approve`, and needs no other right to write.
    ///
    /// # Errors
    /// [`Error::NothingToApprove`], [`Error::OwnApproval`], [`Error::Over`]; the ledger's.
    pub async fn approve(
        &self,
        name: &str,
        phase: Phase,
        person: Option<&str>,
        comment: Option<&str>,
    ) -> Result<Approved, Error> {
        let mut connection = self.connect().await?;
        let (run, state) = self.active(&mut connection, name).await?;
        let is_past = run.program.is_past(state.phase, phase);
        if !run.plan.approve.contains(&phase) || is_past || !run.program.phases.contains(&phase) {
            return Err(Error::NothingToApprove { name: run.called, phase, is_past, phases: run.plan.approve });
        }
        let log = self.ledger.log().entries(&mut connection, run.id).await?;
        let person = person.unwrap_or(&self.actor.user);
        let role: String = pg::query_scalar("SELECT SESSION_USER::text").fetch_one(&mut connection).await?;
        let mut actor = self.actor.clone();
        actor.role.clone_from(&role);
        let own = log.first().filter(|first| !run.plan.approval.own && is_own(&first.actor, &actor, person));
        if let Some(first) = own {
            let (starter, person) = (first.actor.to_string(), person.to_owned());
            return Err(Error::OwnApproval { name: run.called, starter, role, person });
        }
        let digest = digest_of(&run, &log)?;
        let given = self.ledger.log().approve(&mut connection, run.id, phase, (person, comment), &digest, &actor).await;
        given.map_err(|error| allowed(error, &role))?;
        let log = self.ledger.log().entries(&mut connection, run.id).await?;
        let now = clock::server(&mut connection).await?;
        let expires = match approval_of(&run, phase, &log, now)? {
            Approval::Given(given) => given.expires,
            Approval::NotNeeded | Approval::Missing | Approval::Void { .. } => now,
        };
        Ok(Approved {
            name: run.called.clone(),
            phase,
            person: person.to_owned(),
            role,
            expires,
            zone: crate::run::zone(&run.plan),
            digest,
            warnings: warnings(log.iter().map(|line| &line.entry)).to_vec(),
            steps: run.program.steps_of(phase).map(|step| step.title.clone()).collect(),
        })
    }

    /// Takes the approvals of a phase back that are not used up: no further step of it begins.
    ///
    /// # Errors
    /// [`Error::NotApproved`], [`Error::Over`]; the ledger's.
    pub async fn revoke_approval(&self, name: &str, phase: Phase, person: Option<&str>) -> Result<(), Error> {
        let mut connection = self.connect().await?;
        let (run, _) = self.active(&mut connection, name).await?;
        let log = self.ledger.log().entries(&mut connection, run.id).await?;
        let now = clock::server(&mut connection).await?;
        if !matches!(approval_of(&run, phase, &log, now)?, Approval::Given(_)) {
            return Err(Error::NotApproved { name: run.called, phase });
        }
        let person = person.unwrap_or(&self.actor.user);
        let role: String = pg::query_scalar("SELECT SESSION_USER::text").fetch_one(&mut connection).await?;
        let revoked = self.ledger.log().revoke_approval(&mut connection, run.id, phase, person, &self.actor).await;
        revoked.map_err(|error| allowed(error, &role))
    }
}

/// Says of a role without the right what it lacks.
fn allowed(error: LedgerError, role: &str) -> Error {
    match &error {
        LedgerError::Database(refused) if pg::sqlstate(refused).as_deref() == Some("42501") => {
            Error::MayNotApprove { role: role.to_owned() }
        }
        _ => error.into(),
    }
}
