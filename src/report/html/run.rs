//! The report of a run as a page.

use chrono_tz::Tz;
use maud::{Markup, html};

use super::super::human::{self, duration, number};
use super::super::look::printable;
use super::super::words;
#[cfg(feature = "serve")]
use super::REFRESH;
use super::chart::{Stretch, bar};
use super::excerpt::Room;
use super::parts::{code, facts, judgement, phase_state, section, standing, table, unknown, verdict};
use super::{LOOK, costs, page, parts, statements};
use crate::amounts::count;
use crate::ledger::LoggedEntry;
use crate::plan::calendar::in_zone;
use crate::run::{GateReading, Moment, ObjectCount, WaitingFor};
use crate::view::{Certificate, PartView, ReportView, Span, Timeline};

/// The bytes that the text of the plan may take.
const PLAN: usize = 24_000;
/// The bytes that the entries of the log may take together, and those of what persons have decided.
const LOG: usize = 40_000;
const DECISIONS: usize = 25_000;
/// Of one text in a table.
const CELL: usize = 700;
/// The most rows of other tables, and items of lists.
const MOST: usize = 40;
/// The most stretches on one line of the time line.
const SPANS: usize = 100;

/// Returns the report of a run as a page.
pub(crate) fn report(view: &ReportView) -> String {
    page(&title(view), None, &body(view))
}

/// Returns the same for a browser that follows the run, with the way to the list of all runs.
#[cfg(feature = "serve")]
pub(crate) fn live(view: &ReportView) -> String {
    let over = view.run.is_over();
    let body = html! {
        nav {
            p {
                a href=".." { "All runs" }
                @if !over { " · " a href={ (view.run.name) "/actions" } { "Approve, pause, compare, tune" } }
                @for part in view.run.parts.iter().take(MOST) { " · " a href=(part.name) { (printable(&part.name)) } }
                @if !over { span.note { " – updated every " (REFRESH) " seconds" } }
            }
        }
        (body(view))
    };
    page(&title(view), (!over).then_some(REFRESH), &body)
}

fn title(view: &ReportView) -> String {
    format!("{}, {}: report of crossfade", printable(&view.run.name), view.run.state)
}

fn body(view: &ReportView) -> Markup {
    html! {
        (head(view))
        (section("Success criteria", &criteria(view)))
        (section("What was asked", &asked(view)))
        @if !view.run.parts.is_empty() { (section("Parts", &parts(view))) }
        (section("Time line", &timeline(&view.timeline, view.run.zone)))
        (section("Backfill", &costs::backfill(view)))
        (section("Objects before and after", &objects(view)))
        (section("Verification", &verification(view)))
        @if !view.run.state.is_over() { (section("In front of it", &gates(view))) }
        (section("Who did and approved what", &people(view)))
        (section("Log", &log(view)))
        div id="sql" { (section("SQL", &statements::statements(view))) }
        (foot(view))
    }
}

fn head(view: &ReportView) -> Markup {
    let run = &view.run;
    let text = |text: &str| Room::new(CELL).line(text, CELL);
    let waits = run
        .waiting_for
        .as_ref()
        .map(|waiting| (waiting.is_failure(), run.of_part() + &words::waiting_for(waiting, run.zone)));
    html! {
        header {
            h1 { "Run " (printable(&run.name)) }
            p.lead {
                span id="state" { (standing(run.state)) }
                @if !run.state.is_over() { ", in phase " span id="phase" { (run.phase.as_str()) } }
            }
            (facts(&[
                ("table", "Table", code(&view.asked.table)),
                ("database", "Database", html! { (code(&view.database)) ", PostgreSQL " (printable(&view.server)) }),
                ("at", "As of", html! { (words::time(view.at, run.zone)) ", by the server's clock" }),
            ]))
            @match waits {
                Some((true, why)) => p { b { "Failed: " } (text(&why)) },
                Some((false, what)) => p { b { "Waits for " } (text(&what)) },
                None => {},
            }
            @if let Some(overdue) = words::tick_overdue(run) { p { b { "Next tick " } (text(&overdue)) } }
            @if !run.is_over() {
                @for (at, (command, note)) in words::next_of(run).iter().enumerate() {
                    p { @if at == 0 { b { "Next: " } } @else { "or " } (parts::command(command)) @if !note.is_empty() { " – " (note) } }
                }
            }
            @if let Some(key) = &run.part_of { p { b { "Part of " } (code(key)) ", which moves it" } }
            @if let Some(holder) = &run.holder { p { b { "Worked on by " } (text(holder)) } }
            @for peer in run.joined.iter().take(MOST) { p { b { "Joined by " } (text(&peer.holder)) } }
        }
    }
}

fn criteria(view: &ReportView) -> Markup {
    let mut room = Room::new(8 * CELL);
    let mut row =
        |of: &crate::view::Criterion| vec![html! { (of.what) }, judgement(of.judgement), room.line(&of.reason, CELL)];
    let rows: Vec<_> = view.criteria.iter().map(&mut row).collect();
    table("Whether the run came out as it should; “open” is not known yet", &["Criterion", "Result", "Why"], &rows)
}

fn asked(view: &ReportView) -> Markup {
    let asked = &view.asked;
    let mut room = Room::new(PLAN);
    let by = asked.by.as_ref().map(|by| format!(" by {}", printable(&by.to_string()))).unwrap_or_default();
    let warnings: Vec<_> = asked.warnings.iter().take(MOST).map(|warning| room.line(warning, CELL)).collect();
    html! {
        ul { @for change in human::changes(&asked.plan).iter().take(MOST) { li { (room.line(change, CELL)) } } }
        p { "Registered at " (words::time(asked.at, view.run.zone)) (by) "." }
        @if warnings.is_empty() {
            p.note { "Nothing was warned of then." }
        } @else {
            p { "What was warned of then:" }
            ul { @for warning in &warnings { li { (warning) } } }
        }
        p { "The text of the plan:" }
        pre { (room.block(&asked.plan_text, PLAN)) }
    }
}

fn parts(view: &ReportView) -> Markup {
    let turn = |part: &PartView| view.run.part.as_ref() == Some(&part.name);
    let row = |part: &PartView| {
        vec![
            code(&part.name),
            code(&part.table),
            html! { span.amount { (part.phase.as_str()) } },
            html! { (standing(part.state)) @if turn(part) { ", its turn" } },
        ]
    };
    let rows: Vec<_> = view.run.parts.iter().take(MOST).map(row).collect();
    let left_out = view.run.parts.len().saturating_sub(MOST);
    html! {
        (table("The runs of other tables, in the order in which they are done", &["Run", "Table", "Phase", "State"], &rows))
        p.note {
            "Columns of these tables refer to the key and are changed with it. The rest of this page is of the key's own table; each part has a \
             report of its own, which " (code("crossfade report NAME -o FILE")) " writes."
            @if left_out > 0 { " " (count(left_out, "more part")) " left out." }
        }
    }
}

fn timeline(line: &Timeline, zone: Tz) -> Markup {
    let (from, until) = (line.from, line.until);
    let all = Span { from, until: Some(until) };
    let took = all.seconds(until).max(0.001);
    let share = |at: chrono::DateTime<chrono::Utc>| Span { from, until: Some(at) }.seconds(at) / took;
    let stretches = |spans: &[Span]| -> Vec<Stretch> {
        let last = &spans[spans.len().saturating_sub(SPANS)..];
        last.iter().map(|span| Stretch { from: share(span.from), to: share(span.until.unwrap_or(until)) }).collect()
    };
    let seconds = |spans: &[Span]| spans.iter().map(|span| span.seconds(until)).sum::<f64>();
    let row = |name: &str, state: Markup, class: &str, spans: &[Span]| {
        let (began, said) = match spans.first() {
            Some(first) => (html! { span.when { (words::time(first.from, zone)) } }, duration(seconds(spans))),
            None => (unknown("–"), "–".to_owned()),
        };
        let what = format!("{name}: {said}");
        vec![
            html! { span.amount { (name) } },
            state,
            bar(&what, class, &stretches(spans)),
            began,
            html! { span.amount { (said) } },
        ]
    };
    let mut rows: Vec<_> =
        line.phases.iter().map(|of| row(of.phase.as_str(), phase_state(of.state), "span", &of.spans)).collect();
    if !line.rollbacks.is_empty() {
        rows.push(row("rollback", html! { (count(line.rollbacks.len(), "time")) }, "back", &line.rollbacks));
    }
    if !line.pauses.is_empty() {
        rows.push(row("paused", html! { (count(line.pauses.len(), "time")) }, "back", &line.pauses));
    }
    let caption =
        format!("From {} to {}: {}", words::time(from, zone), words::time(until, zone), duration(all.seconds(until)));
    html! {
        div.timeline { (table(&caption, &["Phase", "State", "Time line", "Began", "Took"], &rows)) }
        p.note { "A phase lasts from the moment its gates were open to the end of its last step, waits included. Very short ones are drawn wider." }
    }
}

fn objects(view: &ReportView) -> Markup {
    let shown = |of: &&ObjectCount| of.moment != Moment::Now || !view.run.state.is_over();
    let row = |of: &ObjectCount| {
        let when = match of.moment {
            Moment::Before => "before",
            Moment::After => "after",
            Moment::Now => "now",
        };
        let numbers = [of.columns, of.indexes, of.constraints, of.triggers].map(|count| html! { (number(count)) });
        let when = html! { (when) ", " span.when { (words::time(of.at, view.run.zone)) } };
        [code(&of.table), when].into_iter().chain(numbers).collect()
    };
    let rows: Vec<Vec<_>> = view.objects.iter().filter(shown).take(MOST).map(row).collect();
    if rows.is_empty() {
        return html! { p { "Not known: the table is not there any more, or the run is from before they were counted." } };
    }
    let head = ["Table", "When", "Columns", "Indexes", "Constraints", "Triggers"];
    html! {
        (table("How many objects the tables had; NOT NULL is not counted as a constraint", &head, &rows))
        @if !view.run.state.is_over() { p.note { "While the run lasts, what crossfade needs for a while is among them." } }
    }
}

fn verification(view: &ReportView) -> Markup {
    let run = &view.run;
    if !run.compares {
        return html! { p { "This plan has no two columns to compare." } };
    }
    let quiet = run.old_quiet_seconds.filter(|_| run.old_column_write_seconds > 0);
    let quiet = quiet.map(|seconds| format!(", the last {} ago", duration(float(seconds)))).unwrap_or_default();
    html! {
        @if view.certificates.is_empty() { p { "The rows have not been compared yet." } }
        @for (number, certificate) in view.certificates.iter().enumerate() { (certified(certificate, run.zone, number == 0)) }
        h3 { "Writes while both columns were there" }
        (facts(&[
            ("old-writes", "Seconds with writes to the old column", html! { (number(run.old_column_write_seconds)) (quiet) }),
            ("new-writes", "Seconds with writes to the new column", html! { (number(run.new_column_write_seconds)) }),
            ("conflicts", "Seconds in which both were set to different values", html! { (number(run.conflicts)) }),
        ]))
        p.note { "Several writes within a second count once." }
    }
}

/// Programs find the values of the first certificate by their ids.
fn certified(certificate: &Certificate, zone: Tz, is_first: bool) -> Markup {
    let id = |id| if is_first { id } else { "" };
    let (check, counts) = (&certificate.check, certificate.counts());
    let entry = certificate.entry.map_or_else(|| unknown("the log does not tell of it"), |seq| html! { (number(seq)) });
    let head = certificate.head.as_ref().map_or_else(|| unknown("not known"), |head| code(head.as_str()));
    html! {
        h3 { "Certificate of the latest check of " (code(&check.table)) }
        p {
            @if check.repaired {
                "Made after a repair. It does not count as a proof; the run compares all rows again."
            } @else if counts.mismatches() == 0 {
                "Every row was compared by value, and all were equal."
            } @else {
                b { (number(counts.mismatches())) } " of " (number(counts.rows)) " rows were not equal."
            }
        }
        (facts(&[
            (id("rows-compared"), "Rows compared", html! { (number(counts.rows)) }),
            (id("equal"), "Equal", html! { (number(counts.equal)) }),
            (id("empty"), "New side empty", html! { (number(counts.empty)) }),
            (id("different"), "Different", html! { (number(counts.different)) }),
            (id("unconverted"), "Do not convert", html! { (number(counts.unconverted)) }),
            (id("only-new"), "In the new column only", html! { (number(counts.only_new)) }),
            (id("check-time"), "When", html! { (words::time(check.started_at, zone)) " to " (words::time(check.at, zone)) ", " (duration(check.seconds)) }),
            (id("fingerprint"), "Fingerprint of the plan", code(&check.fingerprint)),
            (id("trigger-hash"), "Hash of trigger and function", code(&check.body_hash)),
            (id("table-file"), "File of the table (relfilenode)", code(&check.relfilenode.to_string())),
            (id("check-entry"), "Entry of the log", entry),
            (id("check-head"), "Hash of that entry", head),
        ]))
    }
}

fn gates(view: &ReportView) -> Markup {
    let mut room = Room::new(12 * CELL);
    let mut row = |reading: &GateReading| {
        let opens = reading.opens.filter(|_| !reading.gate.is_scheduled());
        let opens = opens.map(|at| format!(" (until {})", in_zone(at, view.run.zone))).unwrap_or_default();
        vec![
            html! { (reading.gate.as_str()) },
            verdict(reading.verdict),
            html! { (room.line(&reading.reason, CELL)) (opens) },
        ]
    };
    let rows: Vec<_> = view.run.gates.iter().map(&mut row).collect();
    if rows.is_empty() {
        return html! { p { "No gate stands in front of what the run does next." } };
    }
    let caption = match &view.run.waiting_for {
        Some(WaitingFor::Gate { phase, .. }) => format!("{}Gates in front of {phase}", view.run.of_part()),
        _ => format!("{}Gates in front of what the run does next", view.run.of_part()),
    };
    table(&caption, &["Gate", "State", "Why"], &rows)
}

/// Returns the first and the last entries, with what they are in bytes at the most.
fn entries(caption: &str, (lines, zone): (&[LoggedEntry], Tz), (first, last): (usize, usize), bytes: usize) -> Markup {
    let mut room = Room::new(bytes);
    let mut before = None;
    let mut row = |line: &LoggedEntry| {
        let who = match before.replace(line.actor.clone()) {
            Some(before) if before == line.actor => html! { span.note { "the same" } },
            _ => room.line(&line.actor.to_string(), CELL),
        };
        let what = room.line(&human::entry(&line.entry, zone, LOOK), CELL);
        vec![html! { (number(line.seq)) }, html! { span.when { (words::time(line.at, zone)) } }, who, what]
    };
    let left_out = lines.len().saturating_sub(first + last);
    let mut rows: Vec<_> = lines.iter().take(first).map(&mut row).collect();
    if left_out > 0 {
        let said = html! { span.cut { (count(left_out, "entry").replace("entrys", "entries")) " left out" } };
        rows.push(vec![html! { "…" }, html! {}, html! {}, said]);
    }
    rows.extend(lines.iter().skip(first + left_out).map(&mut row));
    table(caption, &["Entry", "When", "Who", "What"], &rows)
}

fn people(view: &ReportView) -> Markup {
    let worked = |of: &crate::view::Worked| {
        vec![
            Room::new(CELL).line(&of.actor.to_string(), CELL),
            html! { (printable(&of.actor.version)) },
            html! { span.when { (words::time(of.first, view.run.zone)) } },
            html! { span.when { (words::time(of.last, view.run.zone)) } },
            html! { (of.entries) },
        ]
    };
    let rows: Vec<_> = view.actors.iter().take(MOST).map(worked).collect();
    let left_out = view.actors.len().saturating_sub(MOST);
    html! {
        (entries("What persons have decided, as the log has it", (&view.decisions, view.run.zone), (20, 40), DECISIONS))
        (table("Processes that wrote the log. The role is the server's word, user, host and process are their own",
            &["Who", "Version", "First entry", "Last entry", "Entries"], &rows))
        @if left_out > 0 { p.note { (left_out) " more are left out." } }
    }
}

/// Returns the latest of what persons have decided about the run.
#[cfg(feature = "serve")]
pub(super) fn latest_decisions(view: &ReportView) -> Markup {
    entries("What persons have decided, the latest at the end", (&view.decisions, view.run.zone), (0, 15), DECISIONS)
}

fn log(view: &ReportView) -> Markup {
    html! {
        (entries("The log, oldest first", (&view.log, view.run.zone), (40, 100), LOG))
        p.note { (code(&format!("crossfade history {}", view.run.name))) " prints it whole." }
    }
}

fn foot(view: &ReportView) -> Markup {
    html! {
        footer {
            @if let Some(head) = &view.run.head {
                p {
                    "Head of the log: " span id="head" { (code(head.as_str())) } ". Kept where the operator cannot change it, it proves that \
                     the log up to here was not rewritten: "
                    (code(&format!("crossfade history {} --check --head {}", view.run.name, head))) "."
                }
            }
            p { "Times are those of " (view.run.zone.name()) ". Written by crossfade " (env!("CARGO_PKG_VERSION")) "." }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn float(number: i64) -> f64 {
    number as f64
}
