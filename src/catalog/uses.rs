//! Who uses a column: sessions, statements that the server has counted, functions and views.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::functions::Function;
use super::{CatalogError, dependants};
use crate::ident::TableName;
use crate::names::LedgerSchema;
use crate::pg;
use crate::sql::quote_ident;

/// A client whose session's latest statement names a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenClient {
    pub(crate) column: String,
    pub(crate) application: String,
    pub(crate) role: String,
    pub(crate) address: String,
    /// When its session was last at work.
    pub(crate) at: DateTime<Utc>,
    /// Without literals.
    pub(crate) statement: String,
}

/// A statement that the server has counted, and that names a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenStatement {
    pub(crate) column: String,
    pub(crate) role_oid: i64,
    pub(crate) query_id: i64,
    pub(crate) role: String,
    pub(crate) calls: i64,
    /// Without literals.
    pub(crate) statement: String,
}

/// What `pg_stat_statements` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statements {
    /// Whether those of other roles can be seen.
    pub(crate) sees_others: bool,
    /// Whether statements are counted.
    pub(crate) tracks: bool,
    /// When it was reset last; `None` where it does not say.
    pub(crate) reset_at: Option<DateTime<Utc>>,
    /// How often it has thrown statements out to make room; `None` where it does not say.
    pub(crate) evicted: Option<i64>,
    pub(crate) seen: Vec<SeenStatement>,
}

/// A function or a view that names a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenObject {
    pub(crate) column: String,
    pub(crate) object: String,
    pub(crate) line: Option<usize>,
}

pg::columns!(
    /// Texts come as bytes: a database in `SQL_ASCII` may run a statement that is not UTF-8.
    struct Session {
        application: Option<Vec<u8>>,
        role: Option<Vec<u8>>,
        address: String,
        at: Option<DateTime<Utc>>,
        query: Option<Vec<u8>>,
    }
);

pg::columns!(
    struct Counted {
        role_oid: i64,
        query_id: i64,
        role: Option<Vec<u8>>,
        calls: i64,
        query: Option<Vec<u8>>,
    }
);

pg::columns!(
    struct Info {
        reset_at: Option<DateTime<Utc>>,
        evicted: Option<i64>,
    }
);

pg::columns!(
    struct Sight {
        sees_others: bool,
        tracks: bool,
    }
);

fn text(bytes: Option<Vec<u8>>) -> String {
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Returns what cannot be seen of sessions here.
pub(crate) async fn unseen_sessions(conn: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let select = "SELECT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS sees_others, \
                  pg_catalog.current_setting('track_activities')::bool AS tracks";
    let Sight { sees_others, tracks } = pg::query_as(select).fetch_one(conn).await?;
    let rights = "sessions and statements of other roles (GRANT pg_read_all_stats)".to_owned();
    let off = "what sessions do (track_activities is off)".to_owned();
    Ok([(!sees_others).then_some(rights), (!tracks).then_some(off)].into_iter().flatten().collect())
}

/// Returns the clients of this database whose sessions' latest statement names one of the columns of the table. One look at
/// what the server knows anyway: nobody waits for it.
pub(crate) async fn clients(
    conn: &mut PgConnection,
    table: &TableName,
    columns: &[String],
) -> Result<Vec<SeenClient>, sqlx::Error> {
    let select = "SELECT pg_catalog.textsend(a.application_name) AS application, pg_catalog.textsend(a.usename::text) AS role, \
                    COALESCE(pg_catalog.host(a.client_addr), 'local') AS address, pg_catalog.textsend(a.query) AS query, \
                    CASE WHEN a.state IN ('active', 'fastpath function call') THEN pg_catalog.clock_timestamp() \
                         ELSE LEAST(a.state_change, pg_catalog.clock_timestamp()) END AS at \
                  FROM pg_catalog.pg_stat_activity AS a \
                  WHERE a.datname = pg_catalog.current_database() AND a.backend_type = 'client backend' AND a.query <> '' \
                    AND a.pid <> pg_catalog.pg_backend_pid() AND a.application_name NOT LIKE 'crossfade %'";
    let sessions: Vec<Session> = pg::query_as(select).fetch_all(conn).await?;
    let mut found: Vec<SeenClient> = Vec::new();
    for Session { application, role, address, at, query } in sessions {
        let (Some(at), query) = (at, text(query)) else { continue };
        let (application, role) = (text(application), text(role));
        for column in columns.iter().filter(|column| pg::statement_names(&query, table, column)) {
            let statement = pg::redact(&query);
            let (application, role, address) = (application.clone(), role.clone(), address.clone());
            let seen = SeenClient { column: column.clone(), application, role, address, at, statement };
            let same = |other: &&mut SeenClient| {
                (&other.column, &other.application, &other.role, &other.address)
                    == (&seen.column, &seen.application, &seen.role, &seen.address)
            };
            match found.iter_mut().find(same) {
                Some(other) if other.at >= seen.at => {}
                Some(other) => *other = seen,
                None => found.push(seen),
            }
        }
    }
    found.sort_by(|a, b| {
        (&a.column, &a.application, &a.role, &a.address).cmp(&(&b.column, &b.application, &b.role, &b.address))
    });
    Ok(found)
}

/// Returns the statements of this database that name one of the columns, or why nobody can tell.
pub(crate) async fn statements(
    conn: &mut PgConnection,
    table: &TableName,
    columns: &[String],
) -> Result<Result<Statements, String>, sqlx::Error> {
    let schema = "SELECT pg_catalog.min(n.nspname::text) FROM pg_catalog.pg_extension AS e \
                  JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'";
    let schema: Option<String> = pg::query_scalar(schema).fetch_one(&mut *conn).await?;
    let Some(schema) = schema.as_deref().map(quote_ident) else {
        return Ok(Err("statements that have ended (pg_stat_statements is not installed in this database)".to_owned()));
    };
    let select = format!(
        "SELECT s.userid::bigint AS role_oid, s.queryid AS query_id, \
           pg_catalog.textsend(COALESCE(pg_catalog.min(r.rolname::text), s.userid::text)) AS role, \
           pg_catalog.sum(s.calls)::bigint AS calls, pg_catalog.textsend(pg_catalog.min(s.query)) AS query \
         FROM {schema}.pg_stat_statements AS s LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.userid \
         WHERE s.dbid = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()) \
           AND s.queryid IS NOT NULL GROUP BY s.userid, s.queryid ORDER BY s.userid, s.queryid"
    );
    let counted: Vec<Counted> = match pg::query_as(&select).fetch_all(&mut *conn).await {
        Ok(counted) => counted,
        Err(error) if error.as_database_error().is_some() => {
            return Ok(Err(format!("statements that have ended (pg_stat_statements: {})", pg::describe(&error))));
        }
        Err(error) => return Err(error),
    };
    let sight = "SELECT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS sees_others, \
                 COALESCE(pg_catalog.current_setting('pg_stat_statements.track', true), '') <> 'none' AS tracks";
    let Sight { sees_others, tracks } = pg::query_as(sight).fetch_one(&mut *conn).await?;
    // Versions of the extension before 1.9 do not say whether they have lost anything.
    let has_info = "SELECT pg_catalog.to_regclass($1) IS NOT NULL";
    let info = format!("{schema}.pg_stat_statements_info");
    let (mut reset_at, mut evicted) = (None, None);
    if pg::query_scalar(has_info).bind(info.clone()).fetch_one(&mut *conn).await? {
        let select = format!("SELECT i.stats_reset AS reset_at, i.dealloc AS evicted FROM {info} AS i");
        let info: Info = pg::query_as(&select).fetch_one(conn).await?;
        (reset_at, evicted) = (info.reset_at, info.evicted);
    }
    let mut seen = Vec::new();
    for Counted { role_oid, query_id, role, calls, query } in counted {
        let (role, query) = (text(role), text(query));
        for column in columns.iter().filter(|column| pg::statement_names(&query, table, column)) {
            let (role, statement) = (role.clone(), pg::redact(&query));
            seen.push(SeenStatement { column: column.clone(), role_oid, query_id, role, calls, statement });
        }
    }
    Ok(Ok(Statements { sees_others, tracks, reset_at, evicted, seen }))
}

/// Returns the functions that may name one of the columns of the table, and the views and functions that depend on it. What
/// depends on a column that stays follows it under its new name; `columns` says of each whether it does.
pub(crate) async fn objects(
    conn: &mut PgConnection,
    (table, oid): (&TableName, i64),
    columns: &[(String, bool)],
    ledger: &LedgerSchema,
) -> Result<Vec<SeenObject>, CatalogError> {
    const KINDS: [&str; 3] = ["view", "materialized_view", "function"];
    let functions = Function::read_all(conn, oid, ledger).await?;
    let mut found = Vec::new();
    for (column, stays) in columns {
        let may = functions.iter().filter_map(|function| function.names(table, column));
        found.extend(may.map(|(object, line)| SeenObject { column: column.clone(), object, line: Some(line) }));
        let uses = if *stays { vec![] } else { dependants(conn, table, column).await? };
        let uses = uses.into_iter().filter(|of| KINDS.contains(&of.kind.as_str()));
        found.extend(uses.map(|of| SeenObject { column: column.clone(), object: of.description, line: None }));
    }
    Ok(found)
}
