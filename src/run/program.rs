//! A step is data: what to do, how to tell from the catalog that it is done, how to undo it. The dry run prints the
//! same value that the runner executes, and the ledger keeps it, so a newer crossfade finishes a run with the SQL
//! it was started with.

use std::time::Duration;

use serde::Serialize;

use super::{CompareSpec, FillSpec, Phase, Relation, RelationId, StepKey, What};
use crate::ident::{RunTag, TableName};
use crate::sql::LockMode;

/// Everything a run does, in order. Compiled once from plan and facts, then kept in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// The tag in the names of the run's objects.
    pub tag: RunTag,
    /// The tables that steps work on, the plan's own first.
    pub relations: Vec<Relation>,
    /// The phases that the run has, in its order.
    pub phases: Vec<Phase>,
    /// The steps in order; steps of one phase are adjacent.
    pub steps: Vec<Step>,
    /// What puts the sync trigger around other BEFORE triggers of the plan's own table, which may be created in the middle of
    /// the run; each statement may be repeated.
    pub surround: Vec<String>,
}

impl Program {
    /// Returns the step with this key.
    pub fn step(&self, key: &StepKey) -> Option<&Step> {
        self.steps.iter().find(|step| step.key == *key)
    }

    /// Returns the table with this number; every number that a step has is there.
    pub fn relation(&self, id: RelationId) -> Option<&Relation> {
        self.relations.get(usize::from(id.0))
    }

    /// Returns the phase after `phase` in this run, or `None` after the last.
    pub fn phase_after(&self, phase: Phase) -> Option<Phase> {
        let at = self.phases.iter().position(|p| *p == phase)?;
        self.phases.get(at + 1).copied()
    }

    /// Returns the phases of this run that come before `phase`, in order.
    pub fn before(&self, phase: Phase) -> &[Phase] {
        let at = self.phases.iter().position(|of| *of == phase).unwrap_or(0);
        &self.phases[..at]
    }

    /// Returns whether `a` comes before `b` in this run.
    pub fn is_before(&self, a: Phase, b: Phase) -> bool {
        let position = |phase: Phase| self.phases.iter().position(|p| *p == phase);
        position(a) < position(b)
    }

    /// Returns whether a run in `phase` is past `last`, which need not be a phase of this run.
    pub fn is_past(&self, phase: Phase, last: Phase) -> bool {
        // Where the run has both, its own order counts: indexes may be built after the backfill.
        if self.phases.contains(&last) { self.is_before(last, phase) } else { phase > last }
    }

    /// Returns the steps of `phase`, in order.
    pub fn steps_of(&self, phase: Phase) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.key.phase == phase)
    }

    /// Returns the steps that fill rows.
    pub fn fills(&self) -> impl Iterator<Item = (&Step, &FillSpec)> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Fill(spec) => Some((step, spec)),
            _ => None,
        })
    }

    /// Returns the tables that have something to compare, each once.
    pub fn compared(&self) -> impl Iterator<Item = (RelationId, &Relation)> {
        let compares =
            |id| self.steps.iter().any(|step| matches!(&step.action, Action::Compare(spec) if spec.relation == id));
        (0..).map(RelationId).zip(&self.relations).filter(move |(id, _)| compares(*id))
    }
}

/// The smallest unit of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Unique in the run.
    pub key: StepKey,
    /// What it does, for people.
    pub title: String,
    /// What must hold, proved inside the step's own transaction, before its first statement.
    pub needs: Vec<Gate>,
    /// The tables that it locks, in the order in which they are locked, and how strongly.
    pub targets: Vec<Target>,
    /// Columns of the plan's own table whose views it makes anew: they are locked before the tables, the outermost first.
    pub above: Vec<String>,
    /// What to do.
    pub action: Action,
    /// True of the catalog when, and only when, the step is done.
    pub done_when: Vec<Condition>,
    /// Steps whose conditions no longer hold once this one is done (their objects were renamed or dropped).
    pub supersedes: Vec<StepKey>,
    /// How to undo it.
    pub undo: Undo,
    /// For how long it may have its tables locked where that may be longer than a moment: the plan says so.
    pub locked_for: Option<Duration>,
}

impl Step {
    /// Returns a step that needs nothing, leaves nothing in the catalog and has nothing to undo, to be filled in.
    pub fn new(phase: Phase, what: What, title: impl Into<String>, action: Action) -> Self {
        Self {
            key: StepKey::new(phase, what),
            title: title.into(),
            needs: vec![],
            above: vec![],
            targets: vec![],
            action,
            done_when: vec![],
            supersedes: vec![],
            undo: Undo::Nothing(String::new()),
            locked_for: None,
        }
    }

    /// Returns the step with its strongest lock on `relation`.
    #[must_use]
    pub fn locks(mut self, relation: RelationId, mode: LockMode) -> Self {
        self.targets.push(Target { relation, mode });
        self
    }

    /// Returns the step with the columns of the plan's own table whose views it makes anew.
    #[must_use]
    pub fn above(mut self, columns: impl IntoIterator<Item = String>) -> Self {
        self.above.extend(columns);
        self
    }

    /// Returns the step with what must hold first.
    #[must_use]
    pub fn needs(mut self, gates: impl IntoIterator<Item = Gate>) -> Self {
        self.needs.extend(gates);
        self
    }

    /// Returns the step with what the catalog shows when it is done.
    #[must_use]
    pub fn done_when(mut self, conditions: impl IntoIterator<Item = Condition>) -> Self {
        self.done_when.extend(conditions);
        self
    }

    /// Returns the step with the keys of those whose conditions it ends.
    #[must_use]
    pub fn supersedes(mut self, keys: impl IntoIterator<Item = StepKey>) -> Self {
        self.supersedes.extend(keys);
        self
    }

    /// Returns the step with the longest time for which it may have its tables locked.
    #[must_use]
    pub fn locked_for(mut self, time: Option<Duration>) -> Self {
        self.locked_for = time;
        self
    }

    /// Returns the step with its undo.
    #[must_use]
    pub fn undo(mut self, undo: Undo) -> Self {
        self.undo = undo;
        self
    }

    /// Returns the SQL of the step as a person would run it, for the dry run and for `plan --format sql`.
    pub fn sql(&self) -> Vec<String> {
        self.action.sql()
    }

    /// Returns whether effect and ledger entry commit together.
    pub fn transactional(&self) -> bool {
        matches!(self.action, Action::Transaction(_))
    }

    /// Returns why its effect stays after a rollback, if it has one that does.
    pub fn stays(&self) -> Option<&str> {
        match &self.undo {
            Undo::Nothing(why) if self.transactional() => Some(why),
            _ => None,
        }
    }

    /// Returns the strongest table lock taken.
    pub fn strongest_lock(&self) -> LockMode {
        self.targets.iter().map(|target| target.mode).max().unwrap_or(LockMode::None)
    }
}

/// A table that a step locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Which.
    pub relation: RelationId,
    /// How strongly.
    pub mode: LockMode,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Statements in one short transaction together with the ledger entry, after `LOCK TABLE` of the step's targets.
    Transaction(Vec<String>),
    /// One statement that PostgreSQL refuses inside a transaction, or that must not hold one open while it scans:
    /// intent is recorded, then it runs, then the outcome is observed.
    Concurrent {
        /// Session settings for the statement, as name and value.
        settings: Vec<(String, String)>,
        /// The statement.
        statement: String,
        /// The index that it builds, so that a half-built one is dropped before another attempt.
        builds: Option<IndexName>,
    },
    /// An index of a partitioned table: built in each partition alone, as [`Action::Concurrent`] does, and joined to one in a
    /// short transaction that locks the table with all of its partitions.
    BuildInPartitions(PartitionedIndex),
    /// The backfill engine.
    Fill(FillSpec),
    /// The check of all rows.
    Compare(CompareSpec),
    /// Waits until this holds.
    Await(Gate),
}

impl Action {
    /// Returns one statement outside a transaction, with the server's own settings.
    pub fn concurrent(statement: String) -> Self {
        Self::Concurrent { settings: vec![], statement, builds: None }
    }
}

/// An index of a partitioned table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionedIndex {
    /// Session settings for each build, as name and value.
    pub settings: Vec<(String, String)>,
    /// The partitioned table, which may itself be a partition.
    pub table: TableName,
    /// Its name. Those that are built in partitions have the same with the partition's oid behind it.
    pub name: String,
    /// Whether it is unique.
    pub unique: bool,
    /// Its definition after `ON table `.
    pub tail: String,
    /// The statement that makes the indexes of partitioned tables, and attaches what was built in partitions to them. May be
    /// repeated. Empty where a later step joins them.
    pub join: String,
}

impl PartitionedIndex {
    /// Returns the name of what is built in the partition with this oid, in the partition's schema.
    pub fn name_in(&self, partition: impl std::fmt::Display) -> String {
        format!("{}_{partition}", self.name)
    }

    /// Returns the statement that builds it in `partition`, whose name is quoted for SQL.
    pub fn build_in(&self, partition: &str, name: &str) -> String {
        let word = if self.unique { "UNIQUE " } else { "" };
        format!("CREATE {word}INDEX CONCURRENTLY {} ON {partition} {}", crate::sql::quote_ident(name), self.tail)
    }
}

/// The name of an index with its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexName {
    /// The schema, always that of the table or of the partition that it is on.
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

/// What must hold before something may be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Gate {
    /// A clean verification of these table files and this trigger is in the ledger and younger than this.
    Verified {
        /// How old it may be.
        max_age: Duration,
    },
    /// Nothing was written to the old columns for this long.
    Quiet {
        /// The length of the quiet time.
        quiet: Duration,
    },
    /// The step before has been done for this long.
    Grace {
        /// The length of the wait.
        grace: Duration,
    },
    /// No row's value exists in the new column only, so a rollback loses nothing.
    NothingOnlyNew {
        /// How to find such rows.
        spec: CompareSpec,
        /// Whether a value of a new column may have no way back, so that writes must stop first.
        one_way: bool,
    },
    /// Each row has a value in the column: it can be NOT NULL again.
    NoNulls {
        /// The table.
        relation: RelationId,
        /// The column.
        column: String,
    },
    /// Nothing depends on the column but the objects named here.
    NoDependants {
        /// The table.
        relation: RelationId,
        /// The column.
        column: String,
        /// Names of indexes and constraints that go with it, because each has a twin or because the plan says so.
        except: Vec<String>,
    },
}

/// How a step is undone.
#[derive(Debug, Clone, PartialEq)]
pub enum Undo {
    /// By these actions, in order; each may be repeated.
    Actions {
        /// What must hold, proved inside the first transaction.
        needs: Vec<Gate>,
        /// The actions.
        actions: Vec<Action>,
    },
    /// There is nothing to undo, for this reason.
    Nothing(String),
    /// It cannot be undone, for this reason.
    PointOfNoReturn(String),
}

impl Undo {
    /// Returns the undo by the statements of one transaction.
    pub fn by(statements: Vec<String>) -> Self {
        Self::Actions { needs: vec![], actions: vec![Action::Transaction(statements)] }
    }

    /// Returns that there is nothing to undo.
    pub fn nothing(why: &str) -> Self {
        Self::Nothing(why.to_owned())
    }

    /// Returns those of its statements that drop a column, an index or a constraint, in order.
    pub fn drops(&self) -> Vec<String> {
        let Self::Actions { actions, .. } = self else { return vec![] };
        let all: Vec<_> = actions.iter().flat_map(Action::sql).collect();
        // A constraint that is dropped to be made anew is not lost.
        let adds = all.iter().any(|sql| sql.contains(" ADD CONSTRAINT "));
        let drops = |sql: &String| {
            sql.starts_with("DROP INDEX ")
                || sql.contains(" DROP COLUMN ")
                || !adds && sql.contains(" DROP CONSTRAINT ")
        };
        all.into_iter().filter(drops).collect()
    }
}

/// Something that is true or false of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The table that it is about.
    pub on: RelationId,
    /// What is true.
    pub is: Is,
}

/// What is true of a table or of the ledger's schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Is {
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
    /// The table has no such trigger.
    NoTrigger {
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
    /// The index is on the table, valid and ready.
    Index {
        /// The index.
        name: String,
    },
    /// The table has no such index.
    NoIndex {
        /// The index.
        name: String,
    },
    /// The constraint is on the table and validated.
    Constraint {
        /// The constraint.
        name: String,
    },
    /// The constraint is on the table, validated or not.
    SomeConstraint {
        /// The constraint.
        name: String,
    },
    /// The table has no such constraint.
    NoConstraint {
        /// The constraint.
        name: String,
    },
    /// There is no view and no materialized view whose name begins so, in any schema.
    NoView {
        /// The beginning.
        begins: String,
    },
    /// The column is NOT NULL, or is not.
    NotNull {
        /// The column.
        column: String,
        /// Which of the two.
        is: bool,
    },
}

impl Is {
    /// Returns the condition that this is so of `relation`.
    pub fn on(self, relation: RelationId) -> Condition {
        Condition { on: relation, is: self }
    }
}

impl Action {
    /// Returns the action's SQL; a template where the engine fills in page numbers, a comment where it only waits.
    pub fn sql(&self) -> Vec<String> {
        match self {
            Self::Transaction(statements) => statements.clone(),
            Self::Concurrent { statement, settings, .. } => {
                let set =
                    settings.iter().map(|(name, value)| format!("SET {name} = {}", crate::sql::quote_literal(value)));
                set.chain([statement.clone()]).collect()
            }
            Self::BuildInPartitions(index) => {
                let set = index
                    .settings
                    .iter()
                    .map(|(name, value)| format!("SET {name} = {}", crate::sql::quote_literal(value)));
                let build = index.build_in("<partition>", &index.name_in("<oid>"));
                let build = format!("-- in each partition, one after the other\n{build}");
                let join = (!index.join.is_empty()).then(|| {
                    format!("-- in one transaction, with the table and all of its partitions locked\n{}", index.join)
                });
                set.chain([build]).chain(join).collect()
            }
            Self::Fill(spec) => vec![spec.template()],
            Self::Compare(spec) => vec![spec.template()],
            Self::Await(gate) => vec![format!("-- waits until {gate}")],
        }
    }
}

impl std::fmt::Display for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = |time: &Duration| humantime::format_duration(*time).to_string();
        match self {
            Self::Verified { max_age } => write!(f, "a clean check is younger than {}", time(max_age)),
            Self::Quiet { quiet } => write!(f, "nothing was written to the old column for {}", time(quiet)),
            Self::Grace { grace } => write!(f, "the column has been retired for {}", time(grace)),
            Self::NothingOnlyNew { .. } => f.write_str("no value exists in the new column only"),
            Self::NoNulls { column, .. } => write!(f, "each row has a value in column \"{column}\""),
            Self::NoDependants { column, .. } => write!(f, "nothing depends on column \"{column}\""),
        }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.is {
            Is::Column { name, type_name } => write!(f, "column \"{name}\" has type {type_name}"),
            Is::NoColumn { name } => write!(f, "there is no column \"{name}\""),
            Is::Trigger { name } => write!(f, "trigger \"{name}\" exists and is enabled"),
            Is::NoTrigger { name } => write!(f, "there is no trigger \"{name}\""),
            Is::Function { name, .. } => write!(f, "function crossfade.\"{name}\" is unchanged"),
            Is::NoFunction { name } => write!(f, "there is no function crossfade.\"{name}\""),
            Is::Index { name } => write!(f, "index \"{name}\" is valid"),
            Is::NoIndex { name } => write!(f, "there is no index \"{name}\""),
            Is::Constraint { name } => write!(f, "constraint \"{name}\" is valid"),
            Is::SomeConstraint { name } => write!(f, "there is a constraint \"{name}\""),
            Is::NoConstraint { name } => write!(f, "there is no constraint \"{name}\""),
            Is::NoView { begins } => write!(f, "there is no view \"{begins}...\""),
            Is::NotNull { column, is: true } => write!(f, "column \"{column}\" is NOT NULL"),
            Is::NotNull { column, is: false } => write!(f, "column \"{column}\" may be NULL"),
        }
    }
}
