//! Why a command could not do what it was asked to do.

use super::no_cleanup::NoCleanup;
use super::not_yet::NotYet;
use crate::amounts;
use crate::catalog::{Finding, NotThere};
use crate::engine;
use crate::event::Blocker;
use crate::ident::{IdentError, PlanName, TableName};
use crate::ledger::{LeaseError, LedgerError};
use crate::pg;
use crate::plan::PlanErrors;
use crate::run::{Outcome, Phase, Standing, StepKey};

/// Why a command could not do what it was asked to do. Each kind says what a caller can do about it; the command line gives
/// each a stable code, an exit code and hints.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something in the catalog rules the plan out. Nothing was changed.
    #[error("the plan cannot be run on this database: {} found, nothing was changed", amounts::count(.findings.len(), "problem"))]
    Refused {
        /// All of them.
        findings: Vec<Finding>,
    },
    /// A table, a column or a type that somebody has named is not there.
    #[error("{what}")]
    NotThere {
        /// The sentence that says so.
        what: String,
        /// What may have been meant.
        near: Option<String>,
    },
    /// A new column cannot have this name.
    #[error("`{}` cannot be the name of a column: {why}", crate::sql::one_line(.name))]
    NoName {
        /// The name.
        name: String,
        /// Why not.
        why: IdentError,
    },
    /// No plan can say what is wanted.
    #[error(transparent)]
    Unwritable(PlanErrors),
    /// The plan file is not the one the run was started with.
    #[error(
        "plan {name} was edited after its run began. Restore the file, or roll the run back and start again; `crossfade tune` changes the pace of a run"
    )]
    PlanEdited {
        /// The plan's name.
        name: String,
    },
    /// A gate is closed. It opens with time, or by what somebody else does.
    #[error(transparent)]
    NotYet(NotYet),
    /// Another process leads the run.
    #[error("{holder} is working on run {name}; if that process is gone, its lease expires in {seconds:.0} s")]
    Held {
        /// The run.
        name: PlanName,
        /// Who: user, host, process.
        holder: String,
        /// Seconds until its lease expires unless it is renewed.
        seconds: f64,
        /// Whether it fills rows, so that other processes may join it.
        filling: bool,
    },
    /// Somebody paused the run.
    #[error("run {name} is paused{}", paused_by(.by.as_ref()))]
    Paused {
        /// The run.
        name: PlanName,
        /// Who paused it; `None` where that was not looked up.
        by: Option<String>,
    },
    /// The run has ended.
    #[error("run {name} is {state}: there is nothing left to pause, resume or tune")]
    Over {
        /// The run.
        name: String,
        /// How it ended.
        state: Standing,
    },
    /// The phase is none that waits for an approval.
    #[error("{}", nothing_to_approve(.name, *.phase, *.is_past, .phases))]
    NothingToApprove {
        /// The run.
        name: String,
        /// The phase.
        phase: Phase,
        /// Whether it is done.
        is_past: bool,
        /// The phases that the plan lets wait for an approval.
        phases: Vec<Phase>,
    },
    /// Whoever approves has also started the run.
    #[error(
        "{} has started run {name}, and {person} (role {role}) is the same by role or by name: somebody else must approve it, as another role", crate::sql::one_line(.starter)
    )]
    OwnApproval {
        /// The run.
        name: String,
        /// Who has started it.
        starter: String,
        /// The role that would approve.
        role: String,
        /// Who would approve, as they say.
        person: String,
    },
    /// The role may not approve anything.
    #[error(
        "role {role} may not approve: it needs EXECUTE on the functions `approve` and `revoke_approval` of the ledger"
    )]
    MayNotApprove {
        /// The role.
        role: String,
    },
    /// There is no approval that could be taken back.
    #[error("there is no valid approval of {phase} of run {name}, so there is nothing to revoke")]
    NotApproved {
        /// The run.
        name: String,
        /// The phase.
        phase: Phase,
    },
    /// The run is a part of another, which moves it.
    #[error("run {name} is a part of run {of}, which moves it when its turn comes")]
    Part {
        /// The run.
        name: String,
        /// The run of the key.
        of: PlanName,
    },
    /// The run is being taken back.
    #[error("run {name} is being rolled back, which must be finished first")]
    RollingBack {
        /// The run.
        name: PlanName,
    },
    /// The run was taken back while this process was at work on it.
    #[error("run {name} was rolled back")]
    RolledBack {
        /// The run.
        name: PlanName,
    },
    /// There is no backfill that this process could join, as things stand.
    #[error("{why}")]
    CannotJoin {
        /// Why not.
        why: NoJoin,
    },
    /// The connection goes through a transaction pooler.
    #[error(
        "this connection goes through a transaction pooler; give crossfade a direct connection to PostgreSQL (applications can keep the pooler)"
    )]
    Pooler,
    /// There is no room for the connections that a run needs at the same time.
    #[error(
        "crossfade needs {needed} connections at the same time for this, and only {got} got an answer{}",
        if .said.is_empty() { String::new() } else { format!(" (the next one: {said})") }
    )]
    TooFewConnections {
        /// How many it needs.
        needed: usize,
        /// How many there were.
        got: usize,
        /// What the next one said, if it said anything.
        said: String,
    },
    /// The server did not take the settings of a session.
    #[error(
        "the server ignored the session's timeouts (lock_timeout {lock_timeout}, statement_timeout {statement_timeout}); connect directly if a pooler is in between"
    )]
    SessionNotSet {
        /// What `lock_timeout` is.
        lock_timeout: String,
        /// What `statement_timeout` is.
        statement_timeout: String,
    },
    /// The server has been away for as long as a run waits for it.
    #[error("the server has been unreachable for a minute ({last}); run again when it is back, nothing is lost")]
    Unreachable {
        /// What the last try said.
        last: String,
    },
    /// A setting that does not exist, or that cannot have this value.
    #[error("{reason}")]
    Misconfigured {
        /// The setting.
        key: String,
        /// What is wrong, with the key and what it takes.
        reason: String,
    },
    /// The server refuses a setting that the plan asks for.
    #[error("the server refuses `backfill.{key}` of the plan ({said})")]
    SettingRefused {
        /// The key of the plan, under `backfill`.
        key: &'static str,
        /// What the server said.
        said: String,
        /// What may help.
        help: String,
    },
    /// The run cannot go back to the end of this phase.
    #[error("the run is in {phase}; it can go back to the end of an earlier phase, not of {to}")]
    NotEarlier {
        /// The phase the run is in.
        phase: Phase,
        /// The phase that was asked for.
        to: Phase,
    },
    /// The run does not have this phase.
    #[error("run {name} has no phase {to}; its phases are {}", listed(.phases))]
    NoSuchPhase {
        /// The run.
        name: String,
        /// The phase that was asked for.
        to: Phase,
        /// The phases that it has.
        phases: Vec<Phase>,
    },
    /// A column that was NOT NULL cannot be so again.
    #[error(
        "column \"{column}\" of {table} has no value in {rows}, and was NOT NULL until it was retired; give them one (UPDATE ... SET \"{column}\" = ... WHERE \"{column}\" IS NULL), then roll back again"
    )]
    Nulls {
        /// How many, in words.
        rows: String,
        /// The table.
        table: TableName,
        /// The column, under the name that it has now.
        column: String,
    },
    /// The step cannot be undone.
    #[error("step {step} cannot be undone: {why}")]
    PointOfNoReturn {
        /// The step.
        step: StepKey,
        /// Why not.
        why: String,
    },
    /// Going back would lose values.
    #[error(
        "in {} of {table} only the new column has a value: it has no way back, and after the rollback applications would read NULL. Give these rows a value in the old column ({}), then roll back again",
        amounts::plural(*.rows, "row"), .empty.join(" or ")
    )]
    WouldLose {
        /// Rows that hold such a value.
        rows: i64,
        /// The table.
        table: TableName,
        /// What is true of such rows, for each pair of columns.
        empty: Vec<String>,
    },
    /// The application writes through the new column while it was being proved that going back loses nothing.
    #[error(
        "applications write to the new column, and such a value may have no way back; stop the new release, then roll back again"
    )]
    WrittenMeanwhile,
    /// Something hangs on the column that is to be dropped.
    #[error(
        "the retired column cannot be dropped, because these objects depend on it: {}; move or drop them, then run again",
        .names.join(", ")
    )]
    Dependants {
        /// What hangs on it, in words.
        names: Vec<String>,
    },
    /// What a step needs was made to hold again and again, and did not last.
    #[error(
        "a condition of step {step} was restored {tries} times, but did not last until its transaction; check whether somebody else is changing the table or its trigger"
    )]
    DoesNotLast {
        /// The step.
        step: StepKey,
        /// How often it was made to hold.
        tries: u32,
    },
    /// A lock could not be acquired.
    #[error("step {step} could not acquire its lock in {attempts} attempts{}", blocked_by(.blockers))]
    Locked {
        /// The step.
        step: StepKey,
        /// How many attempts were made.
        attempts: u32,
        /// Who blocked the last attempt.
        blockers: Vec<Blocker>,
    },
    /// A row stayed locked for longer than a repair waits.
    #[error("a row on page {page} of table {table} stays locked; run the repair again later")]
    RowStaysLocked {
        /// The table.
        table: TableName,
        /// The page.
        page: u32,
    },
    /// Rows are not equal.
    #[error("{} of {} rows are not equal ({} empty, {} different, {} unconverted)", .0.counts.mismatches(), .0.counts.rows, .0.counts.empty, .0.counts.different, .0.counts.unconverted)]
    Mismatch(Outcome),
    /// The run has not got both columns now.
    #[error("run {name} does not have both columns now, so there is nothing to compare")]
    NothingToCompare {
        /// The run.
        name: String,
        /// Whether it will have them, and has only not come so far.
        yet_to_come: bool,
    },
    /// The run never has two columns to compare.
    #[error("run {name} keeps no two columns equal, so there is nothing to compare")]
    ComparesNothing {
        /// The run.
        name: String,
    },
    /// Rows are to be repaired that the backfill has not filled yet.
    #[error("the backfill of run {name} is not done: rows that it has not filled yet need no repair")]
    NotFilledYet {
        /// The run.
        name: PlanName,
    },
    /// The table got another file while its rows were compared.
    #[error("table {table} was rewritten during the check, so the result is void; run it again")]
    Rewritten {
        /// The table.
        table: TableName,
    },
    /// The backfill came to its end without having seen every page.
    #[error("the backfill ended, but {what}; run it again")]
    NotCovered {
        /// What is missing, as a clause.
        what: String,
    },
    /// There is no table in the part of the database that was asked about.
    #[error("there is no {what} in database \"{database}\"")]
    NothingThere {
        /// What there is not.
        what: String,
        /// The database.
        database: String,
        /// Tables of that name elsewhere.
        near: Vec<String>,
    },
    /// The table is not there any more.
    #[error("table {table} is gone")]
    TableGone {
        /// The table.
        table: TableName,
    },
    /// The catalog does not agree with the ledger.
    #[error("the database is not in the state that the ledger describes: {}", .facts.join("; "))]
    Drifted {
        /// What does not hold.
        facts: Vec<String>,
    },
    /// Others made something on the new column, which a rollback drops.
    #[error(
        "rolling back would drop what others made on the new column since the run began: {}; drop it yourself if it may go, then roll back again",
        .what.join(", ")
    )]
    MadeOnNew {
        /// What, in words.
        what: Vec<String>,
    },
    /// The database is a copy of the one in which the run began.
    #[error(
        "run {name} was started in another database, of which this one is a copy (restored from a dump, or upgraded by pg_upgrade); nothing was changed"
    )]
    Copied {
        /// The run.
        name: String,
        /// The schema of the ledger.
        schema: String,
    },
    /// Nothing was removed from the database.
    #[error(transparent)]
    NotCleaned {
        /// Why.
        why: NoCleanup,
    },
    /// Told to stop; everything done so far is recorded.
    #[error("stopped; everything done so far is recorded, and the next `crossfade run` continues from there")]
    Interrupted,
    /// A statement of a step failed.
    #[error("step {step} failed: {error}")]
    Step {
        /// The step.
        step: StepKey,
        /// The server's message.
        error: String,
    },
    /// With the new names, an UPDATE that works now would fail.
    #[error("step {step} was undone: with the new names an UPDATE fails that works now: {error}")]
    WriteFails {
        /// The step.
        step: StepKey,
        /// The server's message, and in whose code it was raised.
        error: String,
    },
    /// A step would have had its table locked for longer than the plan accepts.
    #[error(
        "step {step} was given up, and nothing of it is left: it may lock the table for {}, and was not done by then: {error}", amounts::duration(.limit.as_secs_f64())
    )]
    LockedTooLong {
        /// The step.
        step: StepKey,
        /// For how long it may.
        limit: std::time::Duration,
        /// The server's message.
        error: String,
    },
    /// A statement that takes a step back failed.
    #[error("step {step} could not be taken back: {error}")]
    UndoFailed {
        /// The step.
        step: StepKey,
        /// The server's message.
        error: String,
    },
    /// A step asks for a check that the run's program does not have: a bug.
    #[error("step {step} needs a check that the run does not have")]
    NoCheck {
        /// The step.
        step: StepKey,
    },
    /// The catalog could not be read.
    #[error(transparent)]
    Catalog(#[from] crate::catalog::CatalogError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The server's error.
    #[error("{}", pg::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// Why the backfill of a run cannot be joined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoJoin {
    /// Its program has none.
    #[error("run {name} has no backfill")]
    NoBackfill {
        /// The run.
        name: PlanName,
    },
    /// It was taken back.
    #[error("run {name} was rolled back: there is no backfill to join")]
    RolledBack {
        /// The run.
        name: PlanName,
    },
    /// It is being taken back to before it began.
    #[error("run {name} is being rolled back: there is no backfill to join")]
    RollingBack {
        /// The run.
        name: PlanName,
    },
    /// A step failed, and waits for a person.
    #[error("run {name} failed: {error}")]
    Failed {
        /// The run.
        name: PlanName,
        /// What went wrong.
        error: String,
    },
    /// The catalog does not agree with the ledger, and a person must look.
    #[error("the database is not in the state that run {name} expects: {error}")]
    Drifted {
        /// The run.
        name: PlanName,
        /// In what.
        error: String,
    },
}

impl From<LeaseError> for Error {
    fn from(error: LeaseError) -> Self {
        Self::Ledger(LedgerError::Lease(error))
    }
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        match error {
            engine::Error::Interrupted => Self::Interrupted,
            engine::Error::TableGone { table } => Self::TableGone { table },
            engine::Error::Rewritten { table } => Self::Rewritten { table },
            engine::Error::RowStaysLocked { table, page } => Self::RowStaysLocked { table, page },
            engine::Error::SettingRefused { key, said, help } => Self::SettingRefused { key, said, help },
            engine::Error::NotCovered { what } => Self::NotCovered { what },
            engine::Error::SessionNotSet { lock_timeout, statement_timeout } => {
                Self::SessionNotSet { lock_timeout, statement_timeout }
            }
            engine::Error::Ledger(error) => Self::Ledger(error),
            engine::Error::Statement { step, statement, error } => Self::failed(&step, &statement, &error),
            engine::Error::IndexTaken { step, index } => {
                Self::Step { step, error: format!("an index {index} exists and does not belong to this step") }
            }
            engine::Error::Database(error) => Self::Database(error),
        }
    }
}

impl Error {
    /// Returns the error of a step whose statement failed for good.
    pub(super) fn failed(step: &StepKey, statement: &str, error: &sqlx::Error) -> Self {
        let said = pg::describe(error);
        // Of a block, the server says the statement in it; `plan` shows it whole.
        let error = if statement.starts_with("DO ") { said } else { format!("{said}; the statement was: {statement}") };
        Self::Step { step: step.clone(), error }
    }

    /// Returns the server's error at the bottom, if there is one.
    pub fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Database(error)
            | Self::Ledger(LedgerError::Database(error) | LedgerError::Lease(LeaseError::Database(error)))
            | Self::Catalog(crate::catalog::CatalogError::Database { source: error, .. }) => Some(error),
            _ => None,
        }
    }

    /// Returns the class of the server's error, or [`pg::ErrorClass::Other`].
    pub(crate) fn class(&self) -> pg::ErrorClass {
        self.database().map_or(pg::ErrorClass::Other, pg::class_of)
    }
}

fn nothing_to_approve(name: &str, phase: Phase, is_past: bool, phases: &[Phase]) -> String {
    match phases {
        _ if is_past => format!("{phase} of run {name} is done"),
        [] => format!("the plan of run {name} has no phase that needs an approval"),
        phases => format!("{phase} of run {name} needs no approval; what does is {}", listed(phases)),
    }
}

fn paused_by(who: Option<&String>) -> String {
    who.map(|who| format!(" by {who}")).unwrap_or_default()
}

fn listed(phases: &[Phase]) -> String {
    phases.iter().map(Phase::to_string).collect::<Vec<_>>().join(", ")
}

fn blocked_by(blockers: &[Blocker]) -> String {
    if blockers.is_empty() {
        return String::new();
    }
    let names: Vec<_> = blockers.iter().map(ToString::to_string).collect();
    format!("; blocked by {}", names.join("; "))
}

impl From<NotThere> for Error {
    fn from(NotThere { what, near }: NotThere) -> Self {
        Self::NotThere { what, near }
    }
}
