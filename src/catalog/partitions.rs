//! What single partitions have on columns that get another type.

use sqlx::PgConnection;

use super::{CatalogError, Inspection, query};
use crate::amounts::plural;
use crate::ident::{RunTag, TableName};

/// Refuses what partitions of the table (its name and oid) have on these columns and the table itself has not: a type change carries
/// none of it but indexes, checks, unique constraints and foreign keys. What has a name of the run is left out. Takes no lock.
pub(super) async fn judge_own(
    conn: &mut PgConnection,
    (name, table): (&TableName, i64),
    columns: &[String],
    tag: &RunTag,
    found: &mut Inspection,
) -> Result<(), CatalogError> {
    let query = query::fixed(include_str!("partitions.sql")).bind(table).bind(columns.to_vec()).bind(tag.name(""));
    let all: Vec<(String, String, String, i64)> = query::read(conn, "read what partitions have alone", query).await?;
    for (partition, column, what, others) in all {
        let others = match others {
            0 => String::new(),
            1 => " and of another one".to_owned(),
            others => format!(" and of {}", plural(others, "other")),
        };
        found.refuse(
            "catalog::partition_own",
            format!("column \"{column}\" of partition {partition}{others} of {name} {what}"),
            "a type change carries what the partitioned table has, and of single partitions comments, grants, statistics targets, indexes, \
             checks, unique constraints and foreign keys: take it away there for the run, give it to the whole table, or detach the partition",
        );
    }
    Ok(())
}
