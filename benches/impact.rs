//! What the application feels of a run, phase by phase.
#![expect(clippy::print_stdout, reason = "a bench is a program")]

#[expect(dead_code, reason = "each bench uses its part")]
mod common;
#[path = "impact/locks.rs"]
mod locks;
#[path = "impact/probe.rs"]
mod probe;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use common::args::{Common, Rows, alternating, tell};
use common::cpu::now;
use common::crossfade::{Crossfade, NAME, assert_filled, plan};
use common::database::Database;
use common::number::{float, median, percentile, short, with_ratio};
use common::pgbench::{Load, Transaction};
use common::stand::Stand;
use common::table::Table;
use common::target::{Bound, Targets};
use locks::Watch;
use probe::Probe;

/// Latency of a mixed load while a run goes through its phases
///
/// pgbench reads (50 %), updates (25 % another column, 15 % the column that changes) and inserts (10 %) at half the rate
/// that the machine reaches, and each latency counts from the time at which the transaction was due. The load goes on from
/// the first second to the last; between verify and switch it changes from the old column to the new one.
#[derive(Debug, Parser)]
#[command(name = "impact")]
struct Args {
    #[command(flatten)]
    common: Common,
    /// Seconds before the first phase, which the others are compared with
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..))]
    idle: u64,
    /// A phase is looked at for so many seconds at least
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    settle: u64,
    /// After so many seconds of backfill, enough was seen: the rest is done unthrottled
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    most: u64,
    /// Clients of pgbench
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Transactions a second, in place of half of what the machine reaches
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// The goal of the adaptive mode, in place of 1.25 times the 90th percentile of a probe before the first phase
    #[arg(long, value_name = "TIME", value_parser = humantime_of)]
    goal: Option<String>,
    /// Workers of the backfill
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: u16,
    /// Compare these values of `batch_target`, unthrottled, in place of the two modes
    #[arg(long, value_name = "TIME,...", value_delimiter = ',', value_parser = humantime_of)]
    batch_target: Vec<String>,
}

fn humantime_of(text: &str) -> Result<String, String> {
    let units = ["us", "ms", "s"];
    let number = text.trim_end_matches(char::is_alphabetic);
    let known = units.contains(&&text[number.len()..]) && number.parse::<f64>().is_ok();
    if known { Ok(text.to_owned()) } else { Err("a time is written like 1500us or 5ms".to_owned()) }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    Unthrottled,
    Adaptive,
    /// Unthrottled, with this batch target.
    BatchTarget(String),
}

impl Mode {
    fn name(&self) -> String {
        match self {
            Self::Unthrottled => "unthrottled".to_owned(),
            Self::Adaptive => "adaptive".to_owned(),
            Self::BatchTarget(time) => format!("batch_target {time}"),
        }
    }
}

/// The parts of a stage, in their order.
const PARTS: [&str; 7] = ["idle", "expand", "index", "backfill", "verify", "switch", "contract"];

/// The statements of the release that knows only `column`.
fn script(column: &str) -> String {
    format!(
        "\\set id random(1, :rows)\n\\set what random(1, 100)\n\
         \\if :what <= 50\n\
         SELECT id, {column}, odometer, updated_at FROM vehicles WHERE id = :id;\n\
         \\elif :what <= 75\n\
         UPDATE vehicles SET odometer = odometer + 1, updated_at = now() WHERE id = :id;\n\
         \\elif :what <= 90\n\
         UPDATE vehicles SET {column} = CASE {column} WHEN 'idle' THEN 'active' ELSE 'idle' END WHERE id = :id;\n\
         \\else\n\
         INSERT INTO vehicles (id, created_at, updated_at, last_seen, depot_id, odometer, {column}, vin, license_plate) \
         VALUES (nextval('next_vehicle'), now(), now(), now(), 7, 1, 'active', 'BENCH000000000000', 'ZH 000000');\n\
         \\endif\n"
    )
}

/// A part of a stage.
#[derive(Debug, Clone, Copy)]
struct Slice {
    from: f64,
    to: f64,
    /// Seconds of the phase itself.
    phase: f64,
}

impl Slice {
    fn holds(&self, at: f64) -> bool {
        self.from <= at && at < self.to
    }
}

/// What was measured in a stage: one run under load.
#[derive(Debug)]
struct Stage {
    /// One for each of [`PARTS`].
    parts: Vec<Outcome>,
    /// Transactions that failed, those between two parts included.
    failed: f64,
}

/// What was measured in a part.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    phase: f64,
    tps: f64,
    /// Milliseconds.
    p50: f64,
    p99: f64,
    p999: f64,
    /// The longest wait for a lock of ours, in milliseconds.
    wait: f64,
    /// The 99th percentile of a batch's transaction, in milliseconds.
    batch: f64,
    failed: f64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let stand = Stand::start(&args.common).await?;
    let mut targets = Targets::new();
    for &rows in &args.common.rows {
        let template = stand.template(rows, args.common.indexes).await?;
        let rate = match args.rate {
            Some(rate) => rate,
            None => full_speed(&stand, &args, &template, rows).await? / 2.0,
        };
        let mut modes: Vec<Mode> = args.batch_target.iter().cloned().map(Mode::BatchTarget).collect();
        if modes.is_empty() {
            modes.extend([Mode::Unthrottled, Mode::Adaptive]);
        }
        let mut stages: Vec<Vec<Stage>> = modes.iter().map(|_| vec![]).collect();
        for repetition in 0..args.common.repeat {
            for number in alternating(repetition, modes.len()) {
                tell(&format!("{}/{} {}", repetition + 1, args.common.repeat, modes[number].name()));
                stages[number].push(stage(&stand, &args, &template, rows, &modes[number], rate).await?);
            }
        }
        println!(
            "{rows} rows, {} secondary indexes, {} clients, {rate:.0} transactions a second wanted, medians of {}\n",
            args.common.indexes, args.clients, args.common.repeat
        );
        println!("{}", results(&modes, &stages));
        judge(&mut targets, rows, &modes, &stages);
    }
    println!("{targets}");
    stand.stop()
}

/// Returns the transactions a second that the machine reaches with nothing else to do.
async fn full_speed(stand: &Stand, args: &Args, template: &str, rows: Rows) -> Result<f64> {
    let database = stand.copy(template, "full_speed").await?;
    let load = Load::new(&script("status"), rows, args.clients);
    load.run(stand, &database, 2).await?;
    let tps = load.run(stand, &database, u32::try_from(args.idle)?).await?;
    stand.discard(database).await?;
    tell(&format!("full speed: {tps:.0} transactions a second"));
    Ok(tps)
}

fn plan_of(mode: &Mode, workers: u16, goal: &str) -> String {
    let throttled = match mode {
        Mode::Unthrottled => String::new(),
        Mode::Adaptive => format!(", goal_latency: {goal}"),
        Mode::BatchTarget(time) => format!(", batch_target: {time}"),
    };
    let settings = format!("backfill: {{ workers: {workers}{throttled} }}\ncontract: {{ grace: 0s, quiet: 1s }}\n");
    plan("before_backfill", &settings)
}

/// One run of crossfade, from the first phase to the last, under load.
async fn stage(stand: &Stand, args: &Args, template: &str, rows: Rows, mode: &Mode, rate: f64) -> Result<Stage> {
    let database = stand.copy(template, "contestant").await?;
    let log_from = std::fs::metadata(stand.log())?.len();
    let load = |column: &str| Load::new(&script(column), rows, args.clients).rate(rate).start(stand, &database);
    let watch = Watch::start(&database).await?;
    let probe = Probe::start(&database, rows).await?;
    let old = load("status")?;
    let mut slices = vec![slice(args.idle, async { Ok(()) }).await?];
    let latencies: Vec<f64> =
        probe.stop().into_iter().filter(|(at, _)| slices[0].holds(*at)).map(|(_, took)| took).collect();
    let goal = args.goal.clone().unwrap_or_else(|| format!("{:.0}us", 1250.0 * percentile(&latencies, 900)));
    if *mode == Mode::Adaptive {
        tell(&format!("goal_latency: {goal}"));
    }
    let tool = Crossfade::new(&database, &plan_of(mode, args.workers, &goal))?.logged();
    slices.push(slice(args.settle, async { tool.start().await.map(drop) }).await?);
    slices.push(slice(args.settle, async { tool.advance().await.map(drop) }).await?);
    slices.push(backfill(&tool, args, mode).await?);
    assert_filled(&database, rows.float()).await?;
    slices.push(slice(args.settle, async { tool.advance().await.map(drop) }).await?);
    let (mut transactions, mut errors) = old.stop().await?;
    let new = load("vehicle_status")?;
    // The load is to find its pace; and crossfade waits until nobody has written through the old column for a second.
    slices.push(slice(args.settle, async { tool.advance().await.map(drop) }).await?);
    slices.push(slice(args.settle, async { tool.advance().await.map(drop) }).await?);
    let (rest, other_errors) = new.stop().await?;
    transactions.extend(rest);
    errors.extend(other_errors);
    for error in errors.iter().take(5) {
        println!("{}: {error}", mode.name());
    }
    done(&database, rows).await?;
    let waits = watch.stop();
    let batches = locks::batches(&stand.log(), log_from)?;
    ensure!(!batches.is_empty(), "the server's log tells of no batch");
    stand.discard(database).await?;
    let parts = slices.iter().map(|slice| outcome(slice, &transactions, &waits, &batches)).collect();
    let failed = float(transactions.iter().filter(|transaction| transaction.latency.is_none()).count());
    Ok(Stage { parts, failed })
}

/// Before each part, so that one does not suffer from what the one before has left undone.
const PAUSE: Duration = Duration::from_secs(2);

/// Does something, and waits until `seconds` have passed.
async fn slice(seconds: u64, work: impl Future<Output = Result<()>>) -> Result<Slice> {
    tokio::time::sleep(PAUSE).await;
    let from = now();
    let pause = tokio::time::sleep(Duration::from_secs(seconds));
    let timed = async {
        work.await?;
        Ok::<f64, anyhow::Error>(now() - from)
    };
    let (phase, ()) = tokio::join!(timed, pause);
    Ok(Slice { from, to: now(), phase: phase? })
}

/// The backfill, of which no more than the first `--most` seconds are looked at.
async fn backfill(tool: &Crossfade, args: &Args, mode: &Mode) -> Result<Slice> {
    tokio::time::sleep(PAUSE).await;
    let from = now();
    let work = tool.advance();
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => {
            let phase = done?;
            let rest = (f64::from(u32::try_from(args.settle)?) - phase).max(0.0);
            tokio::time::sleep(Duration::from_secs_f64(rest)).await;
            Ok(Slice { from, to: now(), phase })
        }
        () = tokio::time::sleep(Duration::from_secs(args.most)) => {
            let to = now();
            if *mode == Mode::Adaptive {
                tool.tune("goal_latency=off").await?;
            }
            let phase = work.await?;
            tell(&format!("the backfill took {} s, of which the first {} count", short(phase), args.most));
            Ok(Slice { from, to, phase })
        }
    }
}

/// Fails unless the run is over and did what it was for.
async fn done(database: &Database, rows: Rows) -> Result<()> {
    let state = database.text(&format!("SELECT state FROM crossfade.status WHERE name = '{NAME}'")).await?;
    ensure!(state == "done", "the run is {state}");
    let filled = database.numbers("SELECT count(*)::float8, count(vehicle_status)::float8 FROM vehicles").await?;
    ensure!(filled[0] >= rows.float() && filled[1] >= filled[0], "of {} rows {} are filled", filled[0], filled[1]);
    Ok(())
}

fn outcome(slice: &Slice, transactions: &[Transaction], waits: &[(f64, f64)], batches: &[(f64, f64)]) -> Outcome {
    let within: Vec<&Transaction> = transactions.iter().filter(|t| slice.holds(t.at)).collect();
    let latencies: Vec<f64> = within.iter().filter_map(|t| t.latency).collect();
    let of = |pairs: &[(f64, f64)]| -> Vec<f64> {
        pairs.iter().filter(|(at, _)| slice.holds(*at)).map(|(_, value)| *value).collect()
    };
    Outcome {
        phase: slice.phase,
        tps: float(latencies.len()) / (slice.to - slice.from),
        p50: percentile(&latencies, 500),
        p99: percentile(&latencies, 990),
        p999: percentile(&latencies, 999),
        wait: of(waits).into_iter().fold(0.0, f64::max),
        batch: percentile(&of(batches), 990),
        failed: float(within.len() - latencies.len()),
    }
}

/// The median, over the repetitions, of a figure of a part.
fn figure(stages: &[Stage], part: usize, of: impl Fn(&Outcome) -> f64) -> f64 {
    median(stages.iter().map(|stage| of(&stage.parts[part])))
}

/// The same, as the ratio to the idle part of the same repetition.
fn to_idle(stages: &[Stage], part: usize, of: impl Fn(&Outcome) -> f64) -> f64 {
    median(stages.iter().map(|stage| of(&stage.parts[part]) / of(&stage.parts[0])))
}

fn results(modes: &[Mode], stages: &[Vec<Stage>]) -> Table {
    let mut table = Table::new([
        "mode",
        "part",
        "phase s",
        "tps",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "longest wait for us ms",
        "batch p99 ms",
        "failed",
    ]);
    for (mode, stages) in modes.iter().zip(stages) {
        for (number, part) in PARTS.into_iter().enumerate() {
            let ratio = |of: fn(&Outcome) -> f64| {
                let value = figure(stages, number, of);
                with_ratio(value, value / to_idle(stages, number, of))
            };
            table.row([
                mode.name(),
                part.to_owned(),
                short(figure(stages, number, |o| o.phase)),
                ratio(|o| o.tps),
                ratio(|o| o.p50),
                ratio(|o| o.p99),
                ratio(|o| o.p999),
                // The worst of all repetitions: medians would hide what happens once.
                short(stages.iter().map(|stage| stage.parts[number].wait).fold(0.0, f64::max)),
                short(figure(stages, number, |o| o.batch)),
                short(stages.iter().map(|stage| stage.parts[number].failed).sum()),
            ]);
        }
    }
    table
}

fn judge(targets: &mut Targets, rows: Rows, modes: &[Mode], stages: &[Vec<Stage>]) {
    let backfill = PARTS.iter().position(|part| *part == "backfill").context("a part").unwrap_or_default();
    for (mode, stages) in modes.iter().zip(stages) {
        let name = mode.name();
        if *mode == Mode::Adaptive {
            let p99 = to_idle(stages, backfill, |o| o.p99);
            targets.add(&format!("{rows} rows, {name}: p99 in the backfill / idle"), Bound::AtMost(1.1), "", p99);
        }
        let failed = stages.iter().map(|stage| stage.failed).sum();
        targets.add(&format!("{rows} rows, {name}: failed transactions"), Bound::AtMost(0.0), "", failed);
        let batch = figure(stages, backfill, |o| o.batch);
        let what = format!("{rows} rows, {name}: longest row lock held by a batch, 99th percentile");
        targets.add(&what, Bound::AtMost(150.0), " ms", batch);
    }
}
