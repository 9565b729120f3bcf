//! How long the check of all rows takes, beside what reads the table no less.
#![expect(clippy::print_stdout, reason = "a bench is a program")]

#[expect(dead_code, reason = "each bench uses its part")]
mod common;

use anyhow::{Result, ensure};
use clap::Parser;

use common::args::{Common, Rows, alternating, tell};
use common::cpu;
use common::crossfade::{Crossfade, NAME, assert_filled, plan};
use common::database::Database;
use common::number::{median, short, spread, with_ratio};
use common::stand::Stand;
use common::table::Table;
use common::target::{Bound, Targets};

/// Check all rows: crossfade verify, a bare count(*), one comparing statement
///
/// Measured twice: on the table as the backfill left it, once its rows have been read; and after a VACUUM, when count(*)
/// may read an index only. The table of results has medians and, in parentheses, their ratio to count(*) as the server
/// plans it.
#[derive(Debug, Parser)]
#[command(name = "verify")]
struct Args {
    #[command(flatten)]
    common: Common,
}

const COUNT: &str = "SELECT count(*)::float8 FROM vehicles";
const COMPARE: &str = "SELECT count(*)::float8 FROM vehicles WHERE vehicle_status IS DISTINCT FROM status";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The result's own seconds, and those of the process.
    Verify,
    /// As the server plans it.
    Count,
    /// The table and not an index.
    CountTable,
    /// Counts the rows that differ.
    Compare,
}

const WAYS: [(Way, &str); 4] = [
    (Way::Count, "count(*)"),
    (Way::CountTable, "count(*), no index"),
    (Way::Compare, "one comparing statement"),
    (Way::Verify, "crossfade verify"),
];

/// A way with its seconds, and the seconds of the whole process.
struct Line {
    way: Way,
    name: &'static str,
    plan: String,
    seconds: Vec<f64>,
    process: Vec<f64>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let stand = Stand::start(&args.common).await?;
    let mut targets = Targets::new();
    for &rows in &args.common.rows {
        let template = stand.template(rows, args.common.indexes).await?;
        let database = stand.copy(&template, "contestant").await?;
        let tool = Crossfade::new(&database, &plan("after_backfill", ""))?;
        tell("filling the column");
        tool.start().await?;
        tool.advance().await?;
        assert_filled(&database, rows.float()).await?;
        for state in ["as the backfill left it", "after VACUUM"] {
            if state == "after VACUUM" {
                database.execute("VACUUM (ANALYZE) vehicles").await?;
            }
            database.execute("CHECKPOINT").await?;
            let lines = measure(&database, &tool, rows, args.common.repeat).await?;
            println!("{rows} rows, {state}, medians of {}\n\n{}", args.common.repeat, results(&lines));
            let of =
                |way| median(lines.iter().find(|line| line.way == way).into_iter().flat_map(|l| l.seconds.clone()));
            let what = format!("{rows} rows, {state}: verify / count(*)");
            targets.add(&what, Bound::AtMost(1.5), "", of(Way::Verify) / of(Way::Count));
        }
        stand.discard(database).await?;
    }
    println!("{targets}");
    stand.stop()
}

async fn measure(database: &Database, tool: &Crossfade, rows: Rows, repeat: u32) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (way, name) in WAYS {
        let plan = match way {
            Way::Verify => "windows of pages, 2 connections".to_owned(),
            way => plan_of(&database.text(&explain(way)).await?),
        };
        // Once for nothing: hint bits, caches.
        once(way, database, tool, rows).await?;
        lines.push(Line { way, name, plan, seconds: vec![], process: vec![] });
    }
    for repetition in 0..repeat {
        for number in alternating(repetition, lines.len()) {
            let line = &mut lines[number];
            let (seconds, process) = once(line.way, database, tool, rows).await?;
            line.seconds.push(seconds);
            line.process.push(process);
        }
    }
    Ok(lines)
}

fn explain(way: Way) -> String {
    let (set, sql) = statement(way);
    format!("{set}EXPLAIN (COSTS OFF) {sql}")
}

/// What the session sets, and the statement.
fn statement(way: Way) -> (&'static str, &'static str) {
    match way {
        Way::CountTable => ("SET enable_indexonlyscan = off; ", COUNT),
        Way::Compare => ("", COMPARE),
        Way::Count | Way::Verify => ("", COUNT),
    }
}

/// Returns the seconds of one check, and those of the process that did it.
async fn once(way: Way, database: &Database, tool: &Crossfade, rows: Rows) -> Result<(f64, f64)> {
    if way == Way::Verify {
        let process = tool.run(&["verify", NAME, "--quiet"]).await?;
        let last = "SELECT seconds, rows::float8, equal::float8 FROM crossfade.verification ORDER BY id DESC LIMIT 1";
        let found = database.numbers(last).await?;
        ensure!(found[1] >= rows.float() && found[1] <= found[2], "of {} rows {} are equal", found[1], found[2]);
        return Ok((found[0], process));
    }
    let (set, sql) = statement(way);
    let mut session = database.session().await?;
    if !set.is_empty() {
        session.execute(set).await?;
    }
    let from = cpu::now();
    let count = session.numbers(sql).await?[0];
    let seconds = cpu::now() - from;
    session.close().await?;
    let expected = if way == Way::Compare { count < 1.0 } else { count >= rows.float() };
    ensure!(expected, "{sql} gave {count}");
    Ok((seconds, f64::NAN))
}

/// Returns how the server reads the table, from the text of a plan.
fn plan_of(text: &str) -> String {
    let scan = text.lines().find(|line| line.contains("Scan")).unwrap_or(text);
    let scan = scan.trim().trim_start_matches("->").trim().split(" on ").next().unwrap_or_default();
    let scan = scan.split(" using ").next().unwrap_or_default().to_owned();
    let workers = text.lines().find_map(|line| line.trim().strip_prefix("Workers Planned: "));
    workers.map_or(scan.clone(), |workers| format!("{scan}, {workers} workers"))
}

fn results(lines: &[Line]) -> Table {
    let mut table = Table::new(["way", "how", "seconds", "spread %", "process s"]);
    let base = median(lines.iter().find(|line| line.way == Way::Count).into_iter().flat_map(|l| l.seconds.clone()));
    for line in lines {
        table.row([
            line.name.to_owned(),
            line.plan.clone(),
            seconds_with_ratio(median(line.seconds.clone()), base),
            short(spread(line.seconds.clone())),
            seconds_with_ratio(median(line.process.clone()), base),
        ]);
    }
    table
}

/// A check of a small table takes milliseconds.
fn seconds_with_ratio(seconds: f64, base: f64) -> String {
    if seconds < 1.0 { format!("{seconds:.3} ({})", short(seconds / base)) } else { with_ratio(seconds, base) }
}
