//! Whether a person has approved a phase: a pure function of the log, the plan and the time.
//!
//! An approval is of what was known when it was given: the plan, the generated SQL and what `plan` had warned of, as one digest.
//! It is void as soon as one of them changes, and it is used up when its phase is done.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{Actor, Entry, Facts, Head, Phase, Program, write};
use crate::plan::Plan;

/// An entry of the log as far as approvals are concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'e> {
    /// When, by the database's clock.
    pub(crate) at: DateTime<Utc>,
    /// Who.
    pub(crate) actor: &'e Actor,
    /// What.
    pub(crate) entry: &'e Entry,
}

/// Where the approval of a phase stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "approval", rename_all = "snake_case")]
pub enum Approval {
    /// The plan does not ask for one.
    NotNeeded,
    /// It is there.
    Given(Given),
    /// Nobody has given one, or it was used up.
    Missing,
    /// There is none that counts.
    Void {
        /// The latest that was given.
        given: Given,
        /// Why it does not count.
        why: Voided,
    },
}

/// An approval, or what somebody has put in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Given {
    /// Who has given it, as they say.
    pub person: String,
    /// As which database role, by the server's word.
    pub role: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Until when it counts.
    pub expires: DateTime<Utc>,
    /// What was said with it.
    pub comment: Option<String>,
    /// Whether it bypasses the approval: the comment is the reason.
    pub bypass: bool,
}

/// Why an approval does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Voided {
    /// Plan, SQL or warnings are not what was approved.
    Changed,
    /// The run was adapted to what others have changed.
    Replanned,
    /// `quiet` or `grace` was tuned.
    Tuned,
    /// The run was rolled back in between.
    RolledBack,
    /// Somebody took it back.
    Revoked,
    /// It is too old.
    Expired,
    /// Whoever gave it has also started the run.
    Own,
}

impl Voided {
    /// Returns why, as the end of a sentence about an approval.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "is of another plan, other SQL or other warnings",
            Self::Replanned => "is older than the last change of the table that the run followed",
            Self::Tuned => "is older than the last change of `quiet` or `grace`",
            Self::RolledBack => "is older than the last rollback",
            Self::Revoked => "was revoked",
            Self::Expired => "has expired",
            Self::Own => {
                "does not count: whoever started the run may not approve it, unless the plan says `approval: { self: true }`"
            }
        }
    }
}

impl Approval {
    /// Whether the phase may be done.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::NotNeeded | Self::Given(_))
    }
}

/// Settings of `tune` that change what was approved; the others only change the pace.
const APPROVED_SETTINGS: [&str; 3] = ["quiet", "grace", "exclusion_lock"];

/// Returns the digest of what an approval is of. `warnings` is what `plan` had warned of when the run was registered.
///
/// # Errors
/// That a part cannot be written as JSON.
pub(crate) fn digest(plan: &Plan, facts: &Facts, program: &Program, warnings: &[String]) -> serde_json::Result<Head> {
    let (plan, facts, program) = (write(plan)?, write(facts)?, write(program)?);
    let mut parts = vec!["approval", &plan, &facts, &program];
    parts.extend(warnings.iter().map(String::as_str));
    Ok(Head::of(&parts))
}

/// Returns what `plan` had warned of when the run was registered.
pub(crate) fn warnings<'e>(log: impl IntoIterator<Item = &'e Entry>) -> &'e [String] {
    let warned = log.into_iter().find_map(|entry| if let Entry::Warned { of } = entry { Some(&**of) } else { None });
    warned.unwrap_or_default()
}

/// Returns where the approval of `phase` stands at `now`, after `log`, of a run whose digest is now `digest`.
pub(crate) fn approval<'e>(
    plan: &Plan,
    digest: &Head,
    phase: Phase,
    log: impl IntoIterator<Item = Line<'e>>,
    now: DateTime<Utc>,
) -> Approval {
    if !plan.approve.contains(&phase) {
        return Approval::NotNeeded;
    }
    let mut starter: Option<&Actor> = None;
    let mut all: Vec<Seen<'_>> = vec![];
    for Line { at, actor, entry } in log {
        let given = |person: &str, comment: Option<&String>, bypass| Given {
            person: person.to_owned(),
            role: actor.role.clone(),
            at,
            expires: at,
            comment: comment.cloned(),
            bypass,
        };
        match entry {
            Entry::Registered => starter = Some(actor),
            Entry::Approved { phase: of, person, comment, digest: seen } if *of == phase => {
                let own = starter.is_none_or(|starter| is_own(starter, actor, person)) && !plan.approval.own;
                all.push((given(person, comment.as_ref(), false), seen, own.then_some(Voided::Own)));
            }
            Entry::ApprovalBypassed { phase: of, person, reason, digest: seen } if *of == phase => {
                all.push((given(person, Some(reason), true), seen, None));
            }
            Entry::ApprovalRevoked { phase: of, .. } if *of == phase => void(&mut all, Voided::Revoked),
            Entry::PhaseDone { phase: of } if *of == phase => all.clear(),
            Entry::Replanned { .. } => void(&mut all, Voided::Replanned),
            Entry::UndoStarted { .. } => void(&mut all, Voided::RolledBack),
            Entry::Tuned { key, .. } if APPROVED_SETTINGS.contains(&key.as_str()) => void(&mut all, Voided::Tuned),
            // What was given in a future that has not come counts from now on.
            Entry::ClockSetBack { .. } => all.iter_mut().for_each(|(given, ..)| given.at = given.at.min(at)),
            _ => {}
        }
    }
    for (given, seen, why) in &mut all {
        given.expires = given.at.checked_add_signed(delta(plan.approval.expiry)).unwrap_or(DateTime::<Utc>::MAX_UTC);
        if why.is_none() && *seen != digest.as_str() {
            *why = Some(Voided::Changed);
        } else if why.is_none() && given.expires <= now {
            *why = Some(Voided::Expired);
        }
    }
    let valid = all.iter().rev().find(|(.., why)| why.is_none()).or(all.last()).cloned();
    match valid {
        None => Approval::Missing,
        Some((given, _, None)) => Approval::Given(given),
        Some((given, _, Some(why))) => Approval::Void { given, why },
    }
}

/// Whether somebody who approves has also started the run: under the same role, which is what the server knows, or the same
/// name, which is what people say. One of two names under one role proves nothing.
pub(crate) fn is_own(starter: &Actor, approver: &Actor, person: &str) -> bool {
    let same = |a: &str, b: &str| a.trim().to_lowercase() == b.trim().to_lowercase();
    starter.role == approver.role || same(&starter.user, person)
}

/// An approval with the digest of what it is of, and why it does not count.
type Seen<'e> = (Given, &'e String, Option<Voided>);

fn void(all: &mut [Seen<'_>], because: Voided) {
    for (.., why) in all {
        why.get_or_insert(because);
    }
}

fn delta(time: Duration) -> TimeDelta {
    TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests;
