//! The fleet: `public.vehicles` and its depots as `examples/fleet.sql` creates them, with deterministic rows, and what live traffic
//! needs to know about it.

use sqlx::PgConnection;

use super::traffic::{Pair, Subject};
use crate::plan::{AddConstraint, Change, Plan, Rule};
use crate::sql::quote_literal;

/// The statements that create the empty table, its indexes, comments and grants.
pub const SCHEMA: &str = include_str!("../../examples/fleet.sql");

/// Creates the empty table with everything that belongs to it, and its depots. The database must not have them yet.
///
/// # Errors
/// The server's refusal, for example because the table is there already.
pub async fn create(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(SCHEMA).execute(connection).await?;
    Ok(())
}

/// Adds `rows` vehicles, the same ones every time, and leaves the table vacuumed and analysed.
///
/// # Errors
/// The server's refusal, for example because the table has these vehicles already.
pub async fn load(connection: &mut PgConnection, rows: u32) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("fleet.sql")).bind(i64::from(rows)).persistent(false).execute(&mut *connection).await?;
    sqlx::raw_sql("VACUUM (ANALYZE) public.vehicles").execute(connection).await?;
    Ok(())
}

/// Returns what live traffic does to the fleet besides writing the columns that `plan` changes.
///
/// # Errors
/// The server's refusal of one of the plan's expressions.
pub async fn subject(connection: &mut PgConnection, plan: &Plan) -> Result<Subject, sqlx::Error> {
    let mut pairs = Vec::new();
    for (_, change) in plan.pairs() {
        pairs.push(Pair::of(connection, &plan.table, &change, samples(change.old.as_str())).await?);
    }
    // A plan may change the column that makes an insert unique; then its pair writes it.
    let changes_vin = plan.pairs().any(|(_, change)| change.old.as_str() == "vin");
    let (columns, values) =
        if changes_vin { ("depot_id", "1 + {n} % 40") } else { ("vin, depot_id", "'T{n}', 1 + {n} % 40") };
    let (mut columns, mut values) = (columns.to_owned(), values.to_owned());
    for change in &plan.changes {
        // What may be NULL today and may not tomorrow has a value in today's release already.
        if let Change::AddConstraint(AddConstraint { rule: Rule::NotNull(column), .. }) = change {
            let sample = samples(column.as_str())[0];
            columns = format!("{columns}, {}", column.sql());
            values = format!("{values}, {}", quote_literal(sample));
        }
    }
    Ok(Subject {
        table: plan.table.clone(),
        key: "id".to_owned(),
        insert_columns: columns,
        insert_values: values,
        touch: "updated_at = now()".to_owned(),
        pairs,
    })
}

/// Returns values that applications write to a column of the fleet today. All of them convert.
fn samples(column: &str) -> &'static [&'static str] {
    match column {
        "status" => &["active", "in_service", "idle", "maintenance", "retired"],
        "license_plate" => &["AB-1234", "ZH 417 203", "M-XY 99", "KX-1042-AB (export)", "", "Ä-ß 7"],
        "odometer" | "weight" => &["0", "7", "48210", "399999", "12"],
        "fuel" => &["Diesel", "petrol", "ELECTRIC", "hybrid", "diesel", "electric"],
        "last_seen" => &["2026-03-01 12:00:00", "2026-07-01 00:00:00.5", "1999-12-31 23:59:59"],
        "telemetry" => &[r#"{"speed": 61}"#, r#"{"codes": ["P0420"], "speed": 0}"#, "null", r#"{"b":1,"a":2}"#],
        "vin" => &["V{n}"], // unique
        _ => &["1", "2", "3"],
    }
}
