//! What a plan meets on the server: everything carried, everything refused, each with its name.

mod carried;
mod conversions;
mod observed;
mod refused;

use std::time::Duration;

use crossfade::run::Facts;

use crossfade::catalog::{Finding, Inspection, inspect};
use crossfade::ident::{ColumnName, PlanName, TableName};
use crossfade::names::LedgerSchema;
use crossfade::plan::{
    Approvals, Backfill, BuildIndexes, Change, ChangeType, Contract, CopyIndexes, Indexes, OnConflict, Plan,
    RenameColumn, Requires, Throttle, Verify,
};

use crate::harness::Database;

fn plan(table: &str, changes: Vec<Change>) -> Plan {
    Plan {
        name: PlanName::new("p").unwrap(),
        table: TableName::parse(table).unwrap(),
        changes,
        indexes: Indexes {
            build: BuildIndexes::default(),
            copy: CopyIndexes::All,
            copied: vec![],
            add: vec![],
            exclusion_lock: None,
        },
        backfill: Backfill::default(),
        throttle: Throttle::default(),
        verify: Verify { max_age: Duration::from_hours(24) },
        contract: Contract { grace: Duration::ZERO, quiet: Duration::ZERO, unused: Duration::ZERO },
        approval: Approvals { expiry: Duration::from_hours(24), own: false },
        schedule: None,
        approve: vec![],
        requires: Requires::default(),
        notify: vec![],
        hooks: vec![],
        publications: None,
        functions: vec![],
        triggers: vec![],
        referring: None,
        left: vec![],
        parts: vec![],
        part_of: None,
    }
}

fn rename(old: &str, new: &str) -> Change {
    let [from, to] = [old, new].map(|name| ColumnName::new(name).unwrap());
    Change::RenameColumn(RenameColumn { from, to, on_conflict: OnConflict::default(), adopt: None })
}

fn retype(old: &str, to: &str, using: Option<&str>, reverse: Option<&str>) -> Change {
    retype_via(old, "New", to, using, reverse)
}

fn retype_via(old: &str, via: &str, to: &str, using: Option<&str>, reverse: Option<&str>) -> Change {
    let [column, via] = [old, via].map(|name| ColumnName::new(name).unwrap());
    Change::ChangeType(ChangeType {
        column,
        via,
        to: to.to_owned(),
        using: using.map(str::to_owned),
        reverse: reverse.map(str::to_owned),
        default: None,
        keep_name: true,
        on_conflict: OnConflict::default(),
        on_error: None,
        adopt: None,
    })
}

async fn facts_of(database: &Database, plan: &Plan) -> Facts {
    let found = look(database, plan).await;
    assert_eq!(lines(&found.refusals), Vec::<String>::new());
    found.facts.unwrap()
}

async fn look(database: &Database, plan: &Plan) -> Inspection {
    let mut connection = database.pool.acquire().await.unwrap();
    inspect(&mut connection, plan, &LedgerSchema::default()).await.unwrap()
}

fn codes(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.code).collect()
}

/// Returns each finding as `code: message`.
fn lines(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| format!("{}: {}", finding.code, finding.message)).collect()
}
