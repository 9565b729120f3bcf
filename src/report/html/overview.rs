//! All runs on a page.

use maud::{Markup, html};

use super::super::human::{self, duration, number, rate};
use super::super::look::printable;
use super::super::words;
use super::chart::{Stretch, bar};
use super::excerpt::Room;
use super::parts::{standing, table, unknown};
use super::{REFRESH, page};
use crate::view::{Overview, RunView};

/// Of one text in the table.
const CELL: usize = 500;
/// Of all of them.
const ALL: usize = 60_000;

/// Returns the page that lists runs, newest first, each with its state or the reason why that cannot be read.
pub(crate) fn overview(overview: &Overview) -> String {
    let mut room = Room::new(ALL);
    let rows: Vec<_> = overview.runs.iter().map(|(name, run)| row(name, run.as_ref(), &mut room)).collect();
    let database = printable(&overview.database);
    let head = ["Run", "State", "Phase", "Rows", "Waits for"];
    let body = html! {
        h1 { "Runs of crossfade" }
        p.note { "Database " code { (database) } }
        @if overview.runs.is_empty() {
            p { "There are no runs in this database yet. " "Next: " code { (human::FIRST) } ", which writes a plan for a column." }
        } @else {
            div.runs { (table("The latest run of each plan, newest first", &head, &rows)) }
        }
        @if overview.more > 0 { p.note { (overview.more) " more are left out; " code { "crossfade status" } " lists all." } }
        footer { p { "Written by crossfade " (env!("CARGO_PKG_VERSION")) "; updated every " (REFRESH) " seconds." } }
    };
    page(&format!("Runs of crossfade in {database}"), Some(REFRESH), &body)
}

fn row(name: &str, run: Result<&RunView, &String>, room: &mut Room) -> Vec<Markup> {
    let link = html! { a href={ "runs/" (name) } { (printable(name)) } };
    let run = match run {
        Ok(run) => run,
        Err(why) => return vec![link, unknown("cannot be read"), html! { "–" }, html! { "–" }, room.line(why, CELL)],
    };
    let waits = run.waiting_for.as_ref();
    let waits = waits.map(|waits| run.of_part() + &words::in_short(waits, run.zone));
    let overdue = words::tick_overdue(run).map(|overdue| format!("next tick {overdue}"));
    let waits = match (waits, overdue) {
        (None, None) => html! { "–" },
        (Some(text), None) | (None, Some(text)) => room.line(&text, CELL),
        (Some(waits), Some(overdue)) => html! { (room.line(&waits, CELL)) br; (room.line(&overdue, CELL)) },
    };
    let phase = html! { span.amount { (run.phase.as_str()) } };
    vec![link, standing(run.state), phase, rows(run), waits]
}

/// Returns how far a backfill is, how fast, and how long it takes at this rate.
fn rows(run: &RunView) -> Markup {
    let progress = &run.progress;
    let Some(percent) = progress.rows_percent.filter(|percent| *percent < 100) else {
        return html! { span.amount { (number(progress.rows_total)) } };
    };
    let eta = progress.eta_seconds.filter(|_| progress.rows_per_second > 0.0);
    let stretch = Stretch { from: 0.0, to: f64::from(i32::try_from(percent).unwrap_or(0)) / 100.0 };
    html! {
        span.amount { (percent) " % of " (number(progress.rows_total)) }
        @if let Some(of) = &run.partitions { ", " span.amount { (number(of.filled)) " of " (number(of.total)) " " (of.kind.plural()) } }
        @if progress.rows_per_second > 0.0 { ", " span.amount { (rate(progress.rows_per_second)) } }
        @if let Some(eta) = eta { ", " span.amount { (duration(eta)) " to go" } }
        @if percent > 0 { (bar(&format!("{percent} % of the rows"), "span", &[stretch])) }
    }
}
