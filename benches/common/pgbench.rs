//! Load, by PostgreSQL's own pgbench.

use std::fs;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::args::Rows;
use super::cpu;
use super::database::Database;
use super::stand::Stand;

/// Longer than any bench: a load that is stopped by hand.
const FOR_EVER: u32 = 7 * 24 * 3600;
/// Threads of pgbench.
const THREADS: u32 = 2;

/// A load that has not been started.
#[derive(Debug)]
pub(crate) struct Load {
    script: String,
    rows: Rows,
    clients: u32,
    rate: Option<f64>,
    options: &'static str,
}

/// A transaction that ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transaction {
    /// When, in seconds since 1970.
    pub(crate) at: f64,
    /// Milliseconds since it was due; `None` when it failed.
    pub(crate) latency: Option<f64>,
}

impl Load {
    /// Returns a load of `clients` that run `script`, in which `:rows` is the number of rows.
    pub(crate) fn new(script: &str, rows: Rows, clients: u32) -> Self {
        Self { script: script.to_owned(), rows, clients, rate: None, options: "" }
    }

    /// Sets how many transactions begin in a second; without it, as many as can. Then a latency counts from the time at
    /// which its transaction was due, so that a stall is seen in full.
    pub(crate) fn rate(mut self, rate: f64) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Sets what the sessions set, as in `PGOPTIONS`.
    pub(crate) fn options(mut self, options: &'static str) -> Self {
        self.options = options;
        self
    }

    fn command(&self, stand: &Stand, database: &Database, dir: &TempDir, seconds: u32) -> Result<Command> {
        let script = dir.path().join("script.sql");
        fs::write(&script, &self.script)?;
        let mut command = stand.client("pgbench", database);
        command.args(["--no-vacuum", "--protocol=prepared", "--define", &format!("rows={}", self.rows.0)]);
        command.args(["--client", &self.clients.to_string(), "--jobs", &THREADS.min(self.clients).to_string()]);
        command.args(["--time", &seconds.to_string(), "--file"]).arg(script);
        if let Some(rate) = self.rate {
            command.args(["--rate", &format!("{rate:.1}")]);
        }
        command.env("PGOPTIONS", self.options).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        Ok(command)
    }

    /// Runs the load for some seconds. Returns its transactions a second; a failed one is an error.
    pub(crate) async fn run(&self, stand: &Stand, database: &Database, seconds: u32) -> Result<f64> {
        let dir = tempfile::tempdir()?;
        let output = self.command(stand, database, &dir, seconds)?.output().await.context("start pgbench")?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success() && !err.contains("aborted"), "pgbench: {}: {err}", output.status);
        let tps = out.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
        tps.with_context(|| format!("pgbench does not say its tps: {out}"))
    }

    /// Starts the load, to be stopped by hand. Every transaction is logged.
    pub(crate) fn start(&self, stand: &Stand, database: &Database) -> Result<Running> {
        let dir = tempfile::tempdir()?;
        let mut command = self.command(stand, database, &dir, FOR_EVER)?;
        command.arg("--log").arg("--log-prefix").arg(dir.path().join("log")).stdout(Stdio::null());
        let mut child = command.spawn().context("start pgbench")?;
        let stderr = child.stderr.take().context("pgbench has no standard error")?;
        let said = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&said);
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                into.lock().unwrap_or_else(PoisonError::into_inner).push((cpu::now(), line));
            }
        });
        Ok(Running { child, dir, said, reader })
    }
}

/// A load at work.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    dir: TempDir,
    said: Arc<Mutex<Vec<(f64, String)>>>,
    reader: JoinHandle<()>,
}

impl Running {
    /// Ends the load, after its open transactions. Returns all its transactions, and what it complained of.
    pub(crate) async fn stop(mut self) -> Result<(Vec<Transaction>, Vec<String>)> {
        let pid = self.child.id().with_context(|| format!("pgbench has ended by itself: {:?}", self.said))?;
        // What its own alarm does when its time is over.
        kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGALRM)?;
        tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.context("pgbench does not end")??;
        self.reader.await?;
        let mut transactions = Vec::new();
        for file in fs::read_dir(self.dir.path())?.flatten() {
            if file.file_name().to_string_lossy().starts_with("log") {
                transactions.extend(fs::read_to_string(file.path())?.lines().filter_map(transaction));
            }
        }
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // One line for each client that was aborted, which does no more transactions.
        let is_error = |line: &str| line.contains("error:") && !line.contains("Run was aborted");
        let errors: Vec<(f64, String)> = said.into_iter().filter(|(_, line)| is_error(line)).collect();
        transactions.extend(errors.iter().map(|(at, _)| Transaction { at: *at, latency: None }));
        Ok((transactions, errors.into_iter().map(|(_, line)| line).collect()))
    }
}

/// `client number microseconds script seconds microseconds [lag]`, with a word in place of the time of one that failed.
fn transaction(line: &str) -> Option<Transaction> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let number = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some(Transaction { at: number(4)? + number(5)? / 1e6, latency: number(2).map(|time| time / 1000.0) })
}
