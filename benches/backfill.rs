//! How fast, and at what price, a column is filled: crossfade beside what people would do without it.
#![expect(clippy::print_stdout, reason = "a bench is a program")]

#[expect(dead_code, reason = "each bench uses its part")]
mod common;
#[path = "backfill/contestants.rs"]
mod contestants;

use anyhow::Result;
use clap::Parser;

use common::args::{Common, Rows, alternating, share, tell};
use common::number::{median, short, spread, with_ratio};
use common::stand::Stand;
use common::table::Table;
use common::target::{Bound, Targets};
use contestants::{Contestant, Order, Outcome, Way, all};

/// Fill a column of a table: one UPDATE, a PL/pgSQL procedure, a client, a trigger, crossfade
///
/// Each contestant gets a fresh copy of one table, equal to the byte, just after a checkpoint. The table of results has
/// the median of each figure and, in parentheses, its ratio to one UPDATE with the same order of index and fill.
#[derive(Debug, Parser)]
#[command(name = "backfill")]
struct Args {
    #[command(flatten)]
    common: Common,
    /// Only contestants whose name contains this; one UPDATE always takes part. May be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only this order of index and fill
    #[arg(long)]
    order: Option<Order>,
}

/// A contestant with what was measured.
struct Line {
    contestant: Contestant,
    outcomes: Vec<Outcome>,
}

impl Line {
    fn median(&self, of: impl Fn(&Outcome) -> f64) -> f64 {
        median(self.outcomes.iter().map(of))
    }

    fn total(&self) -> f64 {
        self.median(|o| o.fill + o.index)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let stand = Stand::start(&args.common).await?;
    let mut sizes = Vec::new();
    for &rows in &args.common.rows {
        let lines = measure(&args, &stand, rows).await?;
        println!("{rows} rows, {} secondary indexes, medians of {}\n", args.common.indexes, args.common.repeat);
        println!("{}", results(&lines, rows));
        for line in lines.iter().filter(|line| line.outcomes.iter().any(|o| o.checkpoint)) {
            println!("a checkpoint began during a fill of: {} ({:?})", line.contestant.name, line.contestant.order);
        }
        sizes.push((rows, lines));
    }
    println!("{}", targets(&sizes, args.common.indexes));
    stand.stop()
}

async fn measure(args: &Args, stand: &Stand, rows: Rows) -> Result<Vec<Line>> {
    let template = stand.template(rows, args.common.indexes).await?;
    let wanted = |c: &Contestant| {
        let named = args.only.is_empty() || c.way == Way::Update || args.only.iter().any(|only| c.name.contains(only));
        named && args.order.is_none_or(|order| order == c.order)
    };
    let mut lines: Vec<Line> =
        all().into_iter().filter(wanted).map(|contestant| Line { contestant, outcomes: Vec::new() }).collect();
    for repetition in 0..args.common.repeat {
        for number in alternating(repetition, lines.len()) {
            let line = &mut lines[number];
            let outcome = line.contestant.measure(stand, &template, rows).await?;
            let Contestant { name, order, .. } = line.contestant;
            let of = format!("{}/{}", repetition + 1, args.common.repeat);
            tell(&format!(
                "{of} {name}, index {order:?}: {} s, CPU {} s, WAL {} MB, heap x {}, HOT {} %",
                short(outcome.fill),
                short(outcome.cpu),
                short(outcome.wal / 1e6),
                short(outcome.heap),
                short(outcome.hot)
            ));
            line.outcomes.push(outcome);
        }
        tell(&share(usize::try_from(repetition)? + 1, usize::try_from(args.common.repeat)?));
    }
    Ok(lines)
}

fn baseline(lines: &[Line], order: Order) -> Option<&Line> {
    lines.iter().find(|line| line.contestant.order == order && line.contestant.way == Way::Update)
}

fn results(lines: &[Line], rows: Rows) -> Table {
    let mut table = Table::new([
        "way",
        "index",
        "fill s",
        "spread %",
        "rows/s",
        "index s",
        "total s",
        "server CPU s",
        "WAL MB",
        "heap x",
        "indexes x",
        "new index MB",
        "HOT %",
        "dead rows k",
    ]);
    for line in lines {
        let Some(base) = baseline(lines, line.contestant.order) else { continue };
        let ratio = |of: &dyn Fn(&Outcome) -> f64| with_ratio(line.median(of), base.median(of));
        let growth = |of: &dyn Fn(&Outcome) -> f64| {
            let (ours, theirs) = (line.median(of), base.median(of));
            format!("{} ({})", short(ours), short((ours - 1.0) / (theirs - 1.0)))
        };
        table.row([
            line.contestant.name.to_owned(),
            format!("{:?}", line.contestant.order).to_lowercase(),
            ratio(&|o| o.fill),
            short(spread(line.outcomes.iter().map(|o| o.fill))),
            ratio(&|o| rows.float() / o.fill),
            ratio(&|o| o.index),
            with_ratio(line.total(), base.total()),
            ratio(&|o| o.cpu),
            ratio(&|o| o.wal / 1e6),
            growth(&|o| o.heap),
            growth(&|o| o.indexes),
            ratio(&|o| o.new_index / 1e6),
            short(line.median(|o| o.hot)),
            ratio(&|o| o.dead / 1e3),
        ]);
    }
    table
}

fn targets(sizes: &[(Rows, Vec<Line>)], indexes: u8) -> Targets {
    let mut targets = Targets::new();
    let two_workers = Way::Ours { sub_passes: None, workers: 2, keys: "" };
    let find = |lines: &'_ [Line], way, order, of: &dyn Fn(&Outcome) -> f64| {
        let line = lines.iter().find(|line| line.contestant.way == way && line.contestant.order == order);
        line.map_or(f64::NAN, |line| line.median(of))
    };
    for (rows, lines) in sizes {
        let ours = |of: &dyn Fn(&Outcome) -> f64| find(lines, two_workers, Order::After, of);
        let update = |of: &dyn Fn(&Outcome) -> f64| find(lines, Way::Update, Order::After, of);
        let what = |figure: &str| format!("{rows} rows, {indexes} indexes, after_backfill, 2 workers: {figure}");
        let time = ours(&|o| o.fill) / update(&|o| o.fill);
        targets.add(&what("time / one UPDATE"), Bound::AtMost(0.5), "", time);
        let wal = ours(&|o| o.wal) / update(&|o| o.wal);
        targets.add(&what("WAL / one UPDATE"), Bound::AtMost(0.5), "", wal);
        targets.add(&what("heap after / before"), Bound::AtMost(1.15), "", ours(&|o| o.heap));
        targets.add(&what("HOT share"), Bound::AtLeast(90.0), " %", ours(&|o| o.hot));
        let first = |way| find(lines, way, Order::First, &|o| o.fill);
        let what = format!("{rows} rows, {indexes} indexes, index first, 2 workers: time / the plpgsql procedure");
        targets.add(&what, Bound::AtMost(0.7), "", first(two_workers) / first(Way::Procedure));
    }
    let small = sizes.iter().min_by_key(|(rows, _)| *rows);
    let large = sizes.iter().max_by_key(|(rows, _)| *rows);
    if let (Some((few, small)), Some((many, large))) = (small, large) {
        let rate = |rows: &Rows, lines| rows.float() / find(lines, two_workers, Order::After, &|o| o.fill);
        let measured = if few == many { f64::NAN } else { rate(many, large) / rate(few, small) };
        let what = if few == many {
            "rows/s of the largest size / of the smallest (--rows 1m,30m)".to_owned()
        } else {
            format!("rows/s at {many} / at {few}")
        };
        targets.add(&what, Bound::AtLeast(0.9), "", measured);
    }
    targets
}
