//! What a person can decide about a run, as forms: approve, pause, resume, compare, tune. The page is not loaded anew by itself, so that nobody
//! loses what he or she has typed.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};

use super::super::human::{duration, number};
use super::super::look::printable;
use super::super::words;
use super::excerpt::Room;
use super::form_page;
use super::message::field;
use super::parts::{Tone, code, section, standing, word};
use super::run::latest_decisions;
use crate::plan::settings;
use crate::run::{Approval, Outcome, Standing};
use crate::view::{PhaseApproval, ReportView};

/// Of one text.
const CELL: usize = 700;
/// Of all of them.
const ALL: usize = 30_000;

/// Who looks at the page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor<'v> {
    /// What he or she wants to be called in the log; `None` until that was asked.
    pub(crate) name: Option<&'v str>,
    /// Who the log will say it was.
    pub(crate) signature: &'v str,
    /// What proves that a form comes from this page.
    pub(crate) proof: &'v str,
}

/// A check of all rows that somebody has asked this server for.
#[derive(Debug, Clone)]
pub(crate) enum Checking {
    /// It is under way.
    UnderWay {
        /// Who asked for it.
        by: String,
        /// When, by this host's clock.
        since: DateTime<Utc>,
    },
    /// It has ended.
    Ended {
        /// Who asked for it.
        by: String,
        /// When, by this host's clock.
        at: DateTime<Utc>,
        /// What it found, or why it could not end.
        found: Result<Outcome, String>,
    },
}

/// Returns the page on which `visitor` decides about a run.
pub(crate) fn actions(view: &ReportView, visitor: Visitor<'_>, checking: Option<&Checking>) -> String {
    let run = &view.run;
    let mut room = Room::new(ALL);
    let waits = run
        .waiting_for
        .as_ref()
        .map(|waiting| room.line(&(run.of_part() + &words::waiting_for(waiting, run.zone)), CELL));
    let back = format!("../{}", run.name);
    let body = html! {
        nav { p { a href="../.." { "All runs" } " · " a href=(back) { "Report of this run" } } }
        header {
            h1 { "Decide about " (printable(&run.name)) }
            p.lead { (standing(run.state)) @if !run.state.is_over() { ", in phase " (run.phase.as_str()) } }
            @if let Some(waits) = waits { p { b { "Waits for " } (waits) } }
        }
        @if run.state.is_over() {
            p { "The run is over, so there is nothing to decide." }
        } @else {
            (section("Who you are", &who(visitor)))
            @if visitor.name.is_some() { (decisions(view, visitor, checking, &mut room)) }
        }
        (section("What was decided so far", &latest_decisions(view)))
    };
    form_page(&format!("Decide about {}", printable(&run.name)), &body)
}

/// Returns a form that carries the proof.
fn form(to: &str, visitor: Visitor<'_>, content: &Markup) -> Markup {
    html! {
        form method="post" action=(to) {
            input type="hidden" name="proof" value=(visitor.proof);
            (content)
        }
    }
}

fn button(text: &str) -> Markup {
    html! { p { button type="submit" { (text) } } }
}

fn who(visitor: Visitor<'_>) -> Markup {
    let input = html! {
        input id="person" name="person" required maxlength="80" autocomplete="name" value=[visitor.name];
    };
    let named = |text| form("name", visitor, &html! { (field("person", "Your name", &input)) (button(text)) });
    html! {
        @match visitor.name {
            Some(name) => {
                p { "You decide as " b { (printable(name)) } ". The log will say: " (code(visitor.signature)) "." }
                details { summary { "Somebody else" } (named("Use this name")) }
            }
            None => {
                p { "The log keeps your name with what you decide. This browser remembers it." }
                (named("Go on"))
            }
        }
    }
}

fn decisions(view: &ReportView, visitor: Visitor<'_>, checking: Option<&Checking>, room: &mut Room) -> Markup {
    let run = &view.run;
    html! {
        @if !run.approvals.is_empty() {
            (section("Approve", &html! { @for of in &run.approvals { (approval(of, view, visitor, room)) } }))
        }
        @if run.state == Standing::Paused {
            (section("Resume", &html! {
                p { "The run is paused. Whoever works on it, or the next tick, then continues." }
                (form("resume", visitor, &button("Resume")))
            }))
        } @else {
            (section("Pause", &html! {
                p { "The backfill holds after its current batch, on whichever host it runs, and no step begins. What is kept equal stays so." }
                (form("pause", visitor, &button("Pause")))
            }))
        }
        @if run.compares { (section("Compare all rows", &check((visitor, run.zone), checking, room))) }
        (section("Tune", &tune(visitor)))
        (section("Only on the command line", &html! {
            p { "What cannot be undone, what drops something and what writes rows is not on this page: "
                (code(&format!("crossfade advance {}", run.name))) ", "
                (code(&format!("crossfade rollback {}", run.name))) " and "
                (code(&format!("crossfade verify {} --repair", run.name))) "." }
        }))
    }
}

fn approval(of: &PhaseApproval, view: &ReportView, visitor: Visitor<'_>, room: &mut Room) -> Markup {
    let phase = of.phase.as_str();
    let steps: Vec<_> = view.steps.iter().filter(|step| step.phase == of.phase).collect();
    let approve = |room: &mut Room| {
        let id = format!("comment-{phase}");
        let input = html! { input id=(id) name="comment" maxlength="500"; };
        let titles: Vec<_> = steps.iter().map(|step| room.line(&step.title, CELL)).collect();
        html! {
            p { "What is approved is the plan, the SQL and the warnings as they are now. They are in "
                a href={ "../" (view.run.name) "#sql" } { "the report" } "; a change of one voids the approval. The phase does:" }
            ul { @for title in &titles { li { (title) } } }
            (form("approve", visitor, &html! {
                input type="hidden" name="phase" value=(phase);
                input type="hidden" name="digest" value=(view.digest.as_str());
                (field(&id, "Comment (may be empty)", &input))
                (button(&format!("Approve {phase}")))
            }))
        }
    };
    html! {
        h3 { (phase) }
        @match &of.approval {
            Approval::Given(given) => {
                p { (word(Tone::Good, "approved")) " by " (room.line(&given.person, CELL)) " (role " (printable(&given.role)) ") at "
                    (words::time(given.at, view.run.zone)) ", until " (words::time(given.expires, view.run.zone))
                    @if let Some(comment) = &given.comment { ": " (room.line(comment, CELL)) } }
                (form("revoke", visitor, &html! {
                    input type="hidden" name="phase" value=(phase);
                    (button(&format!("Take the approval of {phase} back")))
                }))
            }
            Approval::Void { given, why } => {
                p { (word(Tone::Bad, "not approved")) ": the approval by " (room.line(&given.person, CELL)) " " (why.as_str()) "." }
                (approve(room))
            }
            Approval::Missing | Approval::NotNeeded => {
                p { (word(Tone::Open, "not approved")) }
                (approve(room))
            }
        }
    }
}

fn check((visitor, zone): (Visitor<'_>, Tz), checking: Option<&Checking>, room: &mut Room) -> Markup {
    let mut by = |by: &str| room.line(by, CELL);
    let said = match checking {
        None => {
            html! { p { "Compares the old and the new column of every row. It blocks nobody and changes no row, but it reads the whole table." } }
        }
        Some(Checking::UnderWay { by: person, since }) => {
            html! { p { (word(Tone::Open, "under way")) " since " (words::time(*since, zone)) ", asked for by " (by(person)) "." } }
        }
        Some(Checking::Ended { by: person, at, found: Ok(outcome) }) => {
            let counts = &outcome.counts;
            html! {
                p {
                    @if outcome.is_clean() {
                        (word(Tone::Good, "all equal")) ": " (number(counts.rows)) " rows compared in " (duration(outcome.seconds))
                    } @else {
                        (word(Tone::Bad, "not equal")) ": " (number(counts.mismatches())) " of " (number(counts.rows)) " rows, as the report shows"
                    }
                    "; asked for by " (by(person)) ", ended " (words::time(*at, zone)) "."
                }
            }
        }
        Some(Checking::Ended { by: person, at, found: Err(why) }) => {
            let person = by(person);
            html! { p { (word(Tone::Bad, "could not be made")) ": " (by(why)) " (asked for by " (person) ", " (words::time(*at, zone)) ")" } }
        }
    };
    let is_under_way = matches!(checking, Some(Checking::UnderWay { .. }));
    html! {
        (said)
        @if is_under_way {
            p.note { "Load this page again to see how it ended. It ends with this server." }
        } @else {
            (form("verify", visitor, &button("Compare all rows now")))
        }
    }
}

fn tune(visitor: Visitor<'_>) -> Markup {
    let key = html! {
        select id="key" name="key" required {
            option value="" { "choose one" }
            @for setting in settings::tunable() { option value=(setting.name()) { (setting.name()) } }
        }
    };
    let value = html! { input id="value" name="value" required maxlength="200"; };
    html! {
        p { "Processes at work adopt a setting within a second. It holds for this run." }
        (form("tune", visitor, &html! { (field("key", "Setting", &key)) (field("value", "Value", &value)) (button("Set")) }))
        details {
            summary { "What each takes" }
            ul { @for setting in settings::tunable() { li { code { (setting.name()) } ": " (setting.takes()) } } }
        }
    }
}
