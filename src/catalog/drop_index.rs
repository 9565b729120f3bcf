//! An index that the plan drops: whether it may go, and who would miss it.

use serde::Deserialize;
use sqlx::PgConnection;

use super::index::{Index, Twin, shape};
use super::{CatalogError, Inspection, query};
use crate::amounts::plural;
use crate::ident::TableName;
use crate::plan::{Change, DropIndex, Plan};
use crate::run::IndexFacts;
use crate::sql::quote_ident;

#[derive(Deserialize)]
struct Use {
    dependant: Option<String>,
    scans: i64,
}

/// Returns whether the plan drops the index: then it gets no twin, for it goes before the old column does.
pub(super) fn drops(plan: &Plan, index: &Index) -> bool {
    let of_it = |change: &Change| matches!(change, Change::DropIndex(change) if change.name.as_str() == index.name);
    plan.changes.iter().any(of_it)
}

/// Returns what it takes to build the index again; `None` with a refusal.
pub(super) async fn facts(
    conn: &mut PgConnection,
    change: &DropIndex,
    (table, oid): (&TableName, i64),
    found: &mut Inspection,
) -> Result<Option<IndexFacts>, CatalogError> {
    let name = &change.name;
    let Some(index) = Index::read(conn, oid, name.as_str()).await? else {
        let help = "check the name; it stands in psql's \\d of the table";
        found.refuse("catalog::index_missing", format!("{table} has no index \"{name}\""), help);
        return Ok(None);
    };
    let query = query::fixed(include_str!("drop_index.sql")).bind(oid).bind(name.to_string());
    let used: Use = query::read(conn, "look who uses the index", query).await?;
    if let Some(constraint) = index.constraint() {
        found.refuse(
            "catalog::index_of_constraint",
            format!("index \"{name}\" of {table} belongs to a {constraint} of the same name"),
            "it goes with its constraint only: ALTER TABLE ... DROP CONSTRAINT",
        );
        return Ok(None);
    }
    if index.is_replica_identity() {
        found.refuse(
            "catalog::replica_identity",
            format!("index \"{name}\" is the replica identity of {table}: subscribers find the rows to change by it"),
            "run ALTER TABLE ... REPLICA IDENTITY with another one first",
        );
        return Ok(None);
    }
    if let Some(dependant) = used.dependant {
        let help = "drop it, or let it rest on another unique index, before the run";
        found.refuse("catalog::dependant", format!("{dependant} depends on index \"{name}\""), help);
        return Ok(None);
    }
    if used.scans > 0 {
        found.warn(
            "catalog::index_used",
            format!(
                "index \"{name}\" of {table} was used by {} since the statistics were last reset",
                plural(used.scans, "scan")
            ),
            "look which queries use it (EXPLAIN); standbys count their own scans",
        );
    }
    if index.unique {
        found.warn(
            "catalog::unique_index",
            format!("index \"{name}\" of {table} is unique: once it is gone, rows with equal values are accepted"),
            "INSERT ... ON CONFLICT that relies on it fails then; a rollback fails while such rows are there",
        );
    }
    let Some(tail) = index.tail() else {
        let help = "only indexes that PostgreSQL shows as CREATE INDEX ... ON the table can be built again";
        found.refuse("catalog::index", format!("the definition of index \"{name}\" could not be read"), help);
        return Ok(None);
    };
    let schema = quote_ident(&table.schema);
    let shape = shape(conn, &format!("{schema}.{}", quote_ident(&index.name))).await?;
    Ok(Some(index.facts(0, Twin { tail, mirror: None, shape }, &[])))
}
