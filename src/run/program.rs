//! A step is data: what to do, how to tell from the catalog that it is done, how to undo it. The dry run prints the
//! same value that the runner executes, and the ledger keeps it, so a newer crossfade finishes a run with the SQL
//! it was started with.

use super::{CompareSpec, FillSpec, Phase};
use serde::{Deserialize, Serialize};

use crate::ident::{RunTag, StepId, TableName};
use crate::sql::LockMode;

/// Everything a run does, in order. Compiled once from plan and facts, then kept in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// The table all steps work on.
    pub table: TableName,
    /// The tag in the names of the run's objects.
    pub tag: RunTag,
    /// The phases in the order of this run.
    pub phases: Vec<Phase>,
    /// The steps in order; steps of one phase stand together.
    pub steps: Vec<Step>,
}

impl Program {
    /// Returns the step with this id.
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
    }

    /// Returns the phase after `phase` in this run, or `None` after the last.
    pub fn phase_after(&self, phase: Phase) -> Option<Phase> {
        let at = self.phases.iter().position(|p| *p == phase)?;
        self.phases.get(at + 1).copied()
    }

    /// Returns whether `a` comes before `b` in this run.
    pub fn is_before(&self, a: Phase, b: Phase) -> bool {
        let position = |phase: Phase| self.phases.iter().position(|p| *p == phase);
        position(a) < position(b)
    }

    /// Returns the steps of `phase`, in order.
    pub fn steps_of(&self, phase: Phase) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.phase == phase)
    }
}

/// The smallest unit of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Unique in the run.
    pub id: StepId,
    /// The phase it belongs to.
    pub phase: Phase,
    /// What it does, for people.
    pub title: String,
    /// What to do.
    pub apply: Action,
    /// True of the catalog when, and only when, the step is done.
    pub probe: Vec<Condition>,
    /// Steps whose probes no longer hold once this one is done (their objects were renamed or dropped).
    pub supersedes: Vec<StepId>,
    /// How to take it back.
    pub undo: Undo,
    /// The strongest table lock taken.
    pub lock: LockMode,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Statements in one short transaction together with the ledger entry, after `LOCK TABLE` in the step's mode.
    Transaction {
        /// What must hold inside the transaction, before the first statement.
        guards: Vec<Gate>,
        /// The statements, in order.
        statements: Vec<String>,
    },
    /// One statement that PostgreSQL refuses inside a transaction, or that must not hold one open while it scans:
    /// intent is recorded, then it runs, then the outcome is observed.
    Concurrent {
        /// Session settings for the statement, as name and value.
        settings: Vec<(String, String)>,
        /// The statement.
        statement: String,
        /// The index that it builds, so that a half-built one is dropped before another try.
        builds: Option<IndexName>,
    },
    /// The backfill engine.
    Backfill(FillSpec),
    /// The check of all rows.
    Verify(CompareSpec),
    /// Waits until nothing has been written through the old columns for this long.
    AwaitQuiet {
        /// The length of the quiet time.
        quiet: std::time::Duration,
    },
    /// Waits until the old column has been retired for this long.
    AwaitGrace {
        /// The length of the wait, counted from the end of the step before.
        grace: std::time::Duration,
    },
}

/// The name of an index with its schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexName {
    /// The schema, always the table's.
    pub schema: String,
    /// The index.
    pub name: String,
}

impl IndexName {
    /// Returns the qualified name, quoted for SQL.
    pub fn sql(&self) -> String {
        format!("{}.{}", crate::sql::quote_ident(&self.schema), crate::sql::quote_ident(&self.name))
    }
}

/// A precondition that a step proves inside its own transaction, under its own lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// A clean verification of this table file and this trigger is in the ledger and younger than this.
    Verified {
        /// How old it may be.
        max_age: std::time::Duration,
    },
    /// Nothing was written through the old columns for this long.
    Quiet {
        /// The length of the quiet time.
        quiet: std::time::Duration,
    },
    /// No row's value lives in the new column only, so that going back loses nothing.
    NothingOnlyNew {
        /// How to find such rows.
        spec: CompareSpec,
        /// Whether a value of a new column may have no way back, so that writes must stop first.
        one_way: bool,
    },
    /// Nothing depends on the column but the objects named here.
    NoDependants {
        /// The column.
        column: String,
        /// Names of indexes and constraints that go with it, because each has a twin.
        except: Vec<String>,
    },
}

/// How a step is taken back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// By these actions, in order; each may be repeated.
    Actions(Vec<Action>),
    /// There is nothing to take back, for this reason.
    Nothing(String),
    /// It cannot be taken back, for this reason.
    PointOfNoReturn(String),
}

/// Something that is true or false of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The table has this column with this type, as `format_type` writes it.
    Column {
        /// The column.
        name: String,
        /// The type.
        type_name: String,
    },
    /// The table has no column of this name.
    NoColumn {
        /// The column.
        name: String,
    },
    /// The trigger exists and fires.
    Trigger {
        /// The trigger.
        name: String,
    },
    /// A function of the ledger schema has exactly this source text.
    Function {
        /// The function.
        name: String,
        /// SHA-256 of `pg_proc.prosrc` in hex digits.
        sha256: String,
    },
    /// No function of this name is in the ledger schema.
    NoFunction {
        /// The function.
        name: String,
    },
    /// The index stands on the table, valid and ready.
    Index {
        /// The index.
        name: String,
    },
    /// The constraint stands on the table and is validated.
    Constraint {
        /// The constraint.
        name: String,
    },
    /// The table has no such constraint.
    NoConstraint {
        /// The constraint.
        name: String,
    },
    /// The column is NOT NULL, or is not.
    NotNull {
        /// The column.
        column: String,
        /// Which of the two.
        is: bool,
    },
}

impl Step {
    /// Returns the SQL of the step as a person would run it, for the dry run and for `plan --format sql`.
    pub fn sql(&self) -> Vec<String> {
        self.apply.sql()
    }

    /// Returns whether effect and ledger entry commit together.
    pub fn transactional(&self) -> bool {
        matches!(self.apply, Action::Transaction { .. })
    }
}

impl Action {
    /// Returns the action's SQL; a template where the engine fills in page numbers, a comment where it only waits.
    pub fn sql(&self) -> Vec<String> {
        match self {
            Self::Transaction { statements, .. } => statements.clone(),
            Self::Concurrent { statement, settings, .. } => {
                let set =
                    settings.iter().map(|(name, value)| format!("SET {name} = {}", crate::sql::quote_literal(value)));
                set.chain([statement.clone()]).collect()
            }
            Self::Backfill(spec) => vec![spec.template()],
            Self::Verify(spec) => vec![spec.template()],
            Self::AwaitQuiet { quiet } => vec![format!(
                "-- waits until nothing was written through the old column for {}",
                humantime::format_duration(*quiet)
            )],
            Self::AwaitGrace { grace } => vec![format!(
                "-- waits until the old column has been retired for {}",
                humantime::format_duration(*grace)
            )],
        }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Column { name, type_name } => write!(f, "column \"{name}\" has type {type_name}"),
            Self::NoColumn { name } => write!(f, "there is no column \"{name}\""),
            Self::Trigger { name } => write!(f, "trigger \"{name}\" exists and is enabled"),
            Self::Function { name, .. } => write!(f, "function crossfade.\"{name}\" is as crossfade wrote it"),
            Self::NoFunction { name } => write!(f, "there is no function crossfade.\"{name}\""),
            Self::Index { name } => write!(f, "index \"{name}\" is valid"),
            Self::Constraint { name } => write!(f, "constraint \"{name}\" is valid"),
            Self::NoConstraint { name } => write!(f, "there is no constraint \"{name}\""),
            Self::NotNull { column, is: true } => write!(f, "column \"{column}\" is NOT NULL"),
            Self::NotNull { column, is: false } => write!(f, "column \"{column}\" may be NULL"),
        }
    }
}
