//! What the sync trigger costs the application.
#![expect(clippy::print_stdout, reason = "a bench is a program")]

#[expect(dead_code, reason = "each bench uses its part")]
mod common;

use anyhow::{Result, ensure};
use clap::Parser;

use common::args::{Common, Rows, alternating, share, tell};
use common::crossfade::{Crossfade, assert_filled, plan};
use common::database::Database;
use common::number::{float, median, short, spread};
use common::pgbench::Load;
use common::stand::Stand;
use common::table::Table;
use common::target::{Bound, Targets};

/// Cost of the sync trigger to the application's INSERT and UPDATE
///
/// Four copies of one table: as it was; after expand (the trigger is there, the new column empty); after the backfill; and
/// the same without the trigger. pgbench writes to them in short rounds, one after the other, back and forth. What is
/// printed are medians of transactions a second, and of the ratio of two rounds that were next to each other in time.
#[derive(Debug, Parser)]
#[command(name = "sync")]
struct Args {
    #[command(flatten)]
    common: Common,
    /// Seconds of a round
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Rounds of each statement on each table, in place of 3 for each repetition
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Clients of pgbench
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
}

const INSERT: &str = "\
    INSERT INTO vehicles (id, created_at, updated_at, last_seen, depot_id, odometer, status, vin, license_plate) \
    VALUES (nextval('next_vehicle'), now(), now(), now(), 7, 1, 'active', 'BENCH000000000000', 'ZH 000000');\n";
const UNRELATED: &str = "\\set id random(1, :rows)\nUPDATE vehicles SET odometer = odometer + 1 WHERE id = :id;\n";
const OLD: &str = "\\set id random(1, :rows)\n\
    UPDATE vehicles SET status = CASE status WHEN 'idle' THEN 'active' ELSE 'idle' END WHERE id = :id;\n";

const STATEMENTS: [(&str, &str); 3] =
    [("INSERT", INSERT), ("UPDATE of another column", UNRELATED), ("UPDATE of the old column", OLD)];

/// The same statement with and without waiting for the disk at commit: without, the trigger is a larger part of the whole.
const COMMITS: [(&str, &str); 2] = [("durable", ""), ("synchronous_commit off", "-c synchronous_commit=off")];

/// The tables, in the order in which a round goes through them.
#[derive(Debug, Clone, Copy)]
enum State {
    Plain,
    Expanded,
    Filled,
    FilledNoTrigger,
}

const STATES: [(State, &str); 4] = [
    (State::Plain, "plain"),
    (State::Expanded, "expanded"),
    (State::Filled, "filled"),
    (State::FilledNoTrigger, "filled_no_trigger"),
];

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let stand = Stand::start(&args.common).await?;
    let mut targets = Targets::new();
    for &rows in &args.common.rows {
        let databases = prepare(&stand, &args, rows).await?;
        let rounds = args.rounds.unwrap_or(3 * args.common.repeat);
        let mut table = Table::new([
            "statement",
            "commit",
            "plain tps",
            "expanded tps",
            "ratio",
            "spread %",
            "filled, no trigger tps",
            "filled tps",
            "ratio",
            "spread %",
        ]);
        let (mut done, all) = (0, COMMITS.len() * STATEMENTS.len());
        for (commit, options) in COMMITS {
            for (statement, script) in STATEMENTS {
                let load = Load::new(script, rows, args.clients).options(options);
                let tps = race(&stand, &databases, &load, rounds, args.seconds).await?;
                let [plain, expanded, filled, bare] = &tps;
                let (before, after) = (ratios(expanded, plain), ratios(filled, bare));
                table.row([
                    statement.to_owned(),
                    commit.to_owned(),
                    short(median(plain.clone())),
                    short(median(expanded.clone())),
                    short(median(before.clone())),
                    short(spread(before.clone())),
                    short(median(bare.clone())),
                    short(median(filled.clone())),
                    short(median(after.clone())),
                    short(spread(after.clone())),
                ]);
                let what = format!("{statement}, {commit}: tps with / without the trigger, after the backfill");
                targets.add(&what, Bound::AtLeast(0.95), "", median(after));
                done += 1;
                tell(&share(done, all));
            }
        }
        println!("{rows} rows, {} clients, medians of {rounds} rounds of {} s\n\n{table}", args.clients, args.seconds);
        check(&databases).await?;
        for database in databases {
            stand.discard(database).await?;
        }
    }
    println!("{targets}");
    stand.stop()
}

async fn prepare(stand: &Stand, args: &Args, rows: Rows) -> Result<Vec<Database>> {
    let template = stand.template(rows, args.common.indexes).await?;
    let mut databases = Vec::new();
    for (state, name) in STATES {
        let database = stand.copy(&template, name).await?;
        let tool = Crossfade::new(&database, &plan("after_backfill", ""))?;
        if !matches!(state, State::Plain) {
            tool.start().await?;
        }
        if matches!(state, State::Filled | State::FilledNoTrigger) {
            tool.advance().await?;
            assert_filled(&database, rows.float()).await?;
        }
        if matches!(state, State::FilledNoTrigger) {
            let drop = "DO $$ DECLARE name text; BEGIN \
                FOR name IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'vehicles'::regclass AND NOT tgisinternal LOOP \
                  EXECUTE format('DROP TRIGGER %I ON vehicles', name); END LOOP; END $$";
            database.execute(drop).await?;
        }
        database.execute("VACUUM (ANALYZE) vehicles").await?;
        databases.push(database);
    }
    Ok(databases)
}

/// Returns the transactions a second of each round on each table.
async fn race(stand: &Stand, databases: &[Database], load: &Load, rounds: u32, seconds: u32) -> Result<[Vec<f64>; 4]> {
    let mut tps = [vec![], vec![], vec![], vec![]];
    databases[0].execute("CHECKPOINT").await?;
    // The first round counts for nothing: it writes full pages, and fills caches.
    for round in 0..=rounds {
        for number in alternating(round, databases.len()) {
            let found = load.run(stand, &databases[number], seconds).await?;
            if round > 0 {
                tps[number].push(found);
            }
        }
    }
    Ok(tps)
}

/// Round by round, so that a machine that gets slower or faster does not matter.
fn ratios(with: &[f64], without: &[f64]) -> Vec<f64> {
    with.iter().zip(without).map(|(with, without)| with / without).collect()
}

/// Fails unless the trigger was there, and worked, where it should.
async fn check(databases: &[Database]) -> Result<()> {
    for ((state, name), database) in STATES.into_iter().zip(databases) {
        let triggers = "SELECT count(*)::float8 FROM pg_trigger WHERE tgrelid = 'vehicles'::regclass";
        let triggers = database.number(triggers).await?;
        match state {
            State::Plain | State::FilledNoTrigger => ensure!(triggers < 1.0, "{name} has triggers"),
            State::Expanded => {
                let wrong = "SELECT count(*)::float8 FROM vehicles WHERE vehicle_status <> status";
                ensure!(triggers >= 1.0 && database.number(wrong).await? < 1.0, "{name} is not in sync");
                let healed = "SELECT (count(vehicle_status) / count(*)::float8)::float8 FROM vehicles";
                let healed = database.number(healed).await?;
                tell(&format!("expanded: {} of its rows have the new column filled by now", short(healed)));
            }
            State::Filled => {
                ensure!(triggers >= 1.0, "{name} has no trigger");
                assert_filled(database, float(0)).await?;
            }
        }
    }
    Ok(())
}
