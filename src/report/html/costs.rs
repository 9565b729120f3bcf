//! The backfill on a page: how far and how fast it was, what it cost beside what was predicted, what held it, and what an
//! application felt.

use chrono_tz::Tz;
use maud::{Markup, html};

use super::super::human::{bytes, duration, number, percent, plural, range, rate, share};
use super::super::words;
use super::chart::{Axes, Line, lines};
use super::parts::{code, facts, partition_state, table, unknown};
use crate::run::{Cause, Estimates, Filled, HoldTime, Orders, Signal, WaitingFor};
use crate::view::{Course, CoursePoint, Felt, PartitionState, PartitionView, PartitionsView, ReportView};

/// Fewer points make no line.
const FEWEST: usize = 3;

pub(super) fn backfill(view: &ReportView) -> Markup {
    let (progress, zone) = (&view.run.progress, view.run.zone);
    let Some(percent) = progress.rows_percent.filter(|_| view.run.fills) else {
        return if view.run.fills {
            html! { p { "The table has no rows, as far as its statistics tell, so there is nothing to fill." } }
        } else {
            html! { p { "This plan fills no rows: it has no backfill." } }
        };
    };
    let rate_now = if progress.rows_per_second > 0.0 {
        html! { (rate(progress.rows_per_second)) }
    } else if matches!(view.run.waiting_for, Some(WaitingFor::Signal { .. })) {
        unknown("none: a signal holds it")
    } else {
        unknown("nobody is filling rows now")
    };
    let not_yet = if view.run.is_over() { "not known" } else { "not known yet" };
    let eta = progress.eta_seconds.filter(|_| progress.rows_per_second > 0.0).map(duration);
    let average = view.run.filled.as_ref().and_then(Filled::rows_per_second);
    html! {
        (facts(&[
            ("rows-done", "Rows gone through", html! { (number(progress.rows_done)) }),
            ("rows-total", "Rows in the table", html! { (number(progress.rows_total)) @if percent < 100 { " (estimate)" } }),
            ("rows-percent", "Share", html! { (percent) " %" }),
            ("rate-now", "Rate now", rate_now),
            ("eta", "To go", eta.map_or_else(|| unknown(if percent == 100 { "nothing" } else { "not known" }), |eta| html! { (eta) })),
            ("rate-average", "Rate on average", average.map_or_else(|| unknown(not_yet), |average| html! { (rate(average)) " without pauses" })),
        ]))
        @match &view.course {
            Some(course) => (progressed(course, zone)),
            None => p.note { "The backfill has not begun." },
        }
        @if let Some(of) = &view.run.partitions { (partitions(of)) }
        (compared(view.run.filled.as_ref(), view.run.predicted.as_ref(), not_yet))
        (held(&view.run.holds, zone))
        h3 { "What an application felt" }
        @match view.course.as_ref().and_then(|course| course.felt.as_ref().map(|felt| (course, felt))) {
            Some((course, felt)) => (latency((course, zone), felt)),
            None => p { "Not measured. The latency probe runs where the plan or " code { "crossfade tune" } " sets " code { "goal_latency" } "." },
        }
    }
}

fn axes((course, zone): (&Course, Tz), top: String, bottom: &str) -> Axes {
    let last = course.points.last().map_or(0.0, |point| point.seconds);
    Axes {
        left: words::time(course.began, zone),
        right: format!("{} later", duration(last)),
        top,
        bottom: bottom.to_owned(),
    }
}

fn progressed(course: &Course, zone: Tz) -> Markup {
    if course.points.len() < FEWEST {
        let (began, samples) = (words::time(course.began, zone), plural(length(&course.points), "time"));
        return html! { p.note { "It began at " (began) ". Its progress was noted " (samples) ", too few for a chart." } };
    }
    let filled = course.points.last().map_or(0, |point| point.rows);
    if filled == 0 {
        return html! { p.note { "It began at " (words::time(course.began, zone)) ". No row was filled so far." } };
    }
    let start = (0.0, Some(0.0));
    let rows = |point: &CoursePoint| (point.seconds, Some(float(point.rows)));
    let rows = [start].into_iter().chain(course.points.iter().map(rows)).collect();
    // A rate is the average since the point before: a step.
    let mut since = 0.0;
    let step = |point: &CoursePoint| {
        let from = std::mem::replace(&mut since, point.seconds);
        [(from, Some(point.rows_per_second)), (point.seconds, Some(point.rows_per_second))]
    };
    let rates = course.points.iter().flat_map(step).collect();
    html! {
        (lines("Rows filled since the backfill began", &[Line { name: "rows", points: rows }], &axes((course, zone), number(filled), "0")))
        (lines("Rows filled a second, on average between two notes", &[Line { name: "rate", points: rates }],
            &axes((course, zone), rate(course.top_rate()), "0")))
    }
}

/// Returns how far each partition is, and how many there are.
fn partitions(of: &PartitionsView) -> Markup {
    let what = of.kind.plural();
    let row = |one: &PartitionView| {
        let table = html! { (code(&one.table)) @if of.now.contains(&one.table) { " (now)" } };
        let so_far = match one.state {
            PartitionState::ToCome => html! {},
            PartitionState::Begun => {
                html! { ", " span.amount { (one.percent) " %" } ", " (plural(one.rows_filled, "row")) }
            }
            PartitionState::Filled => html! { ", " (plural(one.rows_filled, "row")) },
        };
        vec![table, html! { (partition_state(one.state)) (so_far) }]
    };
    let rows: Vec<_> = of.listed.iter().map(row).collect();
    let (filled, total) = (number(of.filled), number(of.total));
    let caption = format!("Filled: {filled} of {total} {what}");
    html! {
        (table(&caption, &["Table", "State"], &rows))
        @if of.unlisted > 0 { p.note { (number(of.unlisted)) " more are left out, those that are filled first." } }
    }
}

fn latency((course, zone): (&Course, Tz), felt: &Felt) -> Markup {
    let format = |seconds| Signal::GoalLatency.format(seconds);
    let goal =
        felt.goal_seconds.map_or_else(|| unknown("the plan sets none; it was tuned"), |goal| html! { (format(goal)) });
    let line = |name, of: fn(&CoursePoint) -> Option<f64>| Line {
        name,
        points: course.points.iter().map(|point| (point.seconds, of(point))).collect(),
    };
    let both = [line("p50: half of the probes", |p| p.p50_seconds), line("p99: 99 of 100 probes", |p| p.p99_seconds)];
    html! {
        p { "A small transaction of the latency probe took at most so long, rounded up by at most a quarter:" }
        (facts(&[
            ("latency-p50", "p50", html! { (format(felt.p50_seconds)) }),
            ("latency-p99", "p99", html! { (format(felt.p99_seconds)) }),
            ("latency-probes", "Probes", html! { (number(felt.probes)) ", " (number(felt.over_goal)) " above the goal" }),
            ("latency-goal", "Goal of the plan", goal),
        ]))
        @if course.points.len() >= FEWEST {
            (lines("Latency of the probes between two notes", &both, &axes((course, zone), format(course.top_latency()), "0")))
        }
    }
}

/// Prediction beside outcome.
fn compared(filled: Option<&Filled>, predicted: Option<&Estimates>, not_yet: &str) -> Markup {
    let orders = predicted.and_then(|predicted| predicted.orders.as_ref());
    let own = orders.map(Orders::own);
    let text = |text: Option<String>, none: &str| text.map_or_else(|| unknown(none), |text| html! { (text) });
    let guess = |guess: Option<String>| text(guess, "not predicted");
    let came = |outcome: Option<String>| text(outcome, if filled.is_some() { "not known" } else { not_yet });
    let grown = |share: Option<f64>, before, after| {
        let share = share.map(|share| format!("{}, ", percent(share))).unwrap_or_default();
        format!("{share}from {} to {}", bytes(before), bytes(after))
    };
    let took = |f: &Filled| match f.paused_seconds {
        paused if paused >= 1.0 => format!("{}, paused for {} of it", duration(f.seconds), duration(paused)),
        _ => duration(f.seconds),
    };
    let rows = [
        ("Rows to fill", predicted.map(|p| number(p.rows)), filled.map(|f| number(f.rows))),
        ("Time", orders.map(|o| range(o.backfill_paced)), filled.map(took)),
        (
            "WAL",
            own.map(|p| bytes(p.wal_bytes)),
            filled.map(|f| format!("{}, of the whole server", bytes(f.wal_bytes))),
        ),
        (
            "Heap",
            own.map(|p| format!("{}, {} more", percent(p.heap_growth_share), bytes(p.heap_growth))),
            filled.map(|f| grown(f.heap_growth_share(), f.heap_before, f.heap_after)),
        ),
        (
            "TOAST",
            own.map(|p| format!("{} more", bytes(p.toast_growth))),
            filled.map(|f| grown(None, f.toast_before, f.toast_after)),
        ),
        (
            "Indexes",
            own.map(|p| format!("{} more", bytes(p.index_growth))),
            filled.map(|f| grown(f.index_growth_share(), f.indexes_before, f.indexes_after)),
        ),
        ("Updates that are HOT", own.map(|p| share(p.hot_share)), filled.and_then(Filled::hot_share).map(share)),
    ];
    let row = |(what, predicted, outcome): (&str, Option<String>, Option<String>)| {
        vec![html! { (what) }, guess(predicted), came(outcome)]
    };
    let rows: Vec<_> = rows.into_iter().map(row).collect();
    table("Prediction and outcome of the backfill", &["Measure", "Predicted", "Outcome"], &rows)
}

fn held(holds: &[HoldTime], zone: Tz) -> Markup {
    if holds.is_empty() {
        return html! { p { "Nothing has held the backfill or slowed it down, as far as was noted." } };
    }
    let time = |seconds: f64| {
        if seconds > 0.0 {
            html! { (duration(seconds)) }
        } else {
            html! { "–" }
        }
    };
    let row = |hold: &HoldTime| {
        let worst = match (hold.signal.signal(), hold.worst, hold.limit) {
            (Some(Signal::Wraparound) | None, ..) => html! { "–" },
            (Some(signal), Some(worst), Some(limit)) => html! { (signal.format(worst)) " of " (signal.format(limit)) },
            _ => unknown("not known"),
        };
        let what = match hold.signal {
            Cause::Paused => "a pause by a person",
            cause @ Cause::Signal(_) => words::cause(cause),
        };
        let last = html! { span.when { (words::time(hold.last_at, zone)) } };
        vec![
            html! { (what) },
            html! { (number(hold.times)) },
            time(hold.seconds),
            time(hold.slowed_seconds),
            worst,
            last,
        ]
    };
    let rows: Vec<_> = holds.iter().map(row).collect();
    let head = ["Cause", "Times held", "Held for", "Slowed for", "Worst and limit", "Last"];
    table("What held the backfill or slowed it down, as seen by the process that leads the run", &head, &rows)
}

fn length<T>(list: &[T]) -> i64 {
    i64::try_from(list.len()).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "places on a drawing")]
fn float(count: i64) -> f64 {
    count as f64
}
