//! What somebody needs to know who is about to write a plan: a table with its columns, and a type.

use serde::Deserialize;
use sqlx::{Connection as _, PgConnection};

use super::CatalogError;
use super::finding::did_you_mean;
use super::inspect::settle;
use super::query::{self, Objection};
use super::table::Table;
use crate::ident::TableName;
use crate::sql::quote_literal;

const WHAT: &str = "look for the table";
const OWN_PATH: &str = "SET LOCAL search_path = pg_catalog, pg_temp";

/// A table as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The table.
    pub table: TableName,
    /// Whether its schema was found through the `search_path` of the connection.
    pub by_path: bool,
    /// Its columns, in their order.
    pub columns: Vec<OutlineColumn>,
}

/// A column of such a table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OutlineColumn {
    /// Its name.
    pub name: String,
    /// The name for SQL, in quotes where it needs them.
    pub(crate) sql: String,
    /// Its type, with length or precision.
    pub type_name: String,
    /// Its type without those.
    pub(crate) base_type: String,
    pub(crate) not_null: bool,
    /// Its default, as PostgreSQL writes it down.
    pub(crate) default: Option<String>,
    /// Of an enum, its labels.
    pub(crate) labels: Vec<String>,
    /// The indexes that mention it.
    pub(crate) indexes: Vec<String>,
}

/// A type that somebody has named.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct OutlineType {
    /// As casts name it, with its schema unless it is one of PostgreSQL's own.
    pub(crate) base_type: String,
    pub(crate) built_in: bool,
    /// Of an enum, its labels.
    pub(crate) labels: Vec<String>,
}

/// A name that nothing has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotThere {
    /// The sentence that says so.
    pub what: String,
    /// What may have been meant.
    pub near: Option<String>,
}

impl Outline {
    /// Returns the column of this name.
    ///
    /// # Errors
    /// [`NotThere`], with the nearest name.
    pub fn column(&self, name: &str) -> Result<&OutlineColumn, NotThere> {
        self.columns.iter().find(|column| column.name == name).ok_or_else(|| NotThere {
            what: format!("{} has no column \"{name}\"", self.table),
            near: did_you_mean(name, self.columns.iter().map(|column| column.name.as_str())).map(str::to_owned),
        })
    }
}

/// Returns the table `name` of `schema`, or of the first schema of the `search_path` that has one, as PostgreSQL finds it. Takes no
/// lock.
///
/// # Errors
/// [`CatalogError`] when the catalog cannot be read. That there is no such table is a result.
pub async fn outline(
    conn: &mut PgConnection,
    schema: Option<&str>,
    name: &str,
) -> Result<Result<Outline, NotThere>, CatalogError> {
    #[derive(Deserialize)]
    struct Row {
        schema: String,
        name: String,
        columns: Vec<OutlineColumn>,
    }
    let (mut transaction, path) = begin(conn).await?;
    let conn = &mut *transaction;
    let schemas = match schema {
        Some(schema) => vec![schema.to_owned()],
        None => schemas(conn, &path).await?,
    };
    let query = query::fixed(include_str!("outline.sql")).bind(schemas.clone()).bind(name.to_owned());
    let found: Option<Row> = query::read(conn, WHAT, query).await?;
    let found = found.and_then(|row| Some((TableName::new(&row.schema, &row.name).ok()?, row.columns)));
    let result = match found {
        Some((table, columns)) => Ok(Outline { table, by_path: schema.is_none(), columns }),
        None => Err(not_there(conn, schema, &schemas, name).await?),
    };
    end(transaction).await?;
    Ok(result)
}

/// Returns who that is: nobody, but perhaps one whose name is similar.
async fn not_there(
    conn: &mut PgConnection,
    schema: Option<&str>,
    schemas: &[String],
    name: &str,
) -> Result<NotThere, CatalogError> {
    let all = tables_of(conn).await?;
    let path = || schemas.iter().map(String::as_str).filter(|schema| !schema.starts_with("pg_")).collect::<Vec<_>>();
    let what = match schema {
        Some(schema) => format!("there is no table \"{name}\" in schema \"{schema}\""),
        None => format!("there is no table \"{name}\" in the search_path ({})", path().join(", ")),
    };
    let wanted =
        TableName { schema: schema.or(path().first().copied()).unwrap_or("public").to_owned(), name: name.to_owned() };
    Ok(NotThere { what, near: Table::near(&wanted, &all) })
}

/// Returns the tables that a plan could be about, partitions not among them, those of the `search_path` first.
///
/// # Errors
/// [`CatalogError`] when the catalog cannot be read.
pub async fn tables(conn: &mut PgConnection) -> Result<Vec<TableName>, CatalogError> {
    let (mut transaction, path) = begin(conn).await?;
    let schemas = schemas(&mut transaction, &path).await?;
    let offered = query::fixed(include_str!("offered_tables.sql"));
    let mut all: Vec<(String, String)> = query::read(&mut transaction, "read the names of tables", offered).await?;
    end(transaction).await?;
    let place = |schema: &String| schemas.iter().position(|other| other == schema).unwrap_or(schemas.len());
    all.sort_by(|a, b| (place(&a.0), a).cmp(&(place(&b.0), b)));
    Ok(all.iter().filter_map(|(schema, name)| TableName::new(schema, name).ok()).collect())
}

async fn tables_of(conn: &mut PgConnection) -> Result<Vec<(String, String)>, CatalogError> {
    query::read(conn, "read the names of tables", query::fixed(include_str!("tables.sql"))).await
}

/// Returns the type that `text` names under the `search_path` of the connection; `None` where it is more than a name that
/// PostgreSQL's grammar knows: whoever tries it will say why.
///
/// # Errors
/// [`CatalogError`] when the catalog cannot be read. That there is no such type is a result.
pub(crate) async fn outline_type(
    conn: &mut PgConnection,
    text: &str,
) -> Result<Result<Option<OutlineType>, NotThere>, CatalogError> {
    const WHAT: &str = "look for the type";
    let (mut transaction, path) = begin(conn).await?;
    let conn = &mut *transaction;
    let ask = format!(
        "SELECT COALESCE(pg_catalog.to_regtype({})::pg_catalog.oid::pg_catalog.int8, 0)::pg_catalog.text",
        quote_literal(text)
    );
    let oid = if text.contains('\0') { Ok(None) } else { under(conn, &path, WHAT, ask).await? };
    let result = match oid.ok().flatten().map(|oid| oid.parse::<i64>().unwrap_or_default()) {
        None => Ok(None),
        Some(0) => {
            let all: Vec<String> = query::read(conn, WHAT, query::fixed(include_str!("outline_types.sql"))).await?;
            // Whoever forgets a letter may well forget the schema.
            let bare = |name: &'_ str| name.rsplit_once('.').map_or(name.to_owned(), |(_, name)| name.to_owned());
            let near = did_you_mean(text, all.iter().map(String::as_str)).map(str::to_owned).or_else(|| {
                let near = all.iter().map(|name| bare(name)).collect::<Vec<_>>();
                let near = did_you_mean(text, near.iter().map(String::as_str))?;
                all.iter().find(|name| bare(name) == near).cloned()
            });
            Err(NotThere { what: format!("there is no type \"{text}\""), near })
        }
        Some(oid) => Ok(query::read(conn, WHAT, query::fixed(include_str!("outline_type.sql")).bind(oid)).await?),
    };
    end(transaction).await?;
    Ok(result)
}

/// Returns the value of an expression that consists of constants and of what is PostgreSQL's own, as text, or `None` where it
/// raises an error.
///
/// # Errors
/// [`CatalogError`] when the server cannot be asked.
pub(crate) async fn constant(conn: &mut PgConnection, sql: &str) -> Result<Option<String>, CatalogError> {
    let (mut transaction, _) = begin(conn).await?;
    let select = format!("SELECT CAST({sql} AS pg_catalog.text)");
    let value = query::attempt(&mut transaction, "try a default", [select]).await?;
    end(transaction).await?;
    Ok(value.ok().flatten())
}

type Transaction<'a> = sqlx::Transaction<'a, sqlx::Postgres>;

/// Begins a transaction with limits in which nothing but PostgreSQL's own names is found, and returns the `search_path` that there
/// was.
async fn begin(conn: &mut PgConnection) -> Result<(Transaction<'_>, String), CatalogError> {
    let begin = conn.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY").await;
    let mut transaction = begin.map_err(|source| CatalogError::Database { what: WHAT, source })?;
    let path = settle(&mut transaction).await?;
    query::run(&mut transaction, WHAT, OWN_PATH.to_owned()).await?;
    Ok((transaction, path))
}

async fn end(transaction: Transaction<'_>) -> Result<(), CatalogError> {
    transaction.rollback().await.map_err(|source| CatalogError::Database { what: WHAT, source })
}

/// Asks, under this `search_path`, a query that uses nothing but PostgreSQL's own names.
async fn under(
    conn: &mut PgConnection,
    path: &str,
    what: &'static str,
    ask: String,
) -> Result<Result<Option<String>, Objection>, CatalogError> {
    let set = format!("SELECT pg_catalog.set_config('search_path', {}, true)", quote_literal(path));
    let answer = query::attempt(conn, what, [set, ask]).await?;
    query::run(conn, what, OWN_PATH.to_owned()).await?;
    Ok(answer)
}

/// Returns the schemas in which PostgreSQL looks for a table under this `search_path`, in order.
async fn schemas(conn: &mut PgConnection, path: &str) -> Result<Vec<String>, CatalogError> {
    const WHAT: &str = "read the search_path";
    let ask = "SELECT pg_catalog.to_json(pg_catalog.current_schemas(true))::pg_catalog.text".to_owned();
    let answer = under(conn, path, WHAT, ask).await?.ok().flatten();
    serde_json::from_str(answer.as_deref().unwrap_or("[]"))
        .map_err(|source| CatalogError::Answer { what: WHAT, source })
}
