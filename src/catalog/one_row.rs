//! What the backfill will do to every row, done to one and rolled back: its UPDATE with all triggers, its CHECK constraints,
//! generated columns and index entries. A trigger that forbids UPDATEs, or a function that does not find a table, is known
//! before anything is changed.

use std::time::Duration;

use serde::Deserialize;
use sqlx::PgConnection;

use super::query::{self, Objection};
use super::{CatalogError, Finding};
use crate::ident::TableName;
use crate::pg::{self, Owner};
use crate::plan::{Backfill, Triggers};
use crate::sql::{quote_ident, quote_literal};

const WHAT: &str = "try the backfill on one row";
/// Applications wait for the row no longer than this, and crossfade for them.
const LIMITS: pg::Limits =
    pg::Limits { lock: Duration::from_millis(200), statement: Duration::from_secs(2), durable: true };

#[derive(Deserialize)]
struct Picked {
    column: String,
}

/// Updates one row of the table as the backfill will, as the table's owner, and makes its index entries, in a transaction that
/// is rolled back. Returns why that fails; `None` where it works, or where the table has no row that is free.
///
/// Takes ROW EXCLUSIVE on the table and a lock on the row, for one message: for milliseconds unless a trigger takes longer.
///
/// # Errors
/// The server's, if it cannot be asked.
pub async fn try_one_row(
    conn: &mut PgConnection,
    (table, oid): (&TableName, i64),
    backfill: &Backfill,
) -> Result<Option<Finding>, CatalogError> {
    let failed = |source| CatalogError::Database { what: WHAT, source };
    let owner = Owner::enter(&mut *conn, oid).await.map_err(failed)?;
    let picked = query::fixed(include_str!("one_row.sql")).bind(oid);
    let Some(Picked { column }) = query::read(&mut *conn, WHAT, picked).await? else { return Ok(None) };
    match try_with(conn, &owner, (table, oid), &column, backfill).await {
        Ok(()) => Ok(None),
        Err(Failed { doing, error }) => {
            let Some(objection) = Objection::of(&error) else {
                if error.as_database_error().is_some() {
                    tracing::debug!(%error, "try the backfill on one row");
                    return Ok(None);
                }
                return Err(failed(error));
            };
            let help = format!(
                "the backfill would fail in the same way; the code runs as the table's owner, \"{}\", whose sessions begin with search_path {}: correct it, or ALTER ROLE {} SET search_path{}",
                owner.role,
                owner.path,
                quote_ident(&owner.role),
                if doing == UPDATE { "; or leave the triggers out: `backfill: { triggers: skip }`" } else { "" },
            );
            let message = format!("{doing} of one row of {table} was tried, and fails: {}", objection.message);
            Ok(Some(Finding { code: "catalog::row_fails", message, help }))
        }
    }
}

const UPDATE: &str = "an UPDATE";
const ENTRY: &str = "a copy with the indexes and constraints";

struct Failed {
    doing: &'static str,
    error: sqlx::Error,
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self { doing: UPDATE, error }
    }
}

async fn try_with(
    conn: &mut PgConnection,
    owner: &Owner,
    (table, oid): (&TableName, i64),
    column: &str,
    backfill: &Backfill,
) -> Result<(), Failed> {
    let (quoted, set) = (table.sql(), quote_ident(column));
    let copied = pg::rolled_back(conn, LIMITS, async |tx| copy(tx, owner, &quoted, oid).await).await;
    let Some(here) = copied.map_err(|error: sqlx::Error| Failed { doing: ENTRY, error })? else { return Ok(()) };
    let update = format!("UPDATE {quoted} AS t SET {set} = t.{set} WHERE {here}");
    let skip = if backfill.triggers == Triggers::Skip { "SET LOCAL session_replication_role = replica" } else { "" };
    // One message: the row is locked for as long as the server works. Somebody else's row is waited for with nothing in hand.
    pg::look(conn, LIMITS, skip, &owner.run(&update)).await?;
    Ok(())
}

/// Copies one row, which it does not lock, into a table with the same indexes and constraints. Returns the condition that
/// finds the row; `None` where there is none.
async fn copy(tx: &mut PgConnection, owner: &Owner, quoted: &str, oid: i64) -> Result<Option<String>, sqlx::Error> {
    let any = format!("SELECT pg_catalog.concat(t.tableoid::oid, ' ', t.ctid) FROM {quoted} AS t LIMIT 1");
    let rows = pg::fetch(tx, &owner.ask(&any)).await?;
    let ctid: Option<String> = rows.first().map(|row| sqlx::Row::try_get(row, 0)).transpose()?.flatten();
    let Some((place, ctid)) = ctid.as_deref().and_then(|here| here.split_once(' ')) else { return Ok(None) };
    // In a partition, maybe.
    let here = format!(
        "t.ctid OPERATOR(pg_catalog.=) {}::pg_catalog.tid AND t.tableoid OPERATOR(pg_catalog.=) {}::pg_catalog.oid",
        quote_literal(ctid),
        quote_literal(place)
    );
    let copy = format!("CREATE TEMPORARY TABLE crossfade_row (LIKE {quoted} INCLUDING ALL)");
    pg::batch(tx, &owner.run(&copy)).await?;
    let columns = "SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ') FROM pg_catalog.pg_attribute AS a \
                   WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''";
    let columns: String = pg::query_scalar(columns).bind(oid).fetch_one(&mut *tx).await?;
    let insert = format!(
        "INSERT INTO pg_temp.crossfade_row ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {quoted} AS t WHERE {here}"
    );
    pg::batch(tx, &owner.run(&insert)).await?;
    Ok(Some(here))
}
