//! The statements of a run on a page, as they were run.

use chrono_tz::Tz;
use maud::{Markup, html};

use super::super::look::printable;
use super::super::words;
use super::excerpt::Room;
use super::parts::{code, step_state};
use crate::amounts::count;
use crate::view::{ReportView, StepCourse};

/// The bytes that all statements together may take.
const ALL: usize = 70_000;
/// Those of one step.
const ONE: usize = 32_000;
/// Steps that are shown.
const MOST: usize = 120;

pub(super) fn statements(view: &ReportView) -> Markup {
    let mut room = Room::new(ALL);
    let left_out = view.steps.len().saturating_sub(MOST);
    html! {
        p.note {
            "The statements of each step in the order of the run. Those of steps that are done are those that were run; crossfade's \
             settings, locks and bookkeeping around them are left out."
        }
        @for step in view.steps.iter().take(MOST) {
            (one(step, view.run.zone, &mut room))
        }
        @if left_out > 0 || room.is_gone() {
            p.note {
                @if left_out > 0 { (count(left_out, "more step")) " left out. " }
                (code(&format!("crossfade show {} --program", view.run.name))) " prints everything."
            }
        }
    }
}

fn one(step: &StepCourse, zone: Tz, room: &mut Room) -> Markup {
    let by = step.by.as_ref().map(|by| format!(" by {}", printable(&by.to_string()))).unwrap_or_default();
    html! {
        div.step {
            (code(&step.step.to_string())) ": " (printable(&step.title)) " – " (step_state(step.state))
            @if let Some(done) = step.done {
                span.note {
                    @if step.adopted { ", found done at " } @else { ", done at " }
                    (words::time(done, zone)) (by)
                }
            }
            @if let Some(undone) = step.undone { span.note { ", taken back at " (words::time(undone, zone)) } }
            @if step.template { span.note { "; repeated for ranges of the table, which stand in the place of the numbers" } }
        }
        @if !step.sql.is_empty() { pre { (room.block(&joined(&step.sql), ONE)) } }
        @if !step.undo_sql.is_empty() {
            p.note { "Taken back by:" }
            pre { (room.block(&joined(&step.undo_sql), ONE)) }
        }
    }
}

/// Returns statements as one text, each with its semicolon; a comment needs none.
fn joined(statements: &[String]) -> String {
    let ended = |sql: &String| {
        let sql = sql.trim_end();
        if sql.starts_with("--") || sql.ends_with(';') { sql.to_owned() } else { format!("{sql};") }
    };
    statements.iter().map(ended).collect::<Vec<_>>().join("\n")
}
