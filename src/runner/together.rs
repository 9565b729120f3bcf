//! What is done to a run and to its parts with one call: approvals, checks of all rows, logs.

use chrono_tz::Tz;
use serde::Serialize;

use super::{Approved, Error, Tool};
use crate::ledger::Record;
use crate::run::{Outcome, Phase, Side};

/// What a check of all rows has found of a run, or why it was not done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// What the run is called.
    pub name: String,
    /// What was found.
    #[serde(flatten)]
    pub outcome: Option<Outcome>,
    /// The zone in which the run's times are shown.
    #[serde(skip)]
    pub zone: Tz,
    /// Why there was nothing to compare, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<String>,
}

impl Tool {
    /// Returns what the run and its parts are called, parts in the order in which they are done, the run last; and the zone of its times.
    async fn all_called(&self, name: &str) -> Result<(Vec<String>, Tz), Error> {
        let run = self.find(name).await?;
        let parts = Box::pin(self.parts_of(&run)).await?;
        let called = parts.into_iter().map(|(part, _)| part.called).chain([name.to_owned()]).collect();
        Ok((called, crate::run::zone(&run.plan)))
    }

    /// Approves a phase of the run and of each of its parts that waits for that or will: [`Tool::approve`] for each. Returns what was
    /// approved, the run itself last.
    ///
    /// # Errors
    /// Those of [`Tool::approve`]; what was approved before one stays so.
    pub async fn approve_with_parts(
        &self,
        name: &str,
        phase: Phase,
        person: Option<&str>,
        comment: Option<&str>,
    ) -> Result<Vec<Approved>, Error> {
        let (mut all, mut none) = (Vec::new(), None);
        for run in self.all_called(name).await?.0 {
            match self.approve(&run, phase, person, comment).await {
                Ok(approved) => all.push(approved),
                Err(error @ (Error::NothingToApprove { .. } | Error::Over { .. })) => none = Some(error),
                Err(error) => return Err(error),
            }
        }
        none.filter(|_| all.is_empty()).map_or(Ok(all), Err)
    }

    /// Takes the approvals of a phase back that are not used up, of the run and of its parts: [`Tool::revoke_approval`] for each. Returns
    /// what the runs are called whose approval was taken back.
    ///
    /// # Errors
    /// Those of [`Tool::revoke_approval`].
    pub async fn revoke_with_parts(
        &self,
        name: &str,
        phase: Phase,
        person: Option<&str>,
    ) -> Result<Vec<String>, Error> {
        let (mut all, mut none) = (Vec::new(), None);
        for run in self.all_called(name).await?.0 {
            match self.revoke_approval(&run, phase, person).await {
                Ok(()) => all.push(run),
                Err(error @ (Error::NotApproved { .. } | Error::Over { .. })) => none = Some(error),
                Err(error) => return Err(error),
            }
        }
        none.filter(|_| all.is_empty()).map_or(Ok(all), Err)
    }

    /// Compares all rows of the run and of its parts: [`Tool::verify`] for each. Returns what was found of each, the run itself last.
    ///
    /// # Errors
    /// Those of [`Tool::verify`]; that there is nothing to compare only where that is so of all of them.
    pub async fn verify_with_parts(&self, name: &str, repair: Option<Side>) -> Result<Vec<Compared>, Error> {
        let (mut all, mut none) = (Vec::new(), None);
        let (called, zone) = self.all_called(name).await?;
        for run in called {
            let (outcome, not_compared) = match Box::pin(self.verify(&run, repair)).await {
                Ok(outcome) => (Some(outcome), None),
                Err(
                    error @ (Error::NothingToCompare { .. }
                    | Error::ComparesNothing { .. }
                    | Error::NotFilledYet { .. }),
                ) => {
                    let why = error.to_string();
                    none = Some(error);
                    (None, Some(why))
                }
                Err(error) => return Err(error),
            };
            all.push(Compared { name: run, outcome, zone, not_compared });
        }
        let nothing = all.iter().all(|compared| compared.outcome.is_none());
        none.filter(|_| nothing).map_or(Ok(all), Err)
    }

    /// Returns the runs of the parts of these runs, which have one name, with their logs as they are stored.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn attempts_of_parts(&self, runs: &[Record]) -> Result<Vec<Record>, Error> {
        let mut all: Vec<Record> = Vec::new();
        for run in runs {
            for part in run.parts() {
                if all.iter().any(|other| other.name == part) {
                    continue;
                }
                let attempts = self.attempts(&part).await?;
                all.extend(attempts.into_iter().filter(|attempt| attempt.part_of().as_deref() == Some(&run.name)));
            }
        }
        Ok(all)
    }
}
