//! The dry run as Markdown, for a comment on a pull request. Whatever a name or an expression holds, it is shown and does nothing:
//! it begins no heading, no link and no tag, and mentions nobody.

use std::fmt::Write as _;

use super::human::{changes, cost, locks, purpose, range, time, way_back};
use super::look::printable;
use crate::catalog::Finding;
use crate::plan::Plan;
use crate::run::{Program, Step, Verdict};
use crate::runner::Preview;

/// Sites that show comments take 65,536 characters.
const LONGEST: usize = 60_000;
/// So many lines of a statement are shown where all of them would be too long.
const SHORT: usize = 4;

/// Returns the dry run of `plan`.
pub(crate) fn preview(plan: &Plan, preview: &Preview) -> String {
    let text = written(plan, preview, usize::MAX);
    if text.chars().count() <= LONGEST { text } else { written(plan, preview, SHORT) }
}

/// Returns the dry run with so many lines of each statement.
fn written(plan: &Plan, preview: &Preview, lines: usize) -> String {
    let plan = preview.whole.as_ref().unwrap_or(plan);
    let mut text = format!("## Plan {} on {}\n\n", prose(plan.name.as_str()), prose(&plan.table.to_string()));
    for change in changes(plan) {
        let _ = writeln!(text, "- {}", prose(&change));
    }
    for part in &preview.parts {
        let (name, table) = (prose(part.plan.name.as_str()), prose(&part.plan.table.to_string()));
        let _ = writeln!(text, "- before it, {table} ({name}):");
        for change in changes(&part.plan) {
            let _ = writeln!(text, "  - {}", prose(&change));
        }
    }
    text.push('\n');
    if let Some(run) = &preview.run {
        let since = run.since.format("%Y-%m-%d %H:%M UTC");
        let _ = writeln!(text, "This plan has a run: {}, in **{}** since {since}.", run.state, run.phase);
        return text;
    }
    let program = preview.program.as_ref().filter(|_| preview.refusals.is_empty());
    text.push_str(match program {
        Some(_) => "Nothing rules this plan out. ",
        None => "**This plan cannot be run as it is.** ",
    });
    text.push_str("Nothing was changed.\n");
    findings(&mut text, "Blocking problems", &preview.refusals);
    findings(&mut text, "Warnings", &preview.warnings);
    if !preview.requirements.is_empty() {
        text.push_str("\n### Requirements\n\n");
        for requirement in &preview.requirements {
            let verdict = match requirement.verdict {
                Verdict::Pass => "met",
                Verdict::Fail => "**not met**",
                Verdict::Unknown => "**unknown**",
            };
            let _ = writeln!(text, "- {verdict}: {}", prose(&requirement.to_string()));
        }
    }
    let Some(program) = program else { return text };
    text.push_str("\n### Cost\n\n");
    for line in cost(preview) {
        let _ = writeln!(text, "- {}", prose(&line));
    }
    let fill = preview.estimates.orders.as_ref().map(|orders| range(orders.backfill_paced)).unwrap_or_default();
    steps(&mut text, program, &fill);
    let _ = writeln!(text, "\n{}", prose(&way_back(program).join(" ")));
    sql(&mut text, program, (lines, preview.whole_sql()));
    if !preview.parts.is_empty() {
        text.push_str(
            "\nCost, steps and SQL are those of this table; `crossfade plan` prints those of the others too.\n",
        );
    }
    text
}

fn findings(text: &mut String, title: &str, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n### {title}\n");
    for finding in findings {
        let _ = writeln!(text, "- `{}`: {}. *Help:* {}.", finding.code, prose(&finding.message), prose(&finding.help));
    }
}

fn steps(text: &mut String, program: &Program, fill: &str) {
    text.push_str("\n### Steps\n\n| phase | step | lock | time |\n|---|---|---|---|\n");
    for phase in &program.phases {
        for (number, step) in program.steps_of(*phase).enumerate() {
            let phase =
                if number == 0 { format!("**{phase}**: {}", prose(purpose(program, *phase))) } else { String::new() };
            let lock = locks(step);
            let lock = lock.strip_prefix("lock ").unwrap_or(&lock);
            let _ =
                writeln!(text, "| {phase} | {} | {} | {} |", prose(&step.title), prose(lock), prose(&time(step, fill)));
        }
    }
}

/// Writes the statements with so many lines of each; `format` has all of them.
fn sql(text: &mut String, program: &Program, (lines, format): (usize, &str)) {
    text.push_str("\n<details>\n<summary>SQL</summary>\n");
    for step in &program.steps {
        let statements = step_sql(step, (lines, format));
        if !statements.is_empty() {
            // What is longer than any row of them does not end.
            let fence = "`".repeat((longest_row(&statements) + 1).max(3));
            let _ = writeln!(text, "\n{}:\n\n{fence}sql\n{statements}{fence}", prose(&step.key.to_string()));
        }
    }
    text.push_str("\n</details>\n");
}

/// Returns the statements of a step, with so many lines of each.
fn step_sql(step: &Step, (most, format): (usize, &str)) -> String {
    let mut text = String::new();
    for statement in step.sql() {
        let all: Vec<_> = statement.lines().collect();
        for line in all.iter().take(most) {
            text.push_str(&printable(line));
            text.push('\n');
        }
        if let Some(more) = all.len().checked_sub(most).filter(|more| *more > 0) {
            let _ = writeln!(text, "-- ... {more} more lines; crossfade plan --format {format} has them");
        }
    }
    text
}

/// Returns the length of the longest row of backticks.
fn longest_row(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

/// Returns `text` so that it means nothing to Markdown, in a sentence, a list or a table.
fn prose(text: &str) -> String {
    let line = printable(text);
    let mut out = String::new();
    for (at, c) in line.char_indices() {
        match c {
            // The site would tell somebody. A comment in between is no part of a name, and nobody sees it.
            '@' => out.push_str("@<!-- -->"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' | '$' | '!' | '^' => {
                out.push('\\');
                out.push(c);
            }
            // No list, no rule and no heading at the beginning; no link after `www` or `http`.
            '-' | '+' | '=' if at == 0 => {
                out.push('\\');
                out.push(c);
            }
            '.' | ')' | ':' if begins_something(&line[..at], &line[at..]) => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.trim().to_owned()
}

/// Returns whether what follows would make a link, a picture or a list of what stands before.
fn begins_something(before: &str, after: &str) -> bool {
    let number = !before.is_empty() && before.chars().all(|c| c.is_ascii_digit());
    let web = before.get(before.len().saturating_sub(3)..).is_some_and(|end| end.eq_ignore_ascii_case("www"));
    // A word between two colons is a picture.
    let colon = after.starts_with(':') && !after[1..].starts_with([' ', ':']) && after.len() > 1;
    number || web || colon
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_means_anything_to_markdown() {
        for (text, shown) in [
            ("a name", "a name"),
            ("</details><script>", "\\</details\\>\\<script\\>"),
            ("a|b `c` *d* _e_ [f](g) ![h](i)", "a\\|b \\`c\\` \\*d\\* \\_e\\_ \\[f\\](g) \\!\\[h\\](i)"),
            ("# x", "\\# x"),
            ("- x", "\\- x"),
            ("1. x", "1\\. x"),
            ("12) x", "12\\) x"),
            ("two\n\n## lines", "two\\\\n\\\\n\\#\\# lines"),
            ("@everybody #12 &lt;", "@<!-- -->everybody \\#12 \\&lt;"),
            ("https://example.org www.example.org", "https\\://example.org www\\.example.org"),
            ("\u{202e}x", "\\\\u\\{202e\\}x"),
        ] {
            assert_eq!(prose(text), shown, "{text}");
        }
    }

    #[test]
    fn a_fence_is_longer_than_what_it_holds() {
        assert_eq!(longest_row("a ```` b ` c"), 4);
        assert_eq!(longest_row("abc"), 0);
    }
}
