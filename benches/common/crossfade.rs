//! The tool as a user runs it: the binary, one process a command.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::database::Database;
use super::stand::NEW_INDEX;

/// The run's name.
pub(crate) const NAME: &str = "bench";

/// The tool, a plan and a database.
#[derive(Debug)]
pub(crate) struct Crossfade {
    url: String,
    /// Holds the plan.
    dir: TempDir,
}

/// The rename that all benches do, with the index that the new column gets. `more` are further lines of the plan.
pub(crate) fn plan(build: &str, more: &str) -> String {
    format!(
        "version: 1\nname: {NAME}\ntable: public.vehicles\nchanges:\n  - rename_column: {{ from: status, to: vehicle_status }}\n\
         indexes:\n  build: {build}\n  add: [{{ name: {NEW_INDEX}, columns: [vehicle_status] }}]\n{more}"
    )
}

impl Crossfade {
    /// Returns the tool for a database.
    pub(crate) fn new(database: &Database, plan: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("plan.yaml"), plan)?;
        Ok(Self { url: database.url.clone(), dir })
    }

    /// Sets what the server logs of the tool's sessions: every statement with its duration.
    pub(crate) fn logged(mut self) -> Self {
        self.url.push_str("&options=-c%20log_min_duration_statement%3D0");
        self
    }

    /// Starts a command, in which `PLAN` stands for the plan's file.
    pub(crate) fn spawn(&self, args: &[&str]) -> Result<Child> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crossfade"));
        for arg in args {
            if *arg == "PLAN" {
                command.arg(self.dir.path().join("plan.yaml"))
            } else {
                command.arg(arg)
            };
        }
        command.env_clear().env("DATABASE_URL", &self.url).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().context("start crossfade")
    }

    /// Runs a command to its end. Returns its seconds; an exit code other than 0 is an error, with what it said.
    pub(crate) async fn run(&self, args: &[&str]) -> Result<f64> {
        let begin = Instant::now();
        let output = self.spawn(args)?.wait_with_output().await?;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "crossfade {}: {}: {said}", args.join(" "), output.status);
        Ok(begin.elapsed().as_secs_f64())
    }

    /// Registers the run and does `expand`.
    pub(crate) async fn start(&self) -> Result<f64> {
        self.run(&["start", "PLAN", "--quiet"]).await
    }

    /// Does the next phase.
    pub(crate) async fn advance(&self) -> Result<f64> {
        self.run(&["advance", NAME, "--quiet", "--yes"]).await
    }

    /// Sets live settings.
    pub(crate) async fn tune(&self, setting: &str) -> Result<f64> {
        self.run(&["tune", NAME, setting]).await
    }

    /// Returns when a step began and ended, as the ledger has it.
    pub(crate) async fn step(&self, database: &Database, step: &str) -> Result<(f64, f64)> {
        let times = database
            .numbers(&format!(
                "SELECT max(extract(epoch FROM at)) FILTER (WHERE entry ->> 'kind' = 'step_started')::float8, \
                   max(extract(epoch FROM at)) FILTER (WHERE entry ->> 'kind' = 'step_done')::float8 \
                 FROM crossfade.event WHERE entry ->> 'step' = '{step}'"
            ))
            .await?;
        ensure!(times.iter().all(|time| time.is_finite()), "the ledger does not say when {step} began and ended");
        Ok((times[0], times[1]))
    }
}

/// Fails unless every row of the table has its value in the new column, and the table has `rows` rows at least.
pub(crate) async fn assert_filled(database: &Database, rows: f64) -> Result<()> {
    let query =
        "SELECT count(*)::float8, count(*) FILTER (WHERE vehicle_status IS DISTINCT FROM status)::float8 FROM vehicles";
    let found = database.numbers(query).await?;
    ensure!(found[0] >= rows, "the table has {} rows, but should have {rows}", found[0]);
    ensure!(found[1] < 1.0, "{} rows of {} are not filled", found[1], found[0]);
    Ok(())
}
