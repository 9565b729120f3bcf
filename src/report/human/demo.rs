//! The summary of the demo.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::look::Look;
use super::{duration, number, plural, rate};

/// What the demo has measured. Latencies are those of the applications' statements.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Demo {
    /// Vehicles in the table when the run began.
    pub(crate) rows: i64,
    /// Rows that the backfill filled; the applications' own writes filled the others.
    pub(crate) rows_filled: i64,
    /// The whole run, from expand to the drop.
    pub(crate) seconds: f64,
    /// The backfill alone.
    pub(crate) backfill_seconds: f64,
    /// Of the backfill.
    pub(crate) rows_per_second: f64,
    /// Statements of the applications, while idle and during the run.
    pub(crate) statements: u64,
    pub(crate) failed_statements: usize,
    /// Commits that are not in the table at the end.
    pub(crate) lost_writes: usize,
    /// Reads that were not what had been committed.
    pub(crate) wrong_reads: usize,
    /// Rows that were not equal in the last check; `None` if there was none.
    pub(crate) mismatches: Option<i64>,
    pub(crate) p50_idle_ms: f64,
    pub(crate) p99_idle_ms: f64,
    pub(crate) p50_run_ms: f64,
    pub(crate) p99_run_ms: f64,
    /// The longest statement during the run.
    pub(crate) max_run_ms: f64,
    /// The URL of the server if it was left running.
    pub(crate) database_url: Option<String>,
    /// The first failures, lost writes and wrong reads.
    pub(crate) failures: Vec<String>,
}

/// Returns the summary. `command` is how this program is called.
pub(crate) fn demo(demo: &Demo, command: &str, look: Look) -> String {
    let mut text = format!("\n{}\n\n", look.bold("vehicles.status is now vehicles.vehicle_status"));
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<18} {value}");
    };
    let verdict = |count: i64| if count == 0 { look.green("0") } else { look.red(&number(count)) };
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    row("rows", format!("{} filled at {}", number(demo.rows_filled), rate(demo.rows_per_second)));
    row("time", format!("{} from the first step to the drop of the retired one", duration(demo.seconds)));
    row(
        "statements",
        format!("{} from three releases of an application", number(i64::try_from(demo.statements).unwrap_or(i64::MAX))),
    );
    row("failed statements", verdict(count(demo.failed_statements)));
    row("lost writes", verdict(count(demo.lost_writes)));
    if demo.wrong_reads > 0 {
        row("wrong reads", verdict(count(demo.wrong_reads)));
    }
    row("mismatches", demo.mismatches.map_or_else(|| look.red("not checked"), verdict));
    row("latency before", latency(demo.p50_idle_ms, demo.p99_idle_ms));
    row("latency during", latency(demo.p50_run_ms, demo.p99_run_ms));
    for failure in &demo.failures {
        let _ = writeln!(text, "  {} {}", look.failed(), super::printable(failure));
    }
    text.push_str("\nTry next:\n");
    if demo.database_url.is_none() {
        let _ = writeln!(text, "  {command} demo --keep            leaves the server running");
    }
    let _ = writeln!(text, "  {command} demo --rows 5000000    the same on {}", plural(5_000_000, "row"));
    let _ = writeln!(text, "  {command} plan PLAN              a dry run on your own database");
    text
}

fn latency(p50: f64, p99: f64) -> String {
    format!("p50 {p50:.1} ms, p99 {p99:.1} ms")
}
