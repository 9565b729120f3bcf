//! The stored form of facts.

use super::{Document, Form, Invalid, Table, form};
use crate::run::facts;

impl Document for facts::Facts {
    type Form = Facts;

    fn flaw(&self) -> Option<&'static str> {
        self.tables.is_empty().then_some("the facts have no table")
    }
}

form!(struct Facts of facts::Facts {
    server_version: u32,
    tables: Vec<TableFacts>,
    changes: Vec<Change>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    functions: Vec<ReplacedFunction>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    triggers: Vec<TriggerArguments>,
});

form!(struct TriggerArguments of facts::TriggerArguments {
    name: String,
    arguments: Vec<String>,
});

form!(struct ReplacedFunction of facts::ReplacedFunction {
    signature: String,
    body: String,
});

form!(struct TableFacts of facts::TableFacts {
    name: Table,
    oid: i64,
    partitioned: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    children: Vec<Child>,
    rows: i64,
    pages: i64,
    index_count: i64,
    index_bytes: i64,
    key: Vec<String>,
    indexes: Vec<Index>,
    constraints: Vec<CarriedConstraint>,
    referring: Vec<ReferringKey>,
    other_before_triggers: bool,
    listeners: Vec<String>,
    made_anew: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    materialized_views: Vec<String>,
    functions_to_touch: Vec<Function>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    publications: Vec<Publication>,
});

form!(struct Child of facts::Child {
    table: Table,
    oid: i64,
});

form!(struct Publication of facts::Publication {
    name: String,
    narrowed: bool,
});

form!(
#[expect(clippy::large_enum_variant, reason = "a plan has a few of them")]
enum Change of facts::ChangeFacts {
    Pair(facts: Pair),
    AddColumn(facts: AddedColumn),
    DropColumn(facts: DroppedColumn),
    AddIndex(facts: AddedIndex),
    DropIndex(facts: Index),
    AddConstraint(facts: AddedConstraint),
});

form!(struct AddedIndex of facts::AddedIndex {
    tail: String,
    mirror: Option<String>,
});

form!(struct AddedColumn of facts::AddedColumn {
    type_name: String,
    collate: String,
    default: Option<String>,
    in_catalog: bool,
    not_null_name: Option<String>,
});

form!(struct DroppedColumn of facts::DroppedColumn {
    column: Column,
    goes_along: Vec<String>,
    unique: bool,
});

form!(struct AddedConstraint of facts::AddedConstraint {
    definition: String,
    references: Option<u16>,
    not_null_name: Option<String>,
});

form!(struct Pair of facts::PairFacts {
    old: Column,
    new_type: String,
    new_base_type: String,
    new_collate: String,
    new_default: Option<String>,
    new_type_default: Option<String>,
    new_default_is_repeatable: bool,
    new_plain_compare: bool,
    forward: Conversion,
    reverse: Conversion,
    metadata_only: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adopted: Option<Adopted>,
});

form!(struct Adopted of facts::AdoptedColumn {
    column: Column,
    type_storage: String,
    triggers: Vec<ReplacedTrigger>,
});

form!(struct ReplacedTrigger of facts::ReplacedTrigger {
    name: String,
    enabled: Option<String>,
});

form!(struct CarriedConstraint of facts::CarriedConstraint {
    number: usize,
    name: String,
    member: Option<OwnConstraint>,
    definition: String,
    soak: String,
    last: String,
    parked: String,
    foreign_key: bool,
    validated: bool,
    references: Option<u16>,
    comment: Option<String>,
    changes: Vec<usize>,
});

form!(struct OwnConstraint of facts::OwnConstraint {
    table: u16,
    name: String,
});

form!(struct ReferringKey of facts::ReferringKey {
    number: usize,
    name: String,
    table: u16,
    definition: String,
    twin: String,
    validated: bool,
    comment: Option<String>,
});

form!(struct Column of facts::ColumnFacts {
    attnum: i16,
    type_name: String,
    base_type: String,
    collate: String,
    not_null: bool,
    not_null_constraint: Option<String>,
    identity: Option<Identity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generated: Option<Generated>,
    default: Option<String>,
    type_default: Option<String>,
    default_is_repeatable: bool,
    plain_compare: bool,
    storage: Option<String>,
    compression: Option<String>,
    statistics: Option<i32>,
    options: Vec<String>,
    comment: Option<String>,
    grants: Vec<Grant>,
});

form!(struct Generated of facts::Generated {
    sql: String,
    reads: Vec<ReadColumn>,
});

form!(struct ReadColumn of facts::ReadColumn {
    name: String,
    base_type: String,
    collate: String,
});

/// Grantee, privilege, grantable.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    to: String,
    privilege: String,
    grantable: bool,
}

impl Form<(String, String, bool)> for Grant {
    fn of((to, privilege, grantable): &(String, String, bool)) -> Self {
        Self { to: to.clone(), privilege: privilege.clone(), grantable: *grantable }
    }

    fn back(self) -> Result<(String, String, bool), Invalid> {
        Ok((self.to, self.privilege, self.grantable))
    }
}

form!(enum Conversion of facts::Conversion {
    Identity,
    InfallibleCast,
    Expression { sql: String, null_to_null: bool, search_path: Option<String>, },
    None,
});

form!(enum Identity of facts::IdentityColumn { Always, ByDefault, });

form!(struct Mirror of facts::MirrorIndex {
    tail: String,
    unique: bool,
});

form!(struct Index of facts::IndexFacts {
    number: usize,
    name: String,
    definition: String,
    unique: bool,
    constraint: Option<Constraint>,
    twin: String,
    mirror: Option<Mirror>,
    twin_shape: String,
    tablespace: Option<String>,
    comment: Option<String>,
    statistics: Vec<(i16, i32)>,
    clustered: bool,
    #[serde(default)]
    replica_identity: bool,
    #[serde(default)]
    partition: Option<OwnPartition>,
    changes: Vec<usize>,
});

form!(struct OwnPartition of facts::OwnPartition {
    table: Table,
    partitioned: bool,
});

form!(struct Constraint of facts::ConstraintFacts {
    primary: bool,
    deferrable: bool,
    deferred: bool,
    comment: Option<String>,
    #[serde(default)]
    exclusion: bool,
});

form!(struct Function of facts::FunctionFacts {
    signature: String,
    cost: String,
});
