//! Triggers that give their function the name of a column as an argument, of which PostgreSQL knows nothing (docs/postgres.md, "What a
//! rename does not reach").

use serde::Deserialize;
use sqlx::PgConnection;

use super::{CatalogError, Inspection, query};
use crate::plan::{Change, Plan};

#[derive(Debug, Deserialize)]
struct Argument {
    trigger: String,
    function: String,
    column: String,
}

/// Warns of arguments that are the name of a column which loses it. Takes no lock.
pub(super) async fn warn(
    conn: &mut PgConnection,
    table: i64,
    plan: &Plan,
    found: &mut Inspection,
) -> Result<(), CatalogError> {
    let loses = |change: &Change| match change {
        Change::DropColumn(drop) => Some(drop.column.as_str().to_owned()),
        _ => change.pair().filter(|pair| !pair.keeps_name()).map(|pair| pair.old.as_str().to_owned()),
    };
    let columns: Vec<_> = plan.changes.iter().filter_map(loses).collect();
    let query = query::fixed(include_str!("trigger_arguments.sql")).bind(table).bind(columns);
    let all: Vec<Argument> = query::read(conn, "read the arguments of triggers", query).await?;
    for Argument { trigger, function, column } in all {
        found.warn(
            "catalog::trigger_argument",
            format!("trigger \"{trigger}\" gives its function {function} the name \"{column}\" as an argument, which stays as it is"),
            "if that means the column, `contract` stops before the old name goes: make the trigger anew before that, with a function of \
             your own that takes the column under either name",
        );
    }
    Ok(())
}
