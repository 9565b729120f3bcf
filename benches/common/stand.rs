//! The server that contestants are measured on, and the table that each of them gets a fresh copy of.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use crossfade::testkit::server::{Options, Server};

use super::args::{Common, Rows, tell};
use super::database::Database;

/// The new column, and the index on it.
pub(crate) const NEW_INDEX: &str = "vehicles_vehicle_status";

/// Secondary indexes, in the order in which `--indexes` takes them. The load of the other benches changes none of their
/// columns.
const INDEXES: [&str; 8] = [
    "vin",
    "depot_id",
    "license_plate",
    "last_seen",
    "created_at",
    "depot_id, created_at",
    "license_plate, depot_id",
    "last_seen, depot_id",
];

/// Settings that differ from PostgreSQL's defaults. Commits are durable; no checkpoint happens while something is measured,
/// except at sizes that write more WAL than that; sequential scans begin at the beginning.
const SETTINGS: [(&str, &str); 6] = [
    ("max_wal_size", "40GB"),
    ("min_wal_size", "2GB"),
    ("checkpoint_timeout", "1h"),
    ("synchronize_seqscans", "off"),
    ("log_checkpoints", "on"),
    ("log_line_prefix", "%n|%p|%a|"),
];

/// A throwaway server.
#[derive(Debug)]
pub(crate) struct Stand {
    server: Server,
    shared_buffers: String,
    major: u32,
}

impl Stand {
    /// Starts a server and says what it runs on.
    pub(crate) async fn start(args: &Common) -> Result<Self> {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut settings: Vec<_> = SETTINGS.into_iter().map(owned).collect();
        settings.push(owned(("shared_buffers", &args.shared_buffers)));
        let server = Server::start(Options {
            bin_dir: args.pg_bin.clone(),
            search_path: std::env::var_os("PATH"),
            settings,
            ..Options::default()
        })?;
        let mut stand = Self { server, shared_buffers: args.shared_buffers.clone(), major: 0 };
        let version = stand.database("postgres").text("SHOW server_version").await?;
        stand.major = version.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse()?;
        stand.introduce(&version);
        Ok(stand)
    }

    /// Says what is measured on: figures of another machine cannot be compared.
    #[expect(clippy::print_stdout, reason = "a bench is a program")]
    fn introduce(&self, version: &str) {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let memory = read("/proc/meminfo").lines().next().unwrap_or_default().replace("MemTotal:", "");
        let processor = read("/proc/cpuinfo");
        let processor = processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let load = read("/proc/loadavg");
        println!(
            "machine: {cores} cores ({}), memory {}",
            processor.trim_start_matches(['\t', ':', ' ']),
            memory.trim()
        );
        println!("load average when it began: {}", load.split_whitespace().take(3).collect::<Vec<_>>().join(" "));
        let settings: Vec<_> = SETTINGS.iter().take(4).map(|(name, value)| format!("{name}={value}")).collect();
        println!("server: PostgreSQL {version}, shared_buffers={}, {}", self.shared_buffers, settings.join(", "));
        println!("table: fillfactor 100, autovacuum off for it; everything else is PostgreSQL's default (fsync on)\n");
        if load.split_whitespace().next().and_then(|load| load.parse::<f64>().ok()).is_some_and(|load| load > 1.0) {
            tell("this machine is busy: seconds mean little now, CPU seconds, WAL and sizes do");
        }
    }

    /// Returns the database of this name.
    pub(crate) fn database(&self, name: &str) -> Database {
        Database { name: name.to_owned(), url: self.server.url(name) }
    }

    /// Returns the postmaster's process.
    pub(crate) fn postmaster(&self) -> Result<u32> {
        self.server.pid().context("the server is gone")
    }

    /// Returns the command that runs one of PostgreSQL's client programs against `database`.
    pub(crate) fn client(&self, program: &str, database: &Database) -> tokio::process::Command {
        let beside = self.server.bin_dir().join(program);
        let mut command = tokio::process::Command::new(if beside.exists() { beside } else { PathBuf::from(program) });
        command.env("PGHOST", self.server.socket_dir()).env("PGPORT", self.server.port().to_string());
        command.env("PGUSER", crossfade::testkit::server::SUPERUSER).env("PGDATABASE", &database.name);
        command
    }

    /// Returns the server's log.
    pub(crate) fn log(&self) -> PathBuf {
        self.server.log_path()
    }

    /// Makes the table, once for all contestants: full pages, vacuumed, analysed. Returns the database's name.
    pub(crate) async fn template(&self, rows: Rows, indexes: u8) -> Result<String> {
        let name = format!("template_{rows}_{indexes}");
        tell(&format!("making a table of {rows} rows with {indexes} secondary indexes"));
        self.server.create_database(&name).await?;
        let database = self.database(&name);
        database.execute(include_str!("fleet.sql")).await?;
        let mut session = database.session().await?;
        let insert = sqlx::query(include_str!("rows.sql")).bind(i64::from(rows.0)).persistent(false);
        insert.execute(&mut session.0).await?;
        session.execute("ALTER TABLE public.vehicles ADD PRIMARY KEY (id)").await?;
        for columns in INDEXES.iter().take(usize::from(indexes)) {
            session.execute(&format!("CREATE INDEX ON public.vehicles ({columns})")).await?;
        }
        session.execute(&format!("CREATE SEQUENCE public.next_vehicle START {}", rows.0 + 1)).await?;
        session.execute("VACUUM (ANALYZE) public.vehicles").await?;
        session.close().await?;
        Ok(name)
    }

    /// Returns a copy of a template that equals it to the byte, in memory, just after a checkpoint.
    pub(crate) async fn copy(&self, template: &str, name: &str) -> Result<Database> {
        // Before 15 there was no other way.
        let strategy = if self.major >= 15 { " STRATEGY file_copy" } else { "" };
        let make = format!("CREATE DATABASE {name} TEMPLATE {template}{strategy}");
        self.database("postgres").execute(&make).await?;
        let database = self.database(name);
        let mut session = database.session().await?;
        // Where the extension is not installed, a contestant reads from the system's cache.
        if session.execute("CREATE EXTENSION pg_prewarm").await.is_ok() {
            session
                .execute(
                    "SELECT pg_prewarm(c.oid) FROM pg_class AS c WHERE c.relkind = 'r' AND c.relname LIKE 'vehicles%'",
                )
                .await?;
            let indexes = "SELECT pg_prewarm(indexrelid) FROM pg_index JOIN pg_class AS c ON c.oid = indrelid WHERE c.relkind = 'r' AND c.relname LIKE 'vehicles%'";
            session.execute(indexes).await?;
            session.execute("DROP EXTENSION pg_prewarm").await?;
        }
        session.execute("CHECKPOINT").await?;
        session.close().await?;
        Ok(database)
    }

    /// Drops a contestant's database.
    pub(crate) async fn discard(&self, database: Database) -> Result<()> {
        self.database("postgres").execute(&format!("DROP DATABASE {} WITH (FORCE)", database.name)).await
    }

    /// Stops the server.
    pub(crate) fn stop(self) -> Result<()> {
        Ok(self.server.stop()?)
    }
}
