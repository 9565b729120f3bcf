//! Rows that fit once and not twice: on their page with one more column, whose fixed length cannot be moved to the TOAST table; or
//! into one message, with a second copy of a large value.

use serde::Deserialize;
use sqlx::PgConnection;

use super::{CatalogError, Finding, query};
use crate::amounts::plural;
use crate::ident::TableName;
use crate::pg::{self, Owner};
use crate::run::{ChangeFacts, Facts};

const WHAT: &str = "look for rows that are too long";
/// Bytes of a row's header without the bits for NULLs, before it is aligned.
const HEADER: i64 = 23;
const ALIGNMENT: i64 = 8;
/// Bytes of what stands in the row for a value in the TOAST table.
const TOAST_POINTER: i64 = 18;
/// Arguments that a function can have.
const MOST_ARGUMENTS: usize = 90;
/// The longest row that the server sends, or writes with COPY.
const LONGEST_ROW: i64 = 0x3fff_ffff;
/// A value of half of that takes at least so much room, however well it is compressed.
const LEAST_TOAST: i64 = 2 << 20;

#[derive(Deserialize)]
struct Fixed {
    columns: Vec<Column>,
    dropped: bool,
    count: i64,
    toast: i64,
    added: Vec<i64>,
    most: i64,
}

#[derive(Deserialize)]
struct Column {
    attnum: i16,
    /// Quoted, of row `t`.
    name: String,
    /// -1 where it varies.
    length: i64,
    holds: Holds,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Holds {
    Text,
    Bytea,
    Other,
}

/// A column that a change adds.
struct Added<'a> {
    length: i64,
    /// The column whose values it gets; none for one that has nothing but its default.
    from: Option<&'a Column>,
}

impl Column {
    /// At least so many bytes stand in the row itself, as an expression.
    fn in_row(&self, length: i64) -> String {
        if length > 0 {
            return format!("CASE WHEN {} IS DISTINCT FROM NULL THEN {length} ELSE 0 END", self.name);
        }
        format!("COALESCE(LEAST(pg_catalog.pg_column_size({}), {TOAST_POINTER}), 0)", self.name)
    }

    /// At least so many bytes are sent, as an expression. It fetches no large value.
    fn sent(&self) -> String {
        let size = match self.holds {
            Holds::Text => format!("pg_catalog.octet_length({})", self.name),
            // Two digits for each byte.
            Holds::Bytea => format!("2::bigint OPERATOR(pg_catalog.*) pg_catalog.octet_length({})", self.name),
            Holds::Other => format!("pg_catalog.pg_column_size({})", self.name),
        };
        format!("COALESCE(({size})::bigint, 0::bigint)")
    }
}

/// Returns why rows of the table would not fit, on a page or into a message, with the columns that are added; reads the table only
/// where its columns are so many, or its values so large, that this is possible.
///
/// # Errors
/// The server's.
pub async fn rows_too_long(
    conn: &mut PgConnection,
    table: &TableName,
    facts: &Facts,
) -> Result<Option<Finding>, CatalogError> {
    let adding: Vec<_> = facts.changes.iter().filter_map(added_type).collect();
    let types: Vec<String> = adding.iter().map(|(name, _)| name.clone()).collect();
    let read = query::fixed(include_str!("fixed.sql")).bind(facts.main().oid).bind(types);
    let fixed: Fixed = query::read(&mut *conn, WHAT, read).await?;
    let column = |attnum: i16| fixed.columns.iter().find(|column| column.attnum == attnum);
    let added: Vec<_> = fixed
        .added
        .iter()
        .zip(&adding)
        .map(|(length, (_, from))| Added { length: *length, from: from.and_then(column) })
        .collect();
    if added.is_empty() {
        return Ok(None);
    }
    if let Some((condition, more)) = too_long_for_a_page(&fixed, &added) {
        let rows = count(conn, table, facts, &condition).await?;
        if rows > 0 {
            return Ok(Some(Finding::new(
                "catalog::row_too_long",
                format!("{} of {table} would not fit on a page with {more} bytes more", plural(rows, "row")),
                "values of a fixed length cannot be stored elsewhere; drop columns first, or move some to another table",
            )));
        }
    }
    if let Some(condition) = too_long_to_send(&fixed, &added) {
        let rows = count(conn, table, facts, &condition).await?;
        if rows > 0 {
            return Ok(Some(Finding::new(
                "catalog::row_too_long",
                format!(
                    "{} of {table} would be longer than 1 GB with a second copy of a value, and the server can then neither return them whole nor write them with COPY or pg_dump",
                    plural(rows, "row")
                ),
                "shorten these values, or move them to another table",
            )));
        }
    }
    Ok(None)
}

/// Returns the condition for rows that do not fit on a page with the columns that are added, and how many bytes these take; `None`
/// where no row can be so long. What padding takes is left out, so such a row does not fit indeed.
fn too_long_for_a_page(fixed: &Fixed, added: &[Added<'_>]) -> Option<(String, i64)> {
    let least = |length: i64| if length > 0 { length } else { TOAST_POINTER };
    let more: i64 = added.iter().map(|added| least(added.length)).sum();
    let whole: i64 = fixed.columns.iter().map(|column| least(column.length)).sum();
    let columns = fixed.count + i64::try_from(added.len()).unwrap_or(0);
    let aligned = |bytes: i64| (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    // A bit for each column, where one of them is NULL.
    let (plain, with_nulls) = (aligned(HEADER), aligned(HEADER + (columns + 7) / 8));
    if with_nulls + whole + more <= fixed.most {
        return None;
    }
    let header = if fixed.dropped {
        with_nulls.to_string()
    } else {
        let names: Vec<_> = fixed.columns.iter().map(|column| column.name.as_str()).collect();
        let some = |some: &[&str]| format!("pg_catalog.num_nulls({}) OPERATOR(pg_catalog.>) 0", some.join(", "));
        let nulls: Vec<_> = names.chunks(MOST_ARGUMENTS).map(some).collect();
        format!("CASE WHEN {} THEN {with_nulls} ELSE {plain} END", nulls.join(" OR "))
    };
    let mut terms = vec![header];
    let mut lengths: Vec<i64> = fixed.columns.iter().map(|column| column.length).filter(|length| *length > 0).collect();
    lengths.sort_unstable();
    lengths.dedup();
    for length in lengths {
        let of_it: Vec<_> =
            fixed.columns.iter().filter(|column| column.length == length).map(|column| column.name.as_str()).collect();
        let term =
            |some: &[&str]| format!("({length} OPERATOR(pg_catalog.*) pg_catalog.num_nonnulls({}))", some.join(", "));
        terms.extend(of_it.chunks(MOST_ARGUMENTS).map(term));
    }
    terms.extend(fixed.columns.iter().filter(|column| column.length < 0).map(|column| column.in_row(-1)));
    terms.extend(added.iter().map(|added| match added.from {
        Some(column) => column.in_row(added.length),
        None => least(added.length).to_string(),
    }));
    Some((format!("({}) OPERATOR(pg_catalog.>) {}", sum(&terms), fixed.most), more))
}

/// Returns the condition for rows that are too long to be sent with a second copy of their values; `None` where no value can be
/// so large.
fn too_long_to_send(fixed: &Fixed, added: &[Added<'_>]) -> Option<String> {
    let copies: Vec<_> =
        added.iter().filter_map(|added| added.from).filter(|column| column.holds != Holds::Other).collect();
    if copies.is_empty() || fixed.toast < LEAST_TOAST {
        return None;
    }
    let terms: Vec<_> =
        fixed.columns.iter().filter(|column| column.length < 0).chain(copies).map(Column::sent).collect();
    Some(format!("({}) OPERATOR(pg_catalog.>) {LONGEST_ROW}", sum(&terms)))
}

fn sum(terms: &[String]) -> String {
    terms.join(" OPERATOR(pg_catalog.+) ")
}

async fn count(
    conn: &mut PgConnection,
    table: &TableName,
    facts: &Facts,
    condition: &str,
) -> Result<i64, CatalogError> {
    const LIMITS: pg::Limits =
        pg::Limits { lock: std::time::Duration::from_secs(2), statement: std::time::Duration::ZERO, durable: true };
    let failed = |source| CatalogError::Database { what: WHAT, source };
    let count = format!("SELECT pg_catalog.count(*)::pg_catalog.text FROM {} AS t WHERE {condition}", table.sql());
    let owner = Owner::enter(&mut *conn, facts.main().oid).await.map_err(failed)?;
    let said =
        pg::rolled_back(conn, LIMITS, async |tx| pg::texts(tx, &owner.ask(&count)).await).await.map_err(failed)?;
    Ok(said.first().and_then(|rows| rows.parse().ok()).unwrap_or_default())
}

/// The type of the column that a change adds, and the number of the column whose values it gets.
fn added_type(facts: &ChangeFacts) -> Option<(String, Option<i16>)> {
    match facts {
        ChangeFacts::Pair(pair) if !pair.metadata_only => Some((pair.new_base_type.clone(), Some(pair.old.attnum))),
        ChangeFacts::AddColumn(added) => Some((added.type_name.clone(), None)),
        _ => None,
    }
}
