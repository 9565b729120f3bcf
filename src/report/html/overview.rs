//! All runs on a page.

use maud::{Markup, html};

use super::super::human::{number, rate};
use super::super::look::printable;
use super::super::words;
use super::excerpt::Room;
use super::parts::{standing, table, unknown};
use super::{REFRESH, page};
use crate::view::RunView;

/// Of one text in the table.
const CELL: usize = 500;
/// Of all of them.
const ALL: usize = 60_000;

/// Returns the page that lists runs, newest first, each with its state or the reason why that cannot be read; `more` are left out.
pub(crate) fn overview(runs: &[(String, Result<RunView, String>)], more: usize) -> String {
    let mut room = Room::new(ALL);
    let rows: Vec<_> = runs.iter().map(|(name, run)| row(name, run.as_ref(), &mut room)).collect();
    let body = html! {
        h1 { "Runs of crossfade" }
        @if runs.is_empty() {
            p { "There are no runs in this database yet." }
        } @else {
            (table("The latest run of each plan, newest first", &["Run", "State", "Phase", "Rows", "Waits for"], &rows))
        }
        @if more > 0 { p.note { (more) " more are left out." } }
        footer { p { "Read-only. Written by crossfade " (env!("CARGO_PKG_VERSION")) "; updated every " (REFRESH) " seconds." } }
    };
    page("Runs of crossfade", Some(REFRESH), &body)
}

fn row(name: &str, run: Result<&RunView, &String>, room: &mut Room) -> Vec<Markup> {
    let link = html! { a href={ "runs/" (name) } { (printable(name)) } };
    let run = match run {
        Ok(run) => run,
        Err(why) => return vec![link, unknown("cannot be read"), html! { "–" }, html! { "–" }, room.line(why, CELL)],
    };
    let progress = &run.progress;
    let rows = match progress.rows_percent {
        Some(percent) if percent < 100 => html! {
            (percent) " % of " (number(progress.rows_total))
            @if progress.rows_per_second > 0.0 { ", " (rate(progress.rows_per_second)) }
        },
        _ => html! { (number(progress.rows_total)) },
    };
    let waits = run.waiting_for.as_ref().map(words::waiting_for);
    let waits = waits.map_or_else(|| html! { "–" }, |waits| room.line(&waits, CELL));
    vec![link, standing(run.state), html! { span.amount { (run.phase.as_str()) } }, rows, waits]
}

/// Returns a page that says one thing; `again`: it asks again by itself.
pub(crate) fn message(title: &str, why: &str, again: bool) -> String {
    let body = html! {
        h1 { (title) }
        p { (Room::new(ALL).line(why, ALL)) }
    };
    page(title, again.then_some(REFRESH), &body)
}
