//! What is made anew in a swap, tried on the changed copy of the table: what PostgreSQL would refuse then, it refuses here.
//!
//! The copy gets the table's name for that, and views get copies as well: their definitions, in which the names of tables stand
//! alone, so mean the temporary ones. No definition is changed as text.

use serde::Deserialize;
use sqlx::PgConnection;

use super::columns::Column;
use super::copy::{COPY, Outcome, Part, give_back};
use super::query::{self, Objection, attempt, attempt_as_oneself, run};
use super::{CatalogError, Inspection};
use crate::ident::TableName;
use crate::names::{FIRST_TRIGGER, LAST_TRIGGER};
use crate::sql::quote_ident;

const WHAT: &str = "rehearse what is made anew";

#[derive(Debug, Deserialize)]
struct Hanging {
    /// Kind, oid and description of each.
    objects: Vec<(String, i64, String)>,
    /// The schemas of the table and the views, for a `search_path`.
    schemas: String,
    /// What stands behind the name of the primary key: a view may group by it.
    key: Option<String>,
}

/// The table that it is about, or one that inherits from it.
pub(super) struct Place<'a> {
    pub(super) name: &'a TableName,
    pub(super) oid: i64,
    /// The numbers of the columns here.
    pub(super) attnums: Vec<i32>,
    /// Columns that the copy has not, as ADD COLUMN says them.
    pub(super) beside: Vec<String>,
}

/// Refuses what hangs on columns of a table and could not be made anew on columns of the new types. The [`COPY`] has the
/// changes, and is left as it is. Takes no lock on the table.
pub(super) async fn try_out(
    conn: &mut PgConnection,
    place: Place<'_>,
    (parts, outcomes): (&[Part<'_>], &[Outcome]),
    found: &mut Inspection,
) -> Result<(), CatalogError> {
    let Place { name, oid: table, attnums, beside } = place;
    let query = query::fixed(include_str!("anew.sql")).bind(table).bind(attnums);
    let query = query.bind(FIRST_TRIGGER.to_owned()).bind(LAST_TRIGGER.to_owned());
    let hanging: Hanging = query::read(conn, WHAT, query).await?;
    if hanging.objects.is_empty() {
        return Ok(());
    }
    refuse_in_place(conn, table, (parts, outcomes), found).await?;
    run(conn, WHAT, "SAVEPOINT crossfade_anew".to_owned()).await?;
    run(conn, WHAT, format!("SET LOCAL search_path = pg_catalog, {}, pg_temp", hanging.schemas)).await?;
    let (kinds, oids): (Vec<_>, Vec<_>) = hanging.objects.iter().map(|(kind, oid, _)| (kind.clone(), *oid)).unzip();
    let query = query::fixed(include_str!("anew_statements.sql")).bind(table).bind(kinds).bind(oids);
    let statements: Vec<Vec<String>> = query::read(conn, WHAT, query).await?;
    let last = parts.iter().zip(outcomes).filter(|(part, out)| !out.metadata_only && part.change.keeps_name());
    let last = last.map(|(part, _)| {
        let (new, last) = (part.change.new.sql(), part.change.final_name().sql());
        format!("ALTER TABLE {COPY} RENAME COLUMN {new} TO {last}")
    });
    let rename = format!("ALTER TABLE {COPY} RENAME TO {}", quote_ident(&name.name));
    let complete = beside.iter().map(|column| format!("ALTER TABLE {COPY} ADD COLUMN {column}"));
    let changed =
        give_back(parts.iter().map(|part| part.change)).into_iter().chain(last).chain(complete).chain([rename]);
    let place = format!("pg_temp.{}", quote_ident(&name.name));
    let objections = make(conn, (&hanging, &place), changed.collect(), &statements).await?;
    run(conn, WHAT, "ROLLBACK TO SAVEPOINT crossfade_anew".to_owned()).await?;
    if objections.iter().any(Option::is_some) {
        // What cannot be made on a copy that is like the table says nothing about the change.
        let as_it_is = vec![
            format!("DROP TABLE {COPY}"),
            format!("CREATE TEMPORARY TABLE {place} (LIKE {} INCLUDING DEFAULTS)", name.sql()),
        ];
        let without_change = make(conn, (&hanging, &place), as_it_is, &statements).await?;
        for ((objection, before), (_, _, description)) in objections.iter().zip(&without_change).zip(&hanging.objects) {
            if let (Some(objection), None) = (objection, before) {
                found.refuse(
                    "catalog::made_anew",
                    format!("{description} does not fit the new type: {}", objection.message),
                    "plain ALTER TABLE could not be followed by creating it again either: drop it before the run, and create one that \
                     fits the new type once the column has it",
                );
            }
        }
    }
    run(conn, WHAT, "ROLLBACK TO SAVEPOINT crossfade_anew; RELEASE SAVEPOINT crossfade_anew".to_owned()).await
}

/// Refuses a type that PostgreSQL changes in place under a materialized view: there is no second column from which that could be filled
/// before.
async fn refuse_in_place(
    conn: &mut PgConnection,
    table: i64,
    (parts, outcomes): (&[Part<'_>], &[Outcome]),
    found: &mut Inspection,
) -> Result<(), CatalogError> {
    let mut in_place = Vec::new();
    for (part, outcome) in parts.iter().zip(outcomes) {
        if outcome.metadata_only && part.change.keeps_name() {
            in_place.push(part.old.name.clone());
        }
    }
    if in_place.is_empty() {
        return Ok(());
    }
    let columns = Column::read_all(conn, table).await?;
    let in_place: Vec<_> = columns.iter().filter(|c| in_place.contains(&c.name)).map(|c| i32::from(c.attnum)).collect();
    let query = query::fixed(include_str!("anew.sql")).bind(table).bind(in_place);
    let query = query.bind(FIRST_TRIGGER.to_owned()).bind(LAST_TRIGGER.to_owned());
    let hanging: Hanging = query::read(conn, WHAT, query).await?;
    for (_, _, description) in hanging.objects.iter().filter(|(kind, _, _)| kind == "materialized view") {
        found.refuse(
            "catalog::materialized_view",
            format!(
                "{description} reads a column whose type PostgreSQL changes in place, but not under a materialized view"
            ),
            "drop it before the run, and create it again afterwards: the change itself takes milliseconds",
        );
    }
    Ok(())
}

/// Makes everything on the copy that `before` leaves under the table's name; returns for each what PostgreSQL says against it.
async fn make(
    conn: &mut PgConnection,
    (hanging, place): (&Hanging, &str),
    before: Vec<String>,
    statements: &[Vec<String>],
) -> Result<Vec<Option<Objection>>, CatalogError> {
    // What is wrong with the copy itself is said elsewhere.
    if attempt(conn, WHAT, before).await?.is_err() {
        return Ok(vec![None; hanging.objects.len()]);
    }
    run(conn, WHAT, format!("SET LOCAL search_path = pg_catalog, pg_temp, {}", hanging.schemas)).await?;
    if let Some(key) = &hanging.key {
        // One that does not fit is said elsewhere.
        let key = format!("ALTER TABLE {place} ADD {key}");
        attempt_as_oneself(conn, WHAT, [key]).await?.ok();
    }
    let mut objections = Vec::new();
    for statements in statements {
        objections.push(attempt_as_oneself(conn, WHAT, statements.clone()).await?.err());
    }
    Ok(objections)
}
