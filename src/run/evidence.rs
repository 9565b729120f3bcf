//! Who still uses a column that is about to go, as far as anybody can see it. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Actor, Entry, GateKind, GateReading, Phase};
use crate::amounts::{duration, plural};

/// What was found of the use of the columns that a run takes away.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Evidence {
    /// Who uses them, the latest first.
    pub uses: Vec<Use>,
    /// What was lost while the run went on: of that time it is not known who used them.
    pub lost: Vec<String>,
    /// What cannot be seen here at all.
    pub unseen: Vec<String>,
}

/// Somebody who uses a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Use {
    /// Who, and how.
    #[serde(flatten)]
    pub by: User,
    /// The column.
    pub column: String,
    /// When that was last noticed; `None` for what lasts until somebody changes it.
    pub last: Option<DateTime<Utc>>,
}

/// Who uses a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum User {
    /// A client, whose session's latest statement named it.
    Client {
        /// Its `application_name`.
        application: String,
        /// The role that it logged in as.
        role: String,
        /// Its address; `local` through a socket.
        address: String,
        /// When it was first noticed.
        first: DateTime<Utc>,
        /// The statement, without literals.
        statement: String,
    },
    /// A statement of `pg_stat_statements` that names it, and was called since `switch` began.
    Statement {
        /// The role that runs it.
        role: String,
        /// How often it was called since.
        calls: i64,
        /// The statement, without literals.
        statement: String,
    },
    /// A function or view that names it.
    Object {
        /// What it is, and its name.
        object: String,
        /// The line of its text, from 1, where it has one.
        line: Option<usize>,
    },
    /// Writes that the sync trigger has counted.
    Writes {
        /// In how many seconds there were any.
        seconds: i64,
    },
}

impl Use {
    /// Returns who uses it, without what changes from one look to the next: whoever accepts it accepts the same tomorrow.
    pub fn subject(&self) -> String {
        let column = &self.column;
        match &self.by {
            User::Client { application, role, address, statement, .. } => {
                let application = if application.is_empty() { "a client" } else { application };
                format!("{application} (role {role}, {address}) names {column}: {statement}")
            }
            User::Statement { role, statement, .. } => format!("role {role} names {column}: {statement}"),
            User::Object { object, line: Some(line) } => format!("{object} may use {column} (line {line} of its text)"),
            User::Object { object, line: None } => format!("{object} uses {column}"),
            User::Writes { .. } => format!("somebody writes {column}"),
        }
    }

    /// Returns who uses it, how often, and for how long that is past at `at`.
    pub fn told(&self, at: DateTime<Utc>) -> String {
        let often = match &self.by {
            User::Statement { calls, .. } => format!(", {} since switch began", plural(*calls, "call")),
            User::Writes { seconds } => format!(", in {} since expand", plural(*seconds, "second")),
            User::Client { .. } | User::Object { .. } => String::new(),
        };
        let ago = |last: DateTime<Utc>| {
            let past = (at - last).to_std().unwrap_or_default();
            format!(", last {} ago", duration(past.as_secs_f64()))
        };
        format!("{}{often}{}", self.subject(), self.last.map(ago).unwrap_or_default())
    }

    /// Returns whether it counts at `at`, where nobody may have used the column for `window`.
    fn counts(&self, window: chrono::Duration, at: DateTime<Utc>) -> bool {
        self.last.is_none_or(|last| at.signed_duration_since(last) < window)
    }
}

/// What somebody has accepted, and with what reasons.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Accepted {
    subjects: BTreeSet<String>,
    /// Who it was, and why; the latest.
    pub(crate) by: Option<(String, String)>,
}

impl Accepted {
    /// Returns what was accepted in this log, of who wrote each entry with the entry, since `switch` began.
    pub(crate) fn of<'e>(log: impl DoubleEndedIterator<Item = (&'e Actor, &'e Entry)>) -> Self {
        let mut accepted = Self::default();
        let begins = |entry: &Entry| matches!(entry, Entry::PhaseStarted { phase: Phase::Switch, .. });
        for (actor, entry) in log.rev().take_while(|(_, entry)| !begins(entry)) {
            if let Entry::EvidenceAccepted { reason, evidence } = entry {
                accepted.subjects.extend(evidence.iter().cloned());
                accepted.by.get_or_insert_with(|| (actor.to_string(), reason.clone()));
            }
        }
        accepted
    }
}

impl Evidence {
    /// Returns what counts at `at` and was not accepted, as subjects: uses, then what was lost.
    pub(crate) fn open(&self, window: Duration, accepted: &Accepted, at: DateTime<Utc>) -> Vec<String> {
        let uses = self.counting(window, accepted, at).map(Use::subject);
        uses.chain(self.missing(accepted).cloned()).collect()
    }

    fn counting<'e>(
        &'e self,
        window: Duration,
        accepted: &'e Accepted,
        at: DateTime<Utc>,
    ) -> impl Iterator<Item = &'e Use> {
        let window = chrono::Duration::from_std(window).unwrap_or(chrono::Duration::MAX);
        self.uses.iter().filter(move |of| of.counts(window, at) && !accepted.subjects.contains(&of.subject()))
    }

    fn missing<'e>(&'e self, accepted: &'e Accepted) -> impl Iterator<Item = &'e String> {
        self.lost.iter().filter(|lost| !accepted.subjects.contains(*lost))
    }

    /// Returns whether nobody uses the columns, where nobody may have used them for `window`.
    pub(crate) fn judge(&self, window: Duration, accepted: &Accepted, at: DateTime<Utc>) -> GateReading {
        const KIND: GateKind = GateKind::Unused;
        let time = duration(window.as_secs_f64());
        if window.is_zero() {
            return GateReading::pass(KIND, "the plan asks for no quiet time");
        }
        let uses: Vec<_> = self.counting(window, accepted, at).collect();
        let lost: Vec<_> = self.missing(accepted).map(String::as_str).collect();
        if let [first, more @ ..] = uses.as_slice() {
            let more = if more.is_empty() { String::new() } else { format!("; and {} more", more.len()) };
            let reason = format!("{}{more}; nobody may use it for {time}", first.told(at));
            let moments = uses.iter().map(|of| of.last).collect::<Option<Vec<_>>>().filter(|_| lost.is_empty());
            let newest = moments.and_then(|all| all.into_iter().max());
            let window = chrono::Duration::from_std(window).unwrap_or(chrono::Duration::MAX);
            let opens = newest.and_then(|newest| newest.checked_add_signed(window));
            return GateReading::fail(KIND, reason).since(first.last).opens(opens);
        }
        if !lost.is_empty() {
            let reason = format!("{}: who has used the old column before is not known", lost.join("; "));
            return GateReading::unknown(KIND, reason);
        }
        let reason = match &accepted.by {
            Some((actor, why)) => format!("evidence of use was accepted by {actor}: {why}"),
            None => format!("nobody was seen to use the old column for {time}"),
        };
        let unseen =
            if self.unseen.is_empty() { String::new() } else { format!("; not looked at: {}", self.unseen.join("; ")) };
        GateReading::pass(KIND, reason + &unseen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Verdict;

    const MINUTE: Duration = Duration::from_mins(1);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn client(last: i64) -> Use {
        let by = User::Client {
            application: "report".to_owned(),
            role: "app".to_owned(),
            address: "local".to_owned(),
            first: at(-99),
            statement: "SELECT status FROM vehicles".to_owned(),
        };
        Use { by, column: "status".to_owned(), last: Some(at(last)) }
    }

    fn function() -> Use {
        let by = User::Object { object: "function app.f()".to_owned(), line: Some(3) };
        Use { by, column: "status".to_owned(), last: None }
    }

    fn accepting(evidence: &[&str]) -> Accepted {
        let evidence = evidence.iter().map(|&text| text.to_owned()).collect();
        let entry = Entry::EvidenceAccepted { reason: "known".to_owned(), evidence };
        Accepted::of([(&"anna".into(), &entry)].into_iter())
    }

    #[test]
    fn a_use_counts_until_it_is_as_old_as_the_window() {
        let evidence = Evidence { uses: vec![client(0)], ..Evidence::default() };
        let read = |seconds| evidence.judge(MINUTE, &Accepted::default(), at(seconds));
        insta::assert_snapshot!(read(59).reason, @"report (role app, local) names status: SELECT status FROM vehicles, last 59 s ago; nobody may use it for 1 min");
        assert_eq!((read(59).verdict, read(59).opens), (Verdict::Fail, Some(at(60))));
        assert_eq!(
            (read(60).verdict, read(60).reason.as_str()),
            (Verdict::Pass, "nobody was seen to use the old column for 1 min")
        );
        assert!(evidence.judge(Duration::ZERO, &Accepted::default(), at(0)).is_open());
    }

    #[test]
    fn what_lasts_or_was_lost_opens_by_being_accepted_only() {
        let lost = vec!["pg_stat_statements was reset".to_owned()];
        let evidence = Evidence { uses: vec![function()], lost, unseen: vec![] };
        let read = |accepted: &Accepted| evidence.judge(MINUTE, accepted, at(1_000_000));
        let none = read(&Accepted::default());
        assert_eq!((none.verdict, none.opens), (Verdict::Fail, None));
        let use_ = function().subject();
        assert_eq!(read(&accepting(&[&use_])).verdict, Verdict::Unknown);
        let both = read(&accepting(&[&use_, "pg_stat_statements was reset"]));
        assert_eq!(
            (both.verdict, both.reason.as_str()),
            (Verdict::Pass, "evidence of use was accepted by anna: known")
        );
        // Whoever comes later was not accepted.
        let later = Evidence { uses: vec![client(0), function()], ..Evidence::default() };
        assert_eq!(later.open(MINUTE, &accepting(&[&use_]), at(1)), [client(0).subject()]);
    }
}
