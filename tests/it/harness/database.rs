//! A database of one test.

use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use crossfade::testkit::server::Server;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres};

use super::limit;
use super::postgres::{Version, server, server_of};

/// An empty database with a pool of connections. On a shared server it goes with this value, because hundreds of them, at
/// several megabytes each, fill a disk.
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) pool: PgPool,
    shared: bool,
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.shared {
            // An error means that the last database is being removed at the end of the test binary.
            let _ = REMOVE.send(self.url.clone());
        }
    }
}

/// Takes the URLs of databases that are to be removed, one after the other, beside the tests.
static REMOVE: LazyLock<Sender<String>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<String>();
    let remove = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for url in receiver {
            // What a replication slot or a prepared transaction holds stays until the server goes.
            let _ = runtime.block_on(remove(&url));
        }
    };
    thread::Builder::new().name("removes databases".to_owned()).spawn(remove).unwrap();
    sender
});

async fn remove(url: &str) -> Result<(), sqlx::Error> {
    let (server, name) = url.rsplit_once('/').expect("a URL ends with the name of a database");
    let mut connection = PgConnection::connect(&format!("{server}/postgres")).await?;
    let statement = format!("DROP DATABASE {name} WITH (FORCE)");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}

impl Database {
    /// Returns a fresh database on the default version.
    pub(crate) async fn new() -> Self {
        Self::made(server(), true).await
    }

    /// Returns a fresh database on `version`.
    pub(crate) async fn on(version: &Version) -> Self {
        Self::made(server_of(version), true).await
    }

    /// Returns a fresh database on a server of the test's own.
    pub(crate) async fn on_server(server: &Server) -> Self {
        Self::made(server, false).await
    }

    /// Returns a copy of this database, which is on `version` and in which nobody has a session: its pool is closed.
    pub(crate) async fn copy(&self, version: &Version) -> Self {
        let name = next_name();
        let server = server_of(version);
        let mut session = PgConnection::connect(&server.url("postgres")).await.unwrap();
        let statement = format!("CREATE DATABASE {name} TEMPLATE {}", self.name);
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut session).await.unwrap();
        session.close().await.unwrap();
        Self::called(name, server, true)
    }

    async fn made(server: &Server, shared: bool) -> Self {
        let name = next_name();
        server.create_database(&name).await.unwrap();
        Self::called(name, server, shared)
    }

    fn called(name: String, server: &Server, shared: bool) -> Self {
        let url = server.url(&name);
        limit::server(&url);
        let pool = PgPoolOptions::new().max_connections(20).connect_lazy(&url).unwrap();
        Self { name, url, pool, shared }
    }

    /// Runs statements, all in one implicit transaction.
    pub(crate) async fn execute(&self, sql: &str) {
        let result = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.pool).await;
        result.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Returns the one value of a query.
    pub(crate) async fn scalar<T>(&self, sql: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres> + Send + Unpin,
    {
        let query = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).persistent(false);
        query.fetch_one(&self.pool).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Returns the database's schema without the ledger, in a form in which two tables that differ in nothing but
    /// the order of their columns look the same. From `pg_dump`, or where it is older than the server, from the catalog.
    pub(crate) async fn schema(&self) -> String {
        let server: i32 = self.scalar("SELECT current_setting('server_version_num')::int / 10000").await;
        if u32::try_from(server).unwrap() <= *PG_DUMP {
            self.pg_dump()
        } else {
            self.scalar(include_str!("schema.sql")).await
        }
    }

    /// Returns the database's schema without the ledger, as it is: from the catalog, and from `pg_dump` where it is not older than
    /// the server.
    pub(crate) async fn exact_schema(&self) -> String {
        let server: i32 = self.scalar("SELECT current_setting('server_version_num')::int / 10000").await;
        let listed: String = self.scalar(include_str!("schema.sql")).await;
        let noise = |line: &&str| ["\\restrict", "\\unrestrict"].iter().any(|n| line.starts_with(n));
        let dumped = if u32::try_from(server).unwrap() <= *PG_DUMP { self.dump() } else { String::new() };
        format!("{listed}\n{}", dumped.lines().filter(|line| !noise(line)).collect::<Vec<_>>().join("\n"))
    }

    /// Returns `pg_dump --schema-only`, normalised.
    fn pg_dump(&self) -> String {
        normalised(&self.dump())
    }

    fn dump(&self) -> String {
        let output = Command::new("pg_dump")
            .args(["--schema-only", "--exclude-schema=crossfade", "--dbname", &self.url])
            .output()
            .unwrap();
        assert!(output.status.success(), "pg_dump: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Returns the name of the next database, and notes that the test is at work.
fn next_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    limit::begin();
    format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// The major version of the `pg_dump` on `PATH`; 0 if there is none.
static PG_DUMP: LazyLock<u32> = LazyLock::new(|| {
    let output = Command::new("pg_dump").arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    number.and_then(|number| number.split('.').next()?.parse().ok()).unwrap_or(0)
});

/// Returns a dump's statements in alphabetical order, without comments and settings, and with the columns of each
/// table in alphabetical order too: comments and grants on columns follow the order of the columns.
fn normalised(dump: &str) -> String {
    let noise = |line: &&str| {
        ["--", "SET ", "SELECT pg_catalog.set_config", "\\restrict", "\\unrestrict"].iter().any(|n| line.starts_with(n))
    };
    let text = dump.lines().filter(|line| !noise(line)).collect::<Vec<_>>().join("\n");
    let mut statements: Vec<String> = text
        .split("\n\n")
        .map(str::trim)
        .filter(|statement| !statement.is_empty())
        .map(|statement| {
            let mut lines: Vec<&str> = statement.lines().collect();
            if lines[0].starts_with("CREATE TABLE") || lines[0].starts_with("CREATE UNLOGGED TABLE") {
                // Behind the columns stand settings of single columns, in the columns' order.
                lines[1..].sort_unstable();
                return lines.iter().map(|line| line.trim_end_matches(',')).collect::<Vec<_>>().join("\n");
            }
            statement.to_owned()
        })
        .collect();
    statements.sort();
    statements.join("\n\n")
}
