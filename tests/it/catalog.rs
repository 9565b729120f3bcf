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
    Backfill, BuildIndexes, Change, ChangeKind, Contract, CopyIndexes, Indexes, OnConflict, Plan, Requires, Throttle,
    Verify,
};

use crate::harness::Database;

fn plan(table: &str, changes: Vec<Change>) -> Plan {
    Plan {
        name: PlanName::new("p").unwrap(),
        table: TableName::parse(table).unwrap(),
        changes,
        indexes: Indexes { build: BuildIndexes::default(), copy: CopyIndexes::All, add: vec![] },
        backfill: Backfill::default(),
        throttle: Throttle::default(),
        verify: Verify { max_age: Duration::from_hours(24) },
        contract: Contract { grace: Duration::ZERO, quiet: Duration::ZERO },
        schedule: None,
        approve: vec![],
        requires: Requires::default(),
    }
}

fn change(old: &str, new: &str, kind: ChangeKind) -> Change {
    Change {
        old: ColumnName::new(old).unwrap(),
        new: ColumnName::new(new).unwrap(),
        kind,
        on_conflict: OnConflict::default(),
        on_error: None,
    }
}

fn rename(old: &str, new: &str) -> Change {
    change(old, new, ChangeKind::Rename)
}

fn retype(old: &str, to: &str, using: Option<&str>, reverse: Option<&str>) -> Change {
    let (using, reverse) = (using.map(str::to_owned), reverse.map(str::to_owned));
    change(old, "New", ChangeKind::Retype { to: to.to_owned(), using, reverse, keep_name: true })
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
