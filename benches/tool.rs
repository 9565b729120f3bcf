//! What the tool itself needs, on the machine that it runs on.
#![expect(clippy::print_stdout, reason = "a bench is a program")]

#[expect(dead_code, reason = "each bench uses its part")]
mod common;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use common::args::{Common, Rows, tell};
use common::cpu::{Process, Recorder, now, peak_memory};
use common::crossfade::{Crossfade, plan};
use common::number::{median, short};
use common::stand::Stand;
use common::table::Table;
use common::target::{Bound, Targets};

/// Memory and CPU time of crossfade during a whole run
///
/// One `crossfade run` from the first phase to the last, with 2 workers. Memory is the highest resident set size that the
/// process ever had.
#[derive(Debug, Parser)]
#[command(name = "tool")]
struct Args {
    #[command(flatten)]
    common: Common,
}

/// Between two looks at the process.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What one run needed.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    seconds: f64,
    /// Megabytes.
    memory: f64,
    /// CPU seconds of the tool.
    cpu: f64,
    /// CPU seconds of the server.
    server: f64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let stand = Stand::start(&args.common).await?;
    let mut templates = Vec::new();
    for &rows in &args.common.rows {
        templates.push((rows, stand.template(rows, args.common.indexes).await?, Vec::new()));
    }
    for _ in 0..args.common.repeat {
        for (rows, template, outcomes) in &mut templates {
            let outcome = measure(&stand, template, *rows).await?;
            tell(&format!("{rows} rows: {} MB, {} s of CPU", short(outcome.memory), short(outcome.cpu)));
            outcomes.push(outcome);
        }
    }
    let mut table = Table::new(["rows", "run s", "memory MB", "CPU s", "CPU us/row", "server CPU s", "CPU / server's"]);
    let mut targets = Targets::new();
    let mut memories = Vec::new();
    for (rows, _, outcomes) in &templates {
        let of = |f: fn(&Outcome) -> f64| median(outcomes.iter().map(f));
        let (memory, cpu, server) = (of(|o| o.memory), of(|o| o.cpu), of(|o| o.server));
        table.row([
            rows.to_string(),
            short(of(|o| o.seconds)),
            short(memory),
            short(cpu),
            short(1e6 * cpu / rows.float()),
            short(server),
            short(cpu / server),
        ]);
        targets.add(&format!("memory of the tool at {rows} rows"), Bound::AtMost(40.0), " MB", memory);
        memories.push(memory);
    }
    println!("medians of {}\n\n{table}", args.common.repeat);
    let largest = memories.iter().copied().fold(f64::NAN, f64::max);
    let smallest = memories.iter().copied().fold(f64::NAN, f64::min);
    let ratio = if memories.len() > 1 { largest / smallest } else { f64::NAN };
    targets.add("most memory / least, of all sizes (--rows 1m,30m)", Bound::AtMost(1.1), "", ratio);
    println!("{targets}");
    stand.stop()
}

async fn measure(stand: &Stand, template: &str, rows: Rows) -> Result<Outcome> {
    let database = stand.copy(template, "contestant").await?;
    let more = "backfill: { workers: 2 }\ncontract: { grace: 0s, quiet: 0s }\n";
    let tool = Crossfade::new(&database, &plan("after_backfill", more))?;
    let server = Recorder::start(stand.postmaster()?);
    let (from, begin) = (now(), Instant::now());
    let child = tool.spawn(&["run", "PLAN", "--quiet", "--yes"])?;
    let pid = child.id().context("crossfade has ended at once")?;
    let (mut memory, mut cpu) = (f64::NAN, f64::NAN);
    // A process that has ended keeps its CPU time until it is waited for.
    while let Some(process) = Process::read(pid) {
        cpu = process.own;
        if process.zombie {
            break;
        }
        memory = peak_memory(pid).unwrap_or(memory);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "crossfade run: {}", String::from_utf8_lossy(&output.stderr));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let server = server.between(from, now());
    let query = "SELECT count(*)::float8, count(vehicle_status)::float8, \
        (SELECT count(*) FROM information_schema.columns WHERE table_name = 'vehicles' AND column_name = 'status')::float8 FROM vehicles";
    let found = database.numbers(query).await?;
    ensure!(found[0] >= rows.float() && found[1] >= rows.float(), "of {} rows {} are filled", found[0], found[1]);
    ensure!(found[2] < 1.0, "the old column is still there");
    stand.discard(database).await?;
    Ok(Outcome { seconds, memory, cpu, server })
}
