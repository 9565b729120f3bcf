//! Two databases with the same tables: one whose columns are changed by runs, and one where it is done by plain ALTER TABLE.

use std::collections::BTreeMap;

use crossfade::runner::Tool;
use crossfade::sql::{quote_ident, quote_literal};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::case::{Case, Piece};
use crate::harness::{Database, Version, tool};

/// Returns a session of the role that owns nothing.
async fn neighbour(database: &Database) -> PgConnection {
    let mut session = PgConnection::connect(&database.url).await.unwrap();
    let settings = "SET ROLE neighbour; SET lock_timeout = '30s'; SET timezone = 'UTC'";
    sqlx::raw_sql(settings).execute(&mut session).await.unwrap();
    session
}

/// A database in which a role that owns nothing writes.
pub(super) struct Place {
    pub(super) database: Database,
    owner: PgConnection,
    neighbour: PgConnection,
}

impl Place {
    async fn new(version: &Version) -> Self {
        let database = Database::on(version).await;
        // Roles are those of the whole server, where other tests run.
        database
            .execute(
                "DO $$ BEGIN CREATE ROLE neighbour; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
                 DO $$ BEGIN CREATE ROLE crossfade_viewer; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
                 ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO neighbour;
                 ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO neighbour",
            )
            .await;
        let neighbour = neighbour(&database).await;
        let owner = PgConnection::connect(&database.url).await.unwrap();
        Self { database, owner, neighbour }
    }

    /// Runs statements in one transaction.
    pub(super) async fn try_execute(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.owner).await.map(drop)
    }

    /// Begins a new session of the role that owns nothing: PL/pgSQL remembers the types that a table had.
    pub(super) async fn reconnect(&mut self) {
        self.neighbour = neighbour(&self.database).await;
    }

    /// Returns what a statement of the role that owns nothing ended with.
    pub(super) async fn write(&mut self, statement: &str) -> String {
        match sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut self.neighbour).await {
            Ok(done) => format!("{} rows", done.rows_affected()),
            Err(sqlx::Error::Database(error)) => error.code().unwrap_or_default().into_owned(),
            Err(error) => format!("{error}"),
        }
    }

    async fn text(&mut self, sql: String) -> String {
        let query = sqlx::query_scalar(AssertSqlSafe(sql.clone())).persistent(false);
        query.fetch_one(&mut self.owner).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Returns all that PostgreSQL knows of the case's schema; the columns' numbers too, if that is asked for.
    pub(super) async fn listing(&mut self, case: &Case, exact: bool) -> String {
        let schema = quote_literal(&case.schema);
        let all = include_str!("../harness/schema.sql")
            .replace("n.nspname NOT IN ('information_schema', 'crossfade')", &format!("n.nspname = {schema}"));
        let more = include_str!("listing.sql")
            .replace("{s}", &schema)
            .replace("{n}", if exact { "a.attnum" } else { "'-'" })
            .replace("{exact}", if exact { "true" } else { "false" });
        let text = format!("{}\n{}", self.text(all).await, self.text(more).await);
        if exact { text } else { with_sorted_statistics(&text) }
    }

    /// Returns all rows of all tables of the case's schema. Materialized views are filled anew before that: what they have is of the
    /// moment of the swap, or of that at which plain ALTER TABLE had them made anew.
    pub(super) async fn contents(&mut self, case: &Case) -> String {
        let refresh = format!(
            "SELECT coalesce(string_agg(format('REFRESH MATERIALIZED VIEW %s', oid::regclass), '; '), '')
             FROM pg_class WHERE relnamespace = {}::regnamespace AND relkind = 'm'",
            quote_literal(&quote_ident(&case.schema))
        );
        let refresh = self.text(refresh).await;
        self.try_execute(&refresh).await.unwrap_or_else(|error| panic!("{refresh}: {error}"));
        let each = format!(
            "SELECT coalesce(string_agg(format('SELECT %L || string_agg(E''\\n'' || to_jsonb(x)::text, '''' ORDER BY to_jsonb(x)::text) AS all_of_it FROM %s x',
                c.oid::regclass::text, c.oid::regclass), ' UNION ALL ' ORDER BY c.relname), 'SELECT '''' AS all_of_it')
             FROM pg_class c WHERE relnamespace = {}::regnamespace AND relkind IN ('r', 'm')",
            quote_literal(&quote_ident(&case.schema))
        );
        let all = self.text(each).await;
        self.text(format!("SELECT coalesce(string_agg(all_of_it, E'\\n'), '') FROM ({all}) AS a")).await
    }
}

/// Both of them.
pub(super) struct Places {
    pub(super) ours: Place,
    pub(super) plain: Place,
    pub(super) tool: Tool,
}

impl Places {
    pub(super) async fn new(version: &Version) -> Self {
        let (ours, plain) = (Place::new(version).await, Place::new(version).await);
        let tool = tool(&ours.database.url);
        Self { ours, plain, tool }
    }

    /// Makes the case's table in both. What PostgreSQL refuses is taken out of the case and returned.
    pub(super) async fn make(&mut self, case: &mut Case) -> Result<Vec<(Piece, String)>, String> {
        let create = case.create().join(";\n");
        self.plain.try_execute(&create).await.map_err(|error| format!("{error}"))?;
        let (mut kept, mut refused) = (vec![], vec![]);
        for piece in std::mem::take(&mut case.pieces) {
            match self.plain.try_execute(&piece.script()).await {
                Ok(()) => kept.push(piece),
                Err(error) => refused.push((piece, error.to_string())),
            }
        }
        case.pieces = kept;
        self.ours.try_execute(&create).await.map_err(|error| format!("the second time: {error}"))?;
        for piece in &case.pieces {
            self.ours.try_execute(&piece.script()).await.map_err(|error| format!("the second time: {error}"))?;
        }
        Ok(refused)
    }

    /// Removes what is left of a case.
    pub(super) async fn remove(&mut self, case: &Case) {
        for place in [&mut self.ours, &mut self.plain] {
            let _ = place.try_execute(&format!("DROP SCHEMA IF EXISTS {} CASCADE", quote_ident(&case.schema))).await;
        }
    }
}

/// Returns a schema in which statistics list their columns by name. PostgreSQL keeps them in the order of the table's columns, which a type
/// change does not keep.
pub(crate) fn with_sorted_statistics(text: &str) -> String {
    let sorted = |line: &str| {
        let (head, rest) = line.split_once(" ON ").filter(|(head, _)| head.contains("CREATE STATISTICS "))?;
        let (columns, table) = rest.split_once(" FROM ")?;
        let mut columns: Vec<_> = columns.split(", ").collect();
        columns.sort_unstable();
        Some(format!("{head} ON {} FROM {table}", columns.join(", ")))
    };
    text.lines().map(|line| sorted(line).unwrap_or_else(|| line.to_owned())).collect::<Vec<_>>().join("\n")
}

/// The lines that one of two texts has more often.
pub(crate) fn difference(expected: &str, found: &str) -> String {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    expected.lines().for_each(|line| *counts.entry(line).or_default() -= 1);
    found.lines().for_each(|line| *counts.entry(line).or_default() += 1);
    let only = |(line, count): (&&str, &i64)| {
        let sign = if *count < 0 { '-' } else { '+' };
        (*count != 0).then(|| format!("{sign} {line}"))
    };
    counts.iter().filter_map(only).collect::<Vec<_>>().join("\n")
}
