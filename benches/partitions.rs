//! A rename on a partitioned table, beside what people would do by hand.
#![expect(clippy::print_stdout, reason = "a bench is a program")]

#[expect(dead_code, reason = "each bench uses its part")]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;

use common::args::{Common, Rows, alternating, tell};
use common::crossfade::{Crossfade, NAME, assert_filled};
use common::database::Database;
use common::number::{median, short, with_ratio};
use common::stand::Stand;
use common::table::Table;

/// A partitioned table: time and WAL of the backfill and of the index beside one UPDATE a partition
///
/// Meanwhile a table is attached and detached again and again, twice a second; the longest time that either took is printed.
#[derive(Debug, Parser)]
#[command(name = "partitions")]
struct Args {
    #[command(flatten)]
    common: Common,
    /// How many partitions the table has
    #[arg(long, default_value_t = 50)]
    leaves: u32,
}

/// Between ATTACH and DETACH, and until the next ATTACH: so seldom that its WAL is nothing beside that of the rows.
const PAUSE: Duration = Duration::from_millis(250);

/// What one contestant needed, in seconds and megabytes; how often a table came and went meanwhile.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    fill: f64,
    wal: f64,
    index: f64,
    came: f64,
    attach: f64,
    detach: f64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let stand = Stand::start(&args.common).await?;
    for &rows in &args.common.rows {
        let template = stand.template(rows, args.common.indexes).await?;
        let divided = stand.copy(&template, "divided").await?;
        divide(&divided, rows, args.leaves).await?;
        let mut outcomes = [Vec::new(), Vec::new()];
        for repetition in 0..args.common.repeat {
            for contestant in alternating(repetition, 2) {
                let database = stand.copy(&divided.name, "contestant").await?;
                let outcome = if contestant == 0 {
                    by_hand(&database, rows, args.leaves).await?
                } else {
                    ours(&database, rows).await?
                };
                assert_filled(&database, rows.float()).await?;
                tell(&format!("{}: {} s, {} MB of WAL", WAYS[contestant], short(outcome.fill), short(outcome.wal)));
                outcomes[contestant].push(outcome);
                stand.discard(database).await?;
            }
        }
        println!(
            "{rows} rows in {} partitions, medians of {}\n\n{}",
            args.leaves,
            args.common.repeat,
            results(&outcomes)
        );
        stand.discard(divided).await?;
    }
    stand.stop()
}

const WAYS: [&str; 2] = ["one UPDATE a partition", "crossfade 2 workers"];

fn results(outcomes: &[Vec<Outcome>; 2]) -> Table {
    let mut table =
        Table::new(["way", "fill s", "WAL MB", "index s", "came and went", "longest ATTACH s", "longest DETACH s"]);
    for (way, own) in WAYS.iter().zip(outcomes) {
        let of = |f: fn(&Outcome) -> f64| median(own.iter().map(f));
        let ratio = |f: fn(&Outcome) -> f64| with_ratio(of(f), median(outcomes[0].iter().map(f)));
        table.row([
            (*way).to_owned(),
            ratio(|o| o.fill),
            ratio(|o| o.wal),
            ratio(|o| o.index),
            short(of(|o| o.came)),
            short(of(|o| o.attach)),
            short(of(|o| o.detach)),
        ]);
    }
    table
}

/// Puts the rows of the table into partitions of equal size, with an index on the column that is renamed. Pages are as full as they
/// were.
async fn divide(database: &Database, rows: Rows, leaves: u32) -> Result<()> {
    let step = rows.0.div_ceil(leaves);
    let parts: Vec<_> = (0..leaves)
        .map(|n| {
            let (from, to) = (u64::from(n * step) + 1, u64::from((n + 1) * step) + 1);
            format!("CREATE TABLE vehicles_{n} PARTITION OF vehicles FOR VALUES FROM ({from}) TO ({to}) WITH (autovacuum_enabled = off);")
        })
        .collect();
    let sql = format!(
        "ALTER TABLE vehicles RENAME TO whole; CREATE TABLE vehicles (LIKE whole INCLUDING DEFAULTS) PARTITION BY RANGE (id); {}
         INSERT INTO vehicles SELECT * FROM whole ORDER BY id; DROP TABLE whole; ALTER TABLE vehicles ADD PRIMARY KEY (id);
         CREATE INDEX by_status ON vehicles (status)",
        parts.concat()
    );
    database.execute(&sql).await?;
    database.execute("VACUUM (ANALYZE) vehicles").await
}

/// Returns the bytes of WAL that the server has written.
async fn wal(database: &Database) -> Result<f64> {
    database.number("SELECT (pg_current_wal_lsn() - '0/0')::float8").await
}

/// Fills one partition after the other, builds the index in one after the other, and joins it.
async fn by_hand(database: &Database, rows: Rows, leaves: u32) -> Result<Outcome> {
    database.execute("ALTER TABLE vehicles ADD COLUMN vehicle_status text").await?;
    let coming = Coming::begin(database, rows).await?;
    let (before, begin) = (wal(database).await?, Instant::now());
    for n in 0..leaves {
        database.execute(&format!("UPDATE vehicles_{n} SET vehicle_status = status")).await?;
    }
    let (fill, wal) = (begin.elapsed().as_secs_f64(), wal(database).await? - before);
    let begin = Instant::now();
    for n in 0..leaves {
        database.execute(&format!("CREATE INDEX CONCURRENTLY new_{n} ON vehicles_{n} (vehicle_status)")).await?;
    }
    let attach: Vec<_> = (0..leaves).map(|n| format!("ALTER INDEX new ATTACH PARTITION new_{n};")).collect();
    let join = format!("CREATE INDEX new ON ONLY vehicles (vehicle_status); {}", attach.concat());
    database.execute(&join).await?;
    coming.end((fill, wal, begin.elapsed().as_secs_f64())).await
}

/// As [`by_hand`], by a run of crossfade.
async fn ours(database: &Database, rows: Rows) -> Result<Outcome> {
    let plan = format!(
        "version: 1\nname: {NAME}\ntable: public.vehicles\nchanges:\n  - rename_column: {{ from: status, to: vehicle_status }}\n\
         indexes: {{ build: after_backfill }}\nbackfill: {{ workers: 2 }}\n"
    );
    let tool = Crossfade::new(database, &plan)?;
    tool.start().await?;
    let coming = Coming::begin(database, rows).await?;
    let before = wal(database).await?;
    tool.advance().await?;
    let wal = wal(database).await? - before;
    let (from, to) = tool.step(database, "backfill.rows").await?;
    tool.advance().await?;
    let (index_from, index_to) = tool.step(database, "index.mirror:by_status").await?;
    coming.end((to - from, wal, index_to - index_from)).await
}

/// A table that is attached and detached again and again.
struct Coming {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Result<(f64, f64, f64)>>,
}

impl Coming {
    async fn begin(database: &Database, rows: Rows) -> Result<Self> {
        // Rows that were divided have smaller numbers.
        let first = u64::from(rows.0) * 2;
        let table = format!(
            "CREATE TABLE came (LIKE vehicles INCLUDING ALL); INSERT INTO came SELECT * FROM vehicles_0 LIMIT 1000;
             UPDATE came SET id = id + {first}"
        );
        database.execute(&table).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let (database, stopped) = (Database { name: database.name.clone(), url: database.url.clone() }, stop.clone());
        let task = tokio::spawn(async move {
            let mut session = database.session().await?;
            let (mut count, mut attach, mut detach) = (0.0, 0.0_f64, 0.0_f64);
            while !stopped.load(Ordering::Relaxed) {
                let begin = Instant::now();
                let range = format!("FROM ({first}) TO ({})", first * 2);
                session.execute(&format!("ALTER TABLE vehicles ATTACH PARTITION came FOR VALUES {range}")).await?;
                attach = attach.max(begin.elapsed().as_secs_f64());
                tokio::time::sleep(PAUSE).await;
                let begin = Instant::now();
                session.execute("ALTER TABLE vehicles DETACH PARTITION came").await?;
                detach = detach.max(begin.elapsed().as_secs_f64());
                count += 1.0;
                tokio::time::sleep(PAUSE).await;
            }
            session.close().await?;
            Ok((count, attach, detach))
        });
        Ok(Self { stop, task })
    }

    /// Ends it; returns what it has measured with what was measured meanwhile.
    async fn end(self, (fill, wal, index): (f64, f64, f64)) -> Result<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        let (came, attach, detach) = self.task.await??;
        Ok(Outcome { fill, wal: wal / 1e6, index, came, attach, detach })
    }
}
