//! What a backfill would cost, and what it did cost compared with the prediction.

use std::fmt::Write as _;

use super::super::look::Look;
use super::{as_f64, bytes, duration, plural, rate};
use crate::lines::NO_BREAK;
use crate::plan::BuildIndexes;
use crate::run::{Estimates, Filled, Orders, Prediction, Range};

/// A backfill of fewer rows is too short for a meaningful comparison.
const WORTH_COMPARING: i64 = 10_000;
/// A difference smaller than this does not matter for planning.
const SAVES_SOMETHING: f64 = 0.05;

/// Returns `6-13 s`, `about 40 min`, `less than 1 s`.
pub(crate) fn range(range: Range) -> String {
    let (low, high) = (range.low.max(0.0), range.high.max(0.0));
    if high < 1.0 {
        return "less than 1 s".to_owned();
    }
    let (unit, seconds) = match high {
        high if high < 120.0 => ("s", 1.0),
        high if high < 7200.0 => ("min", 60.0),
        high if high < 172_800.0 => ("h", 3600.0),
        _ => ("d", 86_400.0),
    };
    let digits = |value: f64| format!("{:.0}", (value / seconds).max(1.0));
    match (digits(low), digits(high)) {
        (low, high) if low == high => format!("about {high} {unit}"),
        (low, high) => format!("{low}-{high} {unit}"),
    }
}

/// Returns both orders of index builds side by side, and what `after_backfill` saves.
pub(super) fn orders(text: &mut String, estimates: &Estimates, look: Look) {
    let Some(orders) = &estimates.orders else { return };
    let _ = writeln!(text, "\n{}", look.bold(&format!("cost: {} to fill", plural(estimates.rows, "row"))));
    let (before, after) = (&orders.before_backfill, &orders.after_backfill);
    if orders.order_matters {
        let this = |order| if order == orders.order { " (this plan)" } else { "" };
        let head = |title: &str, order| format!("{title}{}", this(order));
        let head = [
            head("before_backfill", BuildIndexes::BeforeBackfill),
            head("after_backfill", BuildIndexes::AfterBackfill),
        ];
        let _ = writeln!(text, "{}", look.dim(&format!("  {:<20}{:>28}{:>28}", "", head[0], head[1])));
    }
    for (name, cell) in ROWS {
        let (left, right) = (cell(before), cell(after));
        if left.is_empty() && right.is_empty() {
            continue;
        }
        let _ = if orders.order_matters {
            writeln!(text, "  {name:<20}{left:>28}{right:>28}")
        } else {
            writeln!(text, "  {name:<20}{right:>28}")
        };
    }
    for sentence in saves(orders).into_iter().chain(pace(orders)).chain(said(orders)) {
        look.wrap(text, ("  ", "  "), &sentence);
    }
}

type Cell = fn(&Prediction) -> String;

const ROWS: [(&str, Cell); 7] = [
    ("WAL of the backfill", |p| bytes(p.wal_bytes)),
    ("WAL of index builds", |p| if p.build_bytes > 0 { bytes(p.build_wal_bytes) } else { String::new() }),
    ("heap grows by", |p| format!("{} ({})", bytes(p.heap_growth), percent(p.heap_growth_share))),
    ("TOAST grows by", |p| if p.toast_growth > 0 { bytes(p.toast_growth) } else { String::new() }),
    ("indexes grow by", |p| bytes(p.all_index_bytes())),
    ("updates that are HOT", |p| share(p.hot_share)),
    ("time, unthrottled", |p| range(p.all_seconds())),
];

fn unbroken(amount: &str) -> String {
    amount.replace(' ', &NO_BREAK.to_string())
}

/// What `after_backfill` saves.
fn saves(orders: &Orders) -> Vec<String> {
    if !orders.order_matters {
        return vec![
            "The backfill writes to no index that this plan builds: `indexes.build` makes no difference.".to_owned(),
        ];
    }
    let (before, after) = (&orders.before_backfill, &orders.after_backfill);
    let wal = before.all_wal_bytes() - after.all_wal_bytes();
    let part = if before.all_wal_bytes() > 0 { as_f64(wal) / as_f64(before.all_wal_bytes()) } else { 0.0 };
    let middle = |range: Range| f64::midpoint(range.low, range.high);
    let seconds = middle(before.all_seconds()) - middle(after.all_seconds());
    let faster = seconds >= 0.5 && seconds >= SAVES_SOMETHING * middle(before.all_seconds());
    let (log, time) = (unbroken(&bytes(wal)), unbroken(&range(Range { low: seconds, high: seconds })));
    let part_of_it = unbroken(&share(part));
    let what = match (part >= SAVES_SOMETHING, faster) {
        (true, true) => format!("about {log} of WAL ({part_of_it}) and {time}"),
        (true, false) => format!("about {log} of WAL ({part_of_it})"),
        (false, true) => time,
        (false, false) => "almost nothing".to_owned(),
    };
    vec![match orders.order {
        BuildIndexes::BeforeBackfill => format!("`indexes.build: after_backfill` would save {what}."),
        BuildIndexes::AfterBackfill => format!("`indexes.build: after_backfill`, as here, saves {what}."),
    }]
}

/// What the times mean, and the time at the plan's own pace.
fn pace(orders: &Orders) -> Vec<String> {
    let mut sentences = vec!["Times are rough: one worker, no throttle, the server as busy as now.".to_owned()];
    if orders.machine.measured {
        let pages = plural(orders.machine.sample_pages, "page");
        sentences.push(format!("They are based on reading {pages} of the table."));
    }
    let pace = orders.pace;
    let workers = (pace.workers > 1).then(|| format!("{} workers", pace.workers));
    let rate = pace.max_rows_per_second.map(|most| format!("at most {}", rate(f64::from(most))));
    let set: Vec<_> = [workers, rate].into_iter().flatten().collect();
    if !set.is_empty() {
        sentences.push(format!("At the plan's pace ({}): {}.", set.join(", "), unbroken(&range(orders.paced))));
    }
    sentences
}

fn said(orders: &Orders) -> Vec<String> {
    orders.assumptions.iter().map(|line| format!("Note: {line}.")).collect()
}

/// Returns the outcome of a backfill compared with the prediction, as short lines; none for a small one.
pub(crate) fn compared(filled: &Filled, predicted: Option<&Estimates>) -> Vec<String> {
    if filled.rows < WORTH_COMPARING {
        return vec![];
    }
    let orders = predicted.and_then(|predicted| predicted.orders.as_ref());
    let own = orders.map(Orders::own);
    let beside = |text: Option<String>| text.map(|text| format!(" (predicted {text})")).unwrap_or_default();
    let time = own.map(|own| range(orders.map_or(own.seconds, |orders| orders.backfill_paced)));
    let mut first = format!("{} in {}{}", plural(filled.rows, "row"), duration(filled.seconds), beside(time));
    if filled.paused_seconds >= 1.0 {
        let _ = write!(first, ", paused for {} of that time", duration(filled.paused_seconds));
    }
    let wal = own.map(|own| bytes(own.wal_bytes));
    let second = format!("WAL of the whole server {}{}", bytes(filled.wal_bytes), beside(wal));
    let heap = filled
        .heap_growth_share()
        .map(|share| format!("heap {}{}", percent(share), beside(own.map(|own| percent(own.heap_growth_share)))));
    let indexes = filled.index_growth_share().map(|share| {
        let predicted = own.map(|own| percent(as_f64(own.index_growth) / as_f64(filled.indexes_before)));
        format!("indexes {}{}", percent(share), beside(predicted))
    });
    let hot = filled
        .hot_share()
        .map(|hot| format!("{} of updates HOT{}", share(hot), beside(own.map(|own| share(own.hot_share)))));
    let third: Vec<_> = [heap, indexes, hot].into_iter().flatten().collect();
    let mut lines = vec![first, second];
    if !third.is_empty() {
        lines.push(third.join(", ").replace(" %", &unbroken(" %")));
    }
    lines
}

/// Returns the outcome of a backfill as one line.
pub(super) fn filled(filled: &Filled) -> String {
    let mut text = format!(
        "{} filled in {}; WAL of the whole server {}",
        plural(filled.rows, "row"),
        duration(filled.seconds),
        bytes(filled.wal_bytes)
    );
    if let Some(growth) = filled.heap_growth_share() {
        let _ = write!(text, ", heap {}", percent(growth));
    }
    if let Some(growth) = filled.index_growth_share() {
        let _ = write!(text, ", indexes {}", percent(growth));
    }
    if let Some(hot) = filled.hot_share() {
        let _ = write!(text, ", {} HOT", share(hot));
    }
    text
}

/// Returns `+20 %`.
pub(crate) fn percent(share: f64) -> String {
    let percent = (100.0 * share).round();
    if percent == 0.0 { "+0 %".to_owned() } else { format!("{percent:+.0} %") }
}

/// Returns `81 %`.
pub(crate) fn share(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}
