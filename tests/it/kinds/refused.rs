//! What is refused, each by its name.

use super::Fleet;
use crate::harness::{Database, versions};
use crossfade::names::LedgerSchema;

/// What is made first; the change; the code and the beginning of the message.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    (
        "",
        "add_column: { name: a, type: int, not_null: true }",
        "catalog::no_default",
        "column \"a\" is to be NOT NULL, but the rows",
    ),
    (
        "",
        "add_column: { name: a, type: int, default: \"NULL\", not_null: true }",
        "catalog::no_default",
        "the new column \"a\" is to be NOT NULL, and its default is NULL",
    ),
    (
        "",
        "add_column: { name: fuel, type: int }",
        "catalog::name_taken",
        "column \"fuel\" of public.vehicles is there already",
    ),
    (
        "",
        "add_column: { name: a, type: nothing_such }",
        "catalog::type_missing",
        "the new column \"a\": type \"nothing_such\" does not exist",
    ),
    ("", "add_column: { name: a, type: \"int CHECK (a > 0)\" }", "catalog::type", "the new column \"a\""),
    (
        "",
        "add_column: { name: a, type: \"int GENERATED ALWAYS AS IDENTITY\" }",
        "catalog::type",
        "the new column \"a\"",
    ),
    ("", "add_column: { name: a, type: BIGSERIAL }", "catalog::serial", "the new column \"a\" has type bigserial"),
    (
        "CREATE DOMAIN d AS int CHECK (VALUE > 0)",
        "add_column: { name: a, type: d }",
        "catalog::constrained_domain",
        "the new column \"a\" has type public.d, a domain",
    ),
    (
        "",
        "add_column: { name: a, type: int, default: \"'x'\" }",
        "catalog::rehearsal",
        "PostgreSQL refuses the new column \"a\": invalid input syntax",
    ),
    (
        "",
        "add_column: { name: a, type: int, default: no_such() }",
        "catalog::rehearsal",
        "PostgreSQL refuses the new column \"a\": function no_such() does not exist",
    ),
    (
        "",
        "add_column: { name: a, type: int, default: weight }",
        "catalog::rehearsal",
        "PostgreSQL refuses the new column \"a\": cannot use column",
    ),
    ("", "drop_column: { column: colour }", "catalog::column_missing", "public.vehicles has no column \"colour\""),
    ("", "drop_column: { column: id }", "catalog::identity", "column \"id\" of public.vehicles is an identity column"),
    (
        "",
        "drop_column: { column: id }",
        "catalog::dependant",
        "constraint vehicles_pkey on table public.vehicles depends on column \"id\"",
    ),
    (
        "CREATE VIEW v AS SELECT fuel FROM vehicles",
        "drop_column: { column: fuel }",
        "catalog::dependant",
        "view public.v depends on column \"fuel\"",
    ),
    (
        "ALTER TABLE vehicles ADD CONSTRAINT k CHECK (fuel <> '')",
        "drop_column: { column: fuel }",
        "catalog::dependant",
        "constraint k on table public.vehicles depends on column \"fuel\"",
    ),
    (
        "ALTER TABLE vehicles ADD g int GENERATED ALWAYS AS (weight * 2) STORED",
        "drop_column: { column: weight }",
        "catalog::dependant",
        "column g of table public.vehicles depends on column \"weight\"",
    ),
    (
        "CREATE TABLE c (vin text REFERENCES vehicles (vin))",
        "drop_column: { column: vin }",
        "catalog::dependant",
        "constraint c_vin_fkey on table public.c depends on column \"vin\"",
    ),
    (
        "",
        "add_index: { name: idx_vehicles_status, columns: [fuel] }",
        "catalog::name_taken",
        "index public.idx_vehicles_status has a name that the run needs",
    ),
    (
        "",
        "add_index: { name: i, columns: [colour] }",
        "catalog::index",
        "index \"i\" of the plan cannot be built: column \"colour\" does not exist",
    ),
    (
        "",
        "add_index: { name: i, on: \"now()\" }",
        "catalog::index",
        "index \"i\" of the plan cannot be built: functions in index",
    ),
    (
        "",
        "add_index: { name: i, columns: [fuel], using: gin }",
        "catalog::index",
        "index \"i\" of the plan cannot be built: data type character varying has no default",
    ),
    ("", "drop_index: { name: idx_nothing }", "catalog::index_missing", "public.vehicles has no index \"idx_nothing\""),
    (
        "",
        "drop_index: { name: vehicles_vin_key }",
        "catalog::index_of_constraint",
        "index \"vehicles_vin_key\" of public.vehicles belongs to a unique constraint",
    ),
    (
        "CREATE UNIQUE INDEX u ON vehicles (vin, depot_id); CREATE TABLE c (v text, d int, FOREIGN KEY (v, d) REFERENCES vehicles (vin, depot_id))",
        "drop_index: { name: u }",
        "catalog::dependant",
        "constraint c_v_d_fkey on table public.c depends on index \"u\"",
    ),
    (
        "CREATE UNIQUE INDEX u ON vehicles (depot_id, id); ALTER TABLE vehicles REPLICA IDENTITY USING INDEX u",
        "drop_index: { name: u }",
        "catalog::replica_identity",
        "index \"u\" is the replica identity of public.vehicles",
    ),
    (
        "",
        "add_constraint: { name: vehicles_vin_key, check: weight > 0 }",
        "catalog::name_taken",
        "constraint vehicles_vin_key on table public.vehicles has a name",
    ),
    (
        "",
        "add_constraint: { name: c, check: weight }",
        "catalog::constraint",
        "PostgreSQL refuses constraint \"c\": argument of CHECK must be type boolean",
    ),
    (
        "",
        "add_constraint: { name: c, check: colour > 0 }",
        "catalog::constraint",
        "PostgreSQL refuses constraint \"c\": column \"colour\" does not exist",
    ),
    ("", "add_constraint: { not_null: vin }", "catalog::not_null", "column \"vin\" is NOT NULL already"),
    ("", "add_constraint: { not_null: colour }", "catalog::column_missing", "there is no column \"colour\""),
    (
        "",
        "add_constraint: { name: c, unique: [telemetry, colour] }",
        "catalog::constraint",
        "PostgreSQL refuses constraint \"c\": column \"colour\" named in key does not exist",
    ),
    (
        "",
        "add_constraint: { name: c, foreign_key: { columns: [depot_id], references: depot } }",
        "catalog::table_missing",
        "there is no table public.depot",
    ),
    (
        "",
        "add_constraint: { name: c, foreign_key: { columns: [fuel], references: depots } }",
        "catalog::constraint",
        "PostgreSQL refuses constraint \"c\": foreign key constraint \"c\" cannot be implemented",
    ),
    (
        "",
        "add_constraint: { name: c, foreign_key: { columns: [fuel], references: depots, referenced_columns: [name] } }",
        "catalog::constraint",
        "PostgreSQL refuses constraint \"c\": there is no unique constraint",
    ),
    (
        "CREATE VIEW v AS SELECT * FROM depots",
        "add_constraint: { name: c, foreign_key: { columns: [depot_id], references: v } }",
        "catalog::table_kind",
        "public.v, which the foreign key refers to, is not an ordinary table",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_cannot_be_done_is_refused_by_name() {
    let mut wrong = Vec::new();
    for version in versions() {
        for (first, change, code, message) in REFUSED {
            let fleet = Fleet::of(&version, &[change]).await;
            if !first.is_empty() {
                fleet.database.execute(first).await;
            }
            let preview = fleet.tool.preview(&fleet.plan).await.unwrap();
            let said: Vec<_> = preview.refusals.iter().map(|f| format!("{}: {}", f.code, f.message)).collect();
            let expected = format!("{code}: {message}");
            if !said.iter().any(|line| line.starts_with(&expected)) {
                wrong.push(format!("{change} on {}: {said:?}", version.major));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Two rows that do not name the retired column would be equal, and the second one refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_whose_nulls_are_not_distinct_is_not_retired() {
    for version in versions().into_iter().filter(|version| version.major >= 15) {
        let fleet = Fleet::of(&version, &["drop_column: { column: fuel }"]).await;
        let index =
            "UPDATE vehicles SET fuel = id::text; CREATE UNIQUE INDEX one ON vehicles (fuel) NULLS NOT DISTINCT";
        fleet.database.execute(index).await;
        let preview = fleet.tool.preview(&fleet.plan).await.unwrap();
        let said: Vec<_> = preview.refusals.iter().map(|f| f.code).collect();
        assert_eq!(said, ["catalog::nulls_not_distinct"], "{:?}", preview.refusals);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_key_needs_rights_on_the_other_table() {
    let version = versions().remove(0);
    let key = "add_constraint: { name: c, foreign_key: { columns: [depot_id], references: depots } }";
    let fleet = Fleet::of(&version, &[key]).await;
    let database: &Database = &fleet.database;
    database
        .execute(
            "DO $$ BEGIN CREATE ROLE kinds_owner; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
             GRANT CREATE, USAGE ON SCHEMA public TO kinds_owner; ALTER TABLE vehicles OWNER TO kinds_owner",
        )
        .await;
    let mut connection = database.pool.acquire().await.unwrap();
    sqlx::raw_sql("SET ROLE kinds_owner").execute(&mut *connection).await.unwrap();
    let found = crossfade::catalog::inspect(&mut connection, &fleet.plan, &LedgerSchema::default()).await.unwrap();
    let said: Vec<_> = found.refusals.iter().map(|f| f.message.clone()).collect();
    assert!(
        said.contains(&"this role may not refer to public.depots by a foreign key and lock it".to_owned()),
        "{said:?}"
    );
}
