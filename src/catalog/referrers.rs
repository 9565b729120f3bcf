//! The columns that refer to the keys of a plan and are changed with them: `referring: change`.

use serde::Deserialize;
use sqlx::PgConnection;

use super::{CatalogError, Finding, query};
use crate::ident::{ColumnName, TableName};
use crate::plan::{self, Plan, Referrer, Referring, widens};

#[derive(Debug, Deserialize)]
struct Found {
    /// Whether the key is an integer column and gets a wider type.
    widens: bool,
    columns: Vec<Column>,
}

#[derive(Debug, Deserialize)]
struct Column {
    schema: String,
    table: String,
    name: String,
    of_type: String,
    /// Schema and name of each table that it refers to.
    refers_to: Vec<(String, String)>,
}

/// What a plan comes to once the columns that refer to its keys are known.
#[derive(Debug)]
pub(crate) struct Family {
    /// The plan, with its parts named and columns of its own table added.
    pub(crate) key: Plan,
    /// The plans of the other tables, in the order in which they are done.
    pub(crate) parts: Vec<Plan>,
    /// What rules it out.
    pub(crate) refusals: Vec<Finding>,
}

/// Returns what `plan` comes to: itself alone unless it says `referring: change`. Takes no lock on any table.
///
/// # Errors
/// [`CatalogError`] when the catalog cannot be read.
pub(crate) async fn family(conn: &mut PgConnection, plan: &Plan) -> Result<Family, CatalogError> {
    let mut refusals = Vec::new();
    let mut all: Vec<Referrer> = Vec::new();
    let asked = plan.referring == Some(Referring::Change);
    let (mut any, mut there) = (false, false);
    for change in plan.changes.iter().filter(|_| asked).filter_map(widens) {
        let query = query::fixed(include_str!("referrers.sql"));
        let query = query.bind(plan.table.sql()).bind(change.column.as_str().to_owned()).bind(change.to.clone());
        let found: Found = query::read(conn, "look for columns that refer to the key", query).await?;
        any |= found.widens;
        there = true;
        for column in found.columns {
            let name = |schema: &str, table: &str| TableName::new(schema, table);
            let Ok(table) = name(&column.schema, &column.table) else { continue };
            let Ok(of) = ColumnName::new(&column.name) else { continue };
            if !all.iter().any(|known| known.table == table && known.column == of) {
                let refers_to =
                    column.refers_to.iter().filter_map(|(schema, table)| name(schema, table).ok()).collect();
                all.push(Referrer { table, column: of, of_type: column.of_type, to: change.to.clone(), refers_to });
            }
        }
    }
    if there && !any {
        refusals.push(Finding {
            code: "catalog::referring_type",
            message: "`referring: change` is for smallint and integer columns that become integer, bigint or numeric, and this plan changes none"
                .to_owned(),
            help: "remove `referring`, and change each column that refers to this one by a plan of its own".to_owned(),
        });
    }
    match plan::with_parts(plan, &all) {
        Ok((key, parts)) => Ok(Family { key, parts, refusals }),
        Err(circle) => {
            let tables: Vec<_> = circle.iter().map(ToString::to_string).collect();
            refusals.push(Finding {
                code: "catalog::referring_circle",
                message: format!("tables refer to each other in a circle, so none can be changed first: {}", tables.join(", ")),
                help: "leave out `referring`, and change each column by a plan of its own, the column that refers before the one that it refers to"
                    .to_owned(),
            });
            Ok(Family { key: plan.clone(), parts: vec![], refusals })
        }
    }
}
