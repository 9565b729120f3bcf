//! What a plan meets on the server: everything carried, everything refused, each with its name.

use std::time::Duration;

use crossfade::catalog::{Finding, Inspection, dependants, holds, inspect};
use crossfade::compile::LedgerSchema;
use crossfade::ident::{ColumnName, PlanName, TableName};
use crossfade::plan::{
    Backfill, BuildIndexes, Change, ChangeKind, Contract, CopyIndexes, Indexes, OnConflict, Plan, Requires, Throttle,
    Verify,
};
use crossfade::step::Fact;

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

fn codes(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.code).collect()
}

/// Returns each finding as `code: message`.
fn lines(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| format!("{}: {}", finding.code, finding.message)).collect()
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
        assert_eq!(codes(&found.warnings), ["catalog::select_star"]);
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

/// Each on a table `t (id int, "Old" int, other int)` of its own: what is made, and the refusal of a rename of "Old".
const REFUSED: &[(u32, &str, &str, &str)] = &[
    (14, "CREATE VIEW v AS SELECT \"Old\" FROM t", "catalog::view", "view public.v reads column \"Old\""),
    (
        14,
        "CREATE MATERIALIZED VIEW v AS SELECT id FROM t WHERE \"Old\" > 1",
        "catalog::materialized_view",
        "materialized view public.v reads column \"Old\"",
    ),
    (
        14,
        "CREATE RULE r AS ON DELETE TO t WHERE OLD.\"Old\" > 1 DO ALSO NOTHING",
        "catalog::rule",
        "rule r on table public.t uses column \"Old\"",
    ),
    (
        14,
        "ALTER TABLE t ADD PRIMARY KEY (\"Old\")",
        "catalog::primary_key",
        "constraint t_pkey on table public.t contains column \"Old\"",
    ),
    (
        14,
        "ALTER TABLE t ADD CHECK (\"Old\" > 0)",
        "catalog::check",
        "constraint t_Old_check on table public.t tests column \"Old\"",
    ),
    (
        14,
        "ALTER TABLE t ADD EXCLUDE (\"Old\" WITH =)",
        "catalog::exclusion",
        "constraint t_Old_excl on table public.t contains column \"Old\"",
    ),
    (
        14,
        "CREATE TABLE p (id int PRIMARY KEY); ALTER TABLE t ADD FOREIGN KEY (\"Old\") REFERENCES p",
        "catalog::foreign_key",
        "constraint t_Old_fkey on table public.t refers from column \"Old\"",
    ),
    (
        14,
        "ALTER TABLE t ADD UNIQUE (\"Old\"); CREATE TABLE c (x int CONSTRAINT child REFERENCES t (\"Old\"))",
        "catalog::foreign_key",
        "constraint child on table public.c refers to column \"Old\"",
    ),
    (
        14,
        "CREATE POLICY only_mine ON t USING (\"Old\" = 1)",
        "catalog::policy",
        "policy only_mine on table public.t uses column \"Old\"",
    ),
    (
        14,
        "ALTER TABLE t ADD g int GENERATED ALWAYS AS (\"Old\" * 2) STORED",
        "catalog::generated_column",
        "column g of table public.t is generated from column \"Old\"",
    ),
    (
        14,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER watch BEFORE UPDATE OF \"Old\" ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "catalog::trigger",
        "trigger watch on table public.t names column \"Old\"",
    ),
    (
        14,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER watch AFTER UPDATE ON t FOR EACH ROW WHEN (NEW.\"Old\" > 1) EXECUTE FUNCTION f()",
        "catalog::trigger",
        "trigger watch on table public.t names column \"Old\"",
    ),
    (
        14,
        "CREATE STATISTICS s ON \"Old\", other FROM t",
        "catalog::statistics",
        "statistics object public.s are gathered on column \"Old\"",
    ),
    (14, "CREATE SEQUENCE q OWNED BY t.\"Old\"", "catalog::sequence", "sequence public.q is owned by column \"Old\""),
    (
        14,
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT sum(\"Old\") FROM t; END",
        "catalog::function",
        "function public.f() uses column \"Old\"",
    ),
    (14, "CREATE PUBLICATION one FOR TABLE t", "catalog::publication", "publication \"one\" publishes public.t"),
    (
        14,
        "CREATE PUBLICATION everything FOR ALL TABLES",
        "catalog::publication",
        "publication \"everything\" publishes public.t",
    ),
    (
        15,
        "CREATE PUBLICATION few FOR TABLE t (id, \"Old\")",
        "catalog::publication",
        "publication of table public.t in publication few names column \"Old\"",
    ),
    (
        15,
        "CREATE PUBLICATION folder FOR TABLES IN SCHEMA public",
        "catalog::publication",
        "publication \"folder\" publishes public.t",
    ),
    (
        14,
        "CREATE TABLE user_of (r t)",
        "catalog::row_type",
        "column r of table public.user_of has the row type of public.t",
    ),
    (
        14,
        "ALTER TABLE t ALTER \"Old\" SET NOT NULL; CREATE UNIQUE INDEX ident ON t (\"Old\"); ALTER TABLE t REPLICA IDENTITY USING INDEX ident",
        "catalog::replica_identity",
        "index \"ident\" is the replica identity of public.t",
    ),
    (
        14,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER \"~~~\" BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "catalog::trigger_order",
        "trigger \"~~~\" of public.t fires after crossfade's, because its name sorts last",
    ),
    (
        14,
        "CREATE RULE no_update AS ON UPDATE TO t DO INSTEAD NOTHING",
        "catalog::rule",
        "rule \"no_update\" of public.t replaces every UPDATE, also the backfill's",
    ),
    (
        14,
        "CREATE FUNCTION h(t) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1.id';
         CREATE INDEX whole ON t (h(t), \"Old\")",
        "catalog::index_whole_row",
        "index \"whole\" of public.t is computed from whole rows",
    ),
    (
        14,
        "CREATE INDEX broken ON t (\"Old\"); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass",
        "catalog::index_invalid",
        "index \"broken\" of public.t is invalid: an earlier CREATE INDEX CONCURRENTLY failed or is still at work",
    ),
    (
        14,
        "CREATE TABLE kid () INHERITS (t)",
        "catalog::inheritance",
        "public.t inherits from, or is inherited by, public.kid",
    ),
    (
        14,
        "ALTER TABLE t ADD \"New\" int",
        "catalog::name_taken",
        "the new name \"New\" is taken by another column of public.t",
    ),
    (
        18,
        "ALTER TABLE t ADD CONSTRAINT nn NOT NULL \"Old\" NOT VALID",
        "catalog::not_null_not_valid",
        "column \"Old\" of public.t has a NOT NULL constraint that was never validated",
    ),
    (
        18,
        "ALTER TABLE t ADD v int GENERATED ALWAYS AS (\"Old\" * 2) VIRTUAL",
        "catalog::generated_column",
        "column v of table public.t is generated from column \"Old\"",
    ),
];

#[tokio::test]
async fn whatever_cannot_be_carried_is_refused_by_name() {
    for version in versions() {
        let database = Database::on(&version).await;
        let plan = plan("t", vec![rename("Old", "New")]);
        let mut wrong = Vec::new();
        for (since, make, code, message) in REFUSED {
            if version.major < *since {
                continue;
            }
            database
                .execute(
                    "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE t (id int, \"Old\" int, other int)",
                )
                .await;
            database.execute(make).await;
            let found = look(&database, &plan).await;
            let expected = format!("{code}: {message}");
            let lines = lines(&found.refusals);
            // One object, one refusal (two where it is wrong in two ways).
            if !lines.contains(&expected) || lines.len() > 2 {
                wrong.push(format!("PostgreSQL {}: {make}\n  {expected}\n  {lines:#?}", version.major));
            }
            database.execute("DO $$ DECLARE p name; BEGIN FOR p IN SELECT pubname FROM pg_publication LOOP EXECUTE format('DROP PUBLICATION %I', p); END LOOP; END $$").await;
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        // Nothing on other columns is refused.
        database
            .execute(
                "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE t (id int PRIMARY KEY, \"Old\" int, other int CHECK (other > 0));
                 CREATE VIEW v AS SELECT id, other FROM t; CREATE STATISTICS s ON id, other FROM t; CREATE TABLE c (t int REFERENCES t);
                 CREATE POLICY p ON t USING (id = 1); CREATE VIEW n AS SELECT count(*) FROM t;",
            )
            .await;
        assert_eq!(lines(&look(&database, &plan).await.refusals), Vec::<String>::new());
    }
}
