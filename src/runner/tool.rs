//! A database with its ledger: what the command line and other programs call.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::catalog::Finding;
use crate::compile::LedgerSchema;
use crate::event::EventSink;
use crate::ledger::LoggedEntry;
use crate::pg::Connector;
use crate::phase::Phase;
use crate::plan::Plan;
use crate::step::Program;
use crate::verify::{Outcome, Side};

/// A database with its ledger, and where events go.
#[derive(Clone)]
pub struct Tool {
    connector: Connector,
}

/// What a call that moves a run has done.
#[derive(Debug, Clone, Serialize)]
pub struct Finish {
    /// The run.
    pub name: String,
    /// The phase it is in.
    pub phase: Phase,
    /// What it is doing.
    pub state: String,
    /// Phases done in this call.
    pub did: Vec<String>,
    /// What it waits for.
    pub waiting_for: Option<String>,
}

/// Where a run stands.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The run.
    pub name: String,
    /// The phase it is in.
    pub phase: Phase,
    /// What it is doing.
    pub state: String,
    /// Rows in all.
    pub rows_total: i64,
    /// Rows done.
    pub rows_done: i64,
    /// Rows a second.
    pub rows_per_second: f64,
    /// Seconds to go.
    pub eta_seconds: Option<f64>,
    /// Rows not equal at the last check.
    pub mismatches: Option<i64>,
    /// Writes through an old column.
    pub old_column_writes: i64,
    /// Writes through a new column.
    pub new_column_writes: i64,
    /// What it waits for.
    pub waiting_for: Option<String>,
    /// Who works on it.
    pub holder: Option<String>,
    /// Statements that set both sides inconsistently.
    pub conflicts: i64,
    /// Seconds since the last write through an old column.
    pub old_quiet_seconds: Option<i64>,
    /// When it was last verified.
    pub verified_at: Option<DateTime<Utc>>,
}

/// What a run will cost, roughly.
#[derive(Debug, Clone, Serialize)]
pub struct Estimates {
    /// Rows in the table.
    pub rows: i64,
    /// WAL written.
    pub wal_bytes: i64,
    /// Seconds of work.
    pub seconds: f64,
}

/// What a run would do.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    /// Its steps.
    pub program: Program,
    /// Its cost.
    pub estimates: Estimates,
    /// What a person should know.
    pub warnings: Vec<Finding>,
    /// What keeps it from being run.
    pub refusals: Vec<Finding>,
    /// Whether no new column is needed.
    pub in_place: bool,
}

#[expect(missing_docs, clippy::missing_errors_doc, reason = "placeholder")]
impl Tool {
    pub fn new(
        connector: Connector,
        _schema: LedgerSchema,
        _actor: String,
        _sink: EventSink,
        _stop: CancellationToken,
    ) -> Self {
        Self { connector }
    }
    async fn nothing<T>(&self) -> Result<T, Error> {
        self.connector.connect("run").await?;
        Err(Error::Blocked { reason: "the runner is not there yet".to_owned() })
    }
    pub async fn preview(&self, _plan: &Plan) -> Result<Preview, Error> {
        self.nothing().await
    }
    pub async fn run(&self, _plan: &Plan, _text: &str, _to: Option<Phase>) -> Result<Finish, Error> {
        self.nothing().await
    }
    pub async fn start(&self, _plan: &Plan, _text: &str) -> Result<Finish, Error> {
        self.nothing().await
    }
    pub async fn advance(&self, _name: &str) -> Result<Finish, Error> {
        self.nothing().await
    }
    pub async fn advance_preview(&self, _name: &str) -> Result<String, Error> {
        self.nothing().await
    }
    pub async fn names(&self) -> Result<Vec<String>, Error> {
        self.connector.connect("status").await?;
        Ok(vec![])
    }
    pub async fn status(&self, _name: &str) -> Result<Status, Error> {
        self.nothing().await
    }
    pub async fn verify(&self, _name: &str, _repair: Option<Side>) -> Result<Outcome, Error> {
        self.nothing().await
    }
    pub async fn pause(&self, _name: &str) -> Result<(), Error> {
        self.nothing().await
    }
    pub async fn resume(&self, _name: &str) -> Result<(), Error> {
        self.nothing().await
    }
    pub async fn tune(&self, _name: &str, _settings: &[(String, String)]) -> Result<(), Error> {
        self.nothing().await
    }
    pub async fn rollback(&self, _name: &str, _to: Option<Phase>) -> Result<Finish, Error> {
        self.nothing().await
    }
    pub async fn history(&self, _name: &str) -> Result<Vec<LoggedEntry>, Error> {
        self.nothing().await
    }
}
