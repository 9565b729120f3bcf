//! The stored form of a program: steps with their SQL, so that a run is finished with what it was started with.

use std::time::Duration;

use super::{Document, Table, form};
use crate::run;
use crate::sql::LockMode;

impl Document for run::Program {
    type Form = Program;

    fn flaw(&self) -> Option<&'static str> {
        if self.relations.is_empty() {
            Some("the program has no table")
        } else if self.phases.is_empty() {
            Some("the program has no phase")
        } else {
            None
        }
    }
}

form!(struct Program of run::Program {
    tag: String,
    relations: Vec<Relation>,
    phases: Vec<String>,
    steps: Vec<Step>,
    surround: Vec<String>,
});

form!(struct Relation of run::Relation {
    table: Table,
    oid: i64,
    partitioned: bool,
});

form!(struct Step of run::Step {
    key: String,
    title: String,
    needs: Vec<Gate>,
    above: Vec<String>,
    targets: Vec<Target>,
    action: Action,
    done_when: Vec<Condition>,
    supersedes: Vec<String>,
    undo: Undo,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    locked_for: Option<Duration>,
});

form!(struct Target of run::Target {
    relation: u16,
    mode: Lock,
});

form!(enum Lock of LockMode {
    None,
    AccessShare,
    RowExclusive,
    ShareUpdateExclusive,
    ShareRowExclusive,
    AccessExclusive,
});

form!(enum Action of run::Action {
    Transaction(statements: Vec<String>),
    Concurrent { settings: Vec<(String, String)>, statement: String, builds: Option<IndexName>, },
    BuildInPartitions(index: PartitionedIndex),
    Fill(spec: Fill),
    Compare(spec: Compare),
    Await(gate: Gate),
});

form!(struct PartitionedIndex of run::PartitionedIndex {
    settings: Vec<(String, String)>,
    table: Table,
    name: String,
    unique: bool,
    tail: String,
    join: String,
});

form!(struct IndexName of run::IndexName {
    schema: String,
    name: String,
});

form!(enum Gate of run::Gate {
    Verified { max_age: Duration, },
    Quiet { quiet: Duration, },
    Grace { grace: Duration, },
    NothingOnlyNew { spec: Compare, one_way: bool, },
    NoNulls { relation: u16, column: String, },
    NoDependants { relation: u16, column: String, except: Vec<String>, },
});

form!(enum Undo of run::Undo {
    Actions { needs: Vec<Gate>, actions: Vec<Action>, },
    Nothing(why: String),
    PointOfNoReturn(why: String),
});

form!(struct Condition of run::Condition {
    on: u16,
    is: Is,
});

form!(enum Is of run::Is {
    Column { name: String, type_name: String, },
    NoColumn { name: String, },
    Trigger { name: String, },
    NoTrigger { name: String, },
    Function { name: String, sha256: String, },
    NoFunction { name: String, },
    Index { name: String, },
    NoIndex { name: String, },
    Constraint { name: String, },
    SomeConstraint { name: String, },
    NoConstraint { name: String, },
    NoView { begins: String, },
    NotNull { column: String, is: bool, },
});

form!(struct Fill of run::FillSpec {
    relation: u16,
    table: Table,
    fills: Vec<FillColumn>,
});

form!(struct FillColumn of run::Fill {
    column: String,
    total: FillValue,
    strict: Option<FillValue>,
});

form!(struct FillValue of run::FillValue {
    value: String,
    missing: String,
});

form!(struct Compare of run::CompareSpec {
    relation: u16,
    table: Table,
    key: Vec<String>,
    pairs: Vec<Pair>,
});

form!(struct Pair of run::Pair {
    old: String,
    new: String,
    same_forward: String,
    same_reverse: String,
    suspect: String,
    fails: Option<String>,
    forward: String,
    reverse: String,
});
