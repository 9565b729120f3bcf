//! What a report of a run shows besides its state: what was asked, what was done when and by whom, what was measured, and whether it
//! came out as it should.

mod course;
mod criteria;
mod statements;
mod timeline;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::{RunView, one};
use crate::ledger::{Check, LedgerError, LoggedEntry, Run};
use crate::pg;
use crate::plan::Plan;
use crate::run::{Actor, Broken, Counts, Entry, Head, ObjectCount};
use crate::runner::{Error, Tool, digest_of, server_clock};

pub use course::{Course, CoursePoint, Felt};
pub use criteria::{Criterion, Judgement};
pub use statements::{StepCourse, StepState};
pub use timeline::{PhaseCourse, PhaseState, Span, Timeline};

/// A run, as a report shows it.
#[derive(Debug, Clone, Serialize)]
pub struct ReportView {
    /// The state, as `status` shows it.
    pub run: RunView,
    /// When all this was read, by the server's clock.
    pub at: DateTime<Utc>,
    /// The database.
    pub database: String,
    /// The server's version.
    pub server: String,
    /// The digest of plan, SQL and warnings as they are now: what an approval is of.
    pub digest: Head,
    /// What was asked for.
    pub asked: Asked,
    /// When which phase was worked on.
    pub timeline: Timeline,
    /// How many objects the tables had, and have.
    pub objects: Vec<ObjectCount>,
    /// The course of the backfill; `None` before it begins, and for a run without one.
    pub course: Option<Course>,
    /// What the latest check of each table found, and of what it counts.
    pub certificates: Vec<Certificate>,
    /// Whether the run came out as it should.
    pub criteria: Vec<Criterion>,
    /// Who worked on it, in the order in which they came.
    pub actors: Vec<Worked>,
    /// What persons have decided: entries of the log.
    pub decisions: Vec<LoggedEntry>,
    /// The steps, with their SQL.
    pub steps: Vec<StepCourse>,
    /// The log, oldest first.
    pub log: Vec<LoggedEntry>,
    /// Where the chain of the log's hashes does not hold; `None` where it holds.
    pub broken: Option<Broken>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Asked {
    /// The table.
    pub table: String,
    /// The plan.
    #[serde(skip)]
    pub plan: Plan,
    /// The text of the plan's file.
    pub plan_text: String,
    /// The fingerprint of the plan.
    pub fingerprint: String,
    /// When the run was registered.
    pub at: DateTime<Utc>,
    /// By whom.
    pub by: Option<Actor>,
    /// What `plan` had warned of then.
    pub warnings: Vec<String>,
}

/// What a check has found, and of what that counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Certificate {
    /// The table, the moment, the counts, and what they are of.
    #[serde(flatten)]
    pub check: Check,
    /// The entry of the log that says so; `None` if there is none.
    pub entry: Option<i64>,
    /// The hash of that entry, which stands for the log up to there.
    pub head: Option<Head>,
}

impl Certificate {
    /// Returns the counts by class.
    pub fn counts(&self) -> &Counts {
        &self.check.counts
    }
}

/// Somebody who worked on a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Worked {
    /// Who.
    pub actor: Actor,
    /// The time of the first entry.
    pub first: DateTime<Utc>,
    /// The time of the last entry.
    pub last: DateTime<Utc>,
    /// How many entries of the log are theirs.
    pub entries: usize,
}

pg::columns!(
    struct Where {
        database: String,
        server: String,
    }
);

impl Tool {
    /// Returns all that a report of the run shows. Changes nothing, and needs no more rights than [`Tool::status`].
    ///
    /// # Errors
    /// The ledger's.
    pub async fn report(&self, name: &str) -> Result<ReportView, Error> {
        let mut connection = self.connect().await?;
        let connection: &mut PgConnection = &mut connection;
        let run = self.ledger.log().find(connection, name).await?;
        let record = self.ledger.log().record_of(connection, run.id).await?;
        let log = record.log()?;
        let status = one(&self.ledger, connection, &run, &log).await?;
        let state = run.replay(&log).map_err(LedgerError::from)?;
        let at = server_clock(connection).await?;
        let progress = self.ledger.progress();
        let samples = progress.samples(connection, run.id).await?;
        let began = progress.fill_began(connection, run.id).await?;
        let goal = run.plan.backfill.goal_latency.map(|goal| goal.as_secs_f64());
        let course = began.map(|began| Course::of(began, &samples, goal));
        let checks = progress.checks(connection, run.id).await?;
        let certificates: Vec<_> = checks.into_iter().map(|check| certificate(check, &log)).collect();
        let objects = progress.objects(connection, run.id).await?;
        let broken = record.broken();
        let contract = progress.contract(connection, &run).await?;
        let found = criteria::Found {
            contract: &contract,
            run: &run,
            state: &state,
            log: &log,
            status: &status,
            certificates: &certificates,
            felt: course.as_ref().and_then(|course| course.felt.as_ref()),
            broken: broken.as_ref(),
        };
        let select = "SELECT pg_catalog.current_database()::text AS database, pg_catalog.current_setting('server_version') AS server";
        let Where { database, server } = pg::query_as(select).fetch_one(connection).await.map_err(LedgerError::from)?;
        Ok(ReportView {
            at,
            database,
            server,
            digest: digest_of(&run, &log)?,
            asked: asked(&run, &log),
            timeline: Timeline::of(&run, &state, &log, at),
            objects,
            criteria: criteria::judged(&found),
            course,
            certificates,
            actors: actors(&log),
            decisions: log.iter().filter(|line| is_decision(&line.entry)).cloned().collect(),
            steps: statements::steps(&run, &state, &log),
            log,
            broken,
            run: status,
        })
    }
}

fn asked(run: &Run, log: &[LoggedEntry]) -> Asked {
    let warned = log.iter().filter_map(|line| match &line.entry {
        Entry::Warned { of } => Some(of.clone()),
        _ => None,
    });
    let registered = log.iter().find(|line| matches!(line.entry, Entry::Registered));
    Asked {
        table: run.plan.table.to_string(),
        plan: run.plan.clone(),
        plan_text: run.plan_text.clone(),
        fingerprint: run.fingerprint.clone(),
        at: run.created_at,
        by: registered.map(|line| line.actor.clone()),
        warnings: warned.flatten().collect(),
    }
}

/// Returns the check beside the entry of the log that tells of it: the first that follows it.
fn certificate(check: Check, log: &[LoggedEntry]) -> Certificate {
    let tells = |line: &&LoggedEntry| {
        line.at >= check.at && matches!(&line.entry, Entry::Verified { counts } if *counts == check.counts)
    };
    let line = log.iter().find(tells);
    Certificate { entry: line.map(|line| line.seq), head: line.map(|line| line.head.clone()), check }
}

/// Whether a person has decided what the entry says.
fn is_decision(entry: &Entry) -> bool {
    matches!(
        entry,
        Entry::Registered
            | Entry::Approved { .. }
            | Entry::ApprovalRevoked { .. }
            | Entry::ApprovalBypassed { .. }
            | Entry::Consented { .. }
            | Entry::EvidenceAccepted { .. }
            | Entry::Paused
            | Entry::Resumed
            | Entry::Tuned { .. }
            | Entry::Repaired { .. }
            | Entry::UndoStarted { .. }
    )
}

fn actors(log: &[LoggedEntry]) -> Vec<Worked> {
    let mut found: Vec<Worked> = Vec::new();
    for line in log {
        match found.iter_mut().find(|of| of.actor == line.actor) {
            Some(of) => (of.last, of.entries) = (line.at, of.entries + 1),
            None => found.push(Worked { actor: line.actor.clone(), first: line.at, last: line.at, entries: 1 }),
        }
    }
    found
}
