//! The stored form of a plan.

use std::time::Duration;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use super::{Document, Form, Invalid, Table, form, words};
use crate::plan;

impl Document for plan::Plan {
    type Form = Plan;

    fn flaw(&self) -> Option<&'static str> {
        self.changes.is_empty().then_some("the plan changes nothing")
    }
}

form!(struct Plan of plan::Plan {
    name: String,
    table: Table,
    changes: Vec<Change>,
    indexes: Indexes,
    backfill: Backfill,
    throttle: Throttle,
    verify: Verify,
    contract: Contract,
    schedule: Option<Schedule>,
    approve: Vec<String>,
    approval: Approvals,
    requires: Requires,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notify: Vec<Notify>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hooks: Vec<Hook>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    publications: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    functions: Vec<FunctionBody>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    triggers: Vec<TriggerArguments>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    referring: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left: Vec<LeftColumn>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parts: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part_of: Option<String>,
});

form!(struct LeftColumn of plan::LeftColumn {
    table: Table,
    column: String,
});

form!(struct FunctionBody of plan::FunctionBody {
    name: String,
    body: String,
});

form!(struct TriggerArguments of plan::TriggerArguments {
    name: String,
    arguments: Vec<String>,
});

form!(enum Change of plan::Change {
    RenameColumn(change: RenameColumn),
    ChangeType(change: ChangeType),
    AddColumn(change: AddColumn),
    DropColumn(change: DropColumn),
    AddIndex(change: NewIndex),
    DropIndex(change: DropIndex),
    AddConstraint(change: AddConstraint),
});

form!(struct RenameColumn of plan::RenameColumn {
    from: String,
    to: String,
    on_conflict: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adopt: Option<Adopt>,
});

form!(struct Adopt of plan::Adopt {
    replaces: Vec<String>,
    keeps: Vec<String>,
    overwrite: bool,
});

form!(struct ChangeType of plan::ChangeType {
    column: String,
    via: String,
    to: String,
    using: Option<String>,
    reverse: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    keep_name: bool,
    on_conflict: String,
    on_error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adopt: Option<Adopt>,
});

form!(struct AddColumn of plan::AddColumn {
    name: String,
    type_name: String,
    default: Option<String>,
    not_null: bool,
});

form!(struct DropColumn of plan::DropColumn {
    column: String,
});

form!(struct NewIndex of plan::NewIndex {
    name: String,
    key: IndexKey,
    unique: bool,
    method: String,
    include: Vec<String>,
    predicate: Option<String>,
});

form!(struct DropIndex of plan::DropIndex {
    name: String,
});

form!(enum IndexKey of plan::IndexKey {
    Columns(columns: Vec<String>),
    Sql(sql: String),
});

form!(struct AddConstraint of plan::AddConstraint {
    name: Option<String>,
    rule: Rule,
});

form!(enum Rule of plan::Rule {
    Check(sql: String),
    ForeignKey(key: ForeignKey),
    Unique { columns: Vec<String>, nulls_not_distinct: bool, deferrable: String, },
    NotNull(column: String),
});

form!(struct ForeignKey of plan::ForeignKey {
    columns: Vec<String>,
    references: Table,
    referenced_columns: Vec<String>,
    on_delete: String,
    on_update: String,
    match_full: bool,
    deferrable: String,
});

form!(struct Indexes of plan::Indexes {
    build: String,
    copy: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    copied: Vec<String>,
    add: Vec<AddIndex>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exclusion_lock: Option<Duration>,
});

form!(struct AddIndex of plan::AddIndex {
    name: String,
    columns: Vec<String>,
    unique: bool,
});

form!(struct Backfill of plan::Backfill {
    batch_target: Duration,
    max_rows_per_second: Option<u32>,
    workers: u16,
    long_transactions: String,
    triggers: String,
    wal_compression: Option<String>,
    goal_latency: Option<Duration>,
    latency_probe: Option<String>,
});

form!(struct Throttle of plan::Throttle {
    replica_lag: Option<Duration>,
    lock_wait: Option<Duration>,
    slot_retained_wal: Option<u64>,
    wal_archive_backlog: Option<u32>,
    active_sessions: Option<u32>,
    wal_rate: Option<u64>,
    probe: Option<Probe>,
});

form!(struct Probe of plan::Probe {
    sql: String,
    limit: f64,
});

form!(struct Verify of plan::Verify {
    max_age: Duration,
});

form!(struct Approvals of plan::Approvals {
    expiry: Duration,
    #[serde(rename = "self")]
    own: bool,
});

form!(struct Contract of plan::Contract {
    grace: Duration,
    quiet: Duration,
    unused: Duration,
});

form!(struct Schedule of plan::Schedule {
    timezone: chrono_tz::Tz,
    start: NaiveDate,
    window: Option<Window>,
    extra: Vec<ExtraWindow>,
    weekly: Vec<(String, u16)>,
    not_before: Vec<(String, NaiveDate)>,
    soak: Vec<(String, Duration)>,
    freeze: Vec<Freeze>,
});

form!(struct Window of plan::Window {
    days: Vec<String>,
    from: NaiveTime,
    to: NaiveTime,
});

form!(struct ExtraWindow of plan::ExtraWindow {
    from: NaiveDateTime,
    to: NaiveDateTime,
    why: String,
});

form!(struct Freeze of plan::Freeze {
    from: NaiveDate,
    to: NaiveDate,
    why: String,
});

form!(struct Requires of plan::Requires {
    postgres: Option<u32>,
    extensions: Vec<String>,
    plans: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tables: Vec<Table>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    columns: Vec<RequiredColumn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disk: Option<Disk>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slots: Option<Slots>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replicas: Option<Replicas>,
});

form!(struct RequiredColumn of plan::RequiredColumn {
    table: Table,
    column: String,
    type_name: Option<String>,
});

form!(struct Disk of plan::Disk {
    free: Option<u64>,
    query: Option<String>,
});

form!(struct Slots of plan::Slots {
    wal: Option<u64>,
    inactive_wal: Option<u64>,
    bounded: bool,
});

form!(struct Replicas of plan::Replicas {
    count: Option<u16>,
    behind: Option<u64>,
});

form!(struct Notify of plan::Notify {
    to: String,
    shape: String,
    on: Vec<String>,
});

form!(struct Hook of plan::Hook {
    when: String,
    phase: String,
    run: String,
    timeout: Duration,
});

words!(
    plan::Publications,
    plan::Referring,
    plan::OnConflict,
    plan::OnError,
    plan::BuildIndexes,
    plan::CopyIndexes,
    plan::Triggers,
    plan::WalCompression,
    plan::LongTransactions,
    plan::Day,
    plan::ReferentialAction,
    plan::Deferrable,
    plan::Shape,
    plan::Topic,
    plan::HookTime,
);

impl Form<plan::Bytes> for u64 {
    fn of(value: &plan::Bytes) -> Self {
        value.0
    }

    fn back(self) -> Result<plan::Bytes, Invalid> {
        Ok(plan::Bytes(self))
    }
}
