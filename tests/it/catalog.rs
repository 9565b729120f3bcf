//! What a plan meets on the server: everything carried, everything refused, each with its name.

use std::time::Duration;

use crossfade::catalog::{Inspection, inspect};
use crossfade::compile::LedgerSchema;
use crossfade::ident::{ColumnName, PlanName, TableName};
use crossfade::plan::{
    Backfill, BuildIndexes, Change, ChangeKind, Contract, CopyIndexes, Indexes, OnConflict, Plan, Requires, Throttle,
    Verify,
};

use crate::harness::{Database, versions};

fn plan(table: &str, changes: Vec<Change>) -> Plan {
    Plan {
        name: PlanName::new("p").unwrap(),
        table: TableName::parse(table).unwrap(),
        changes,
        indexes: Indexes { build: BuildIndexes::default(), copy: CopyIndexes::All, add: vec![] },
        backfill: Backfill { batch_target: Duration::from_millis(100), max_rows_per_second: None, workers: 1 },
        throttle: Throttle { replica_lag: None, lock_wait: None, wal_archive_backlog: None },
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

async fn look(database: &Database, plan: &Plan) -> Inspection {
    let mut connection = database.pool.acquire().await.unwrap();
    inspect(&mut connection, plan, &LedgerSchema::default()).await.unwrap()
}

#[tokio::test]
async fn a_plain_rename_has_all_its_facts() {
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute(
                "CREATE TABLE vehicles (id bigint PRIMARY KEY, status text NOT NULL DEFAULT 'new', plate varchar(20));
                 CREATE INDEX vehicles_status ON vehicles (status, id DESC) WHERE status <> 'sold';
                 CREATE INDEX \"Mixed \"\"Case\"\"\" ON vehicles (upper(status)) INCLUDE (plate);
                 ALTER TABLE vehicles ADD CONSTRAINT once UNIQUE (status, plate) DEFERRABLE;
                 COMMENT ON COLUMN vehicles.status IS 'it''s';
                 GRANT SELECT (status) ON vehicles TO PUBLIC;",
            )
            .await;
        let found = look(&database, &plan("vehicles", vec![rename("status", "vehicle_status")])).await;
        assert_eq!(found.refusals, []);
        assert_eq!(found.warnings, []);
        let facts = found.facts.unwrap();
        assert_eq!((facts.server_version / 10_000, &facts.key), (version.major, &vec!["id".to_owned()]));
        let old = &facts.changes[0].old;
        assert_eq!((old.type_name.as_str(), old.not_null, old.default_is_stable), ("text", true, true));
        assert_eq!(old.comment.as_deref(), Some("it's"));
        assert_eq!(old.grants, [("PUBLIC".to_owned(), "SELECT".to_owned(), false)]);
        let named = (version.major >= 18).then(|| "vehicles_status_not_null".to_owned());
        assert_eq!(old.not_null_constraint, named);
        let twins: Vec<_> = facts.indexes.iter().map(|i| (i.name.as_str(), i.twin.as_str())).collect();
        assert_eq!(
            twins,
            [
                ("Mixed \"Case\"", "USING btree (upper(vehicle_status)) INCLUDE (plate)"),
                ("once", "USING btree (vehicle_status, plate)"),
                ("vehicles_status", "USING btree (vehicle_status, id DESC) WHERE (vehicle_status <> 'sold'::text)"),
            ]
        );
        assert!(facts.indexes[1].constraint.as_ref().is_some_and(|c| c.deferrable && !c.deferred));
    }
}
