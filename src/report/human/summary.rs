//! The dry run in a few lines.

use super::super::look::{Look, printable};
use super::preview::{changes, locks, shell_word, way_back};
use super::{bytes, plural, range};
use crate::catalog::Finding;
use crate::lines::command;
use crate::plan::Plan;
use crate::run::{Estimates, Step};
use crate::runner::Preview;

/// Returns the dry run of `plan`, which was read from `path`, in a line for each thing that somebody has to know.
pub(crate) fn summary(path: &str, plan: &Plan, preview: &Preview, look: Look) -> String {
    let plan = preview.whole.as_ref().unwrap_or(plan);
    let mut text = String::new();
    let table = printable(&plan.table.to_string());
    look.wrap(&mut text, ("", "  "), &format!("Plan {} on {table}", look.bold(plan.name.as_str())));
    for change in changes(plan) {
        look.wrap(&mut text, ("  ", "    "), &change);
    }
    for part in &preview.parts {
        look.wrap(
            &mut text,
            ("  before it: ", "    "),
            &format!("{} ({})", printable(&part.plan.table.to_string()), part.plan.name),
        );
        for change in changes(&part.plan) {
            look.wrap(&mut text, ("    ", "      "), &change);
        }
    }
    if let Some(run) = &preview.run {
        let (phase, since) = (run.phase, run.since.format("%Y-%m-%d %H:%M UTC"));
        let steps = plural(i64::try_from(run.to_do.len()).unwrap_or(i64::MAX), "step");
        let state = format!("run: {}, in {phase} since {since}; {steps} to do", run.state);
        look.wrap(&mut text, ("  ", "    "), &state);
        return text;
    }
    let mut one = |mark: &str, finding: &Finding| {
        let first = format!("  {mark}[{}]: ", finding.code);
        look.wrap(&mut text, (&first, "    "), &printable(finding.message.lines().next().unwrap_or_default()));
    };
    preview.refusals.iter().for_each(|finding| one(&look.red("refused"), finding));
    preview.warnings.iter().for_each(|finding| one(&look.yellow("warning"), finding));
    for requirement in preview.requirements.iter().filter(|requirement| !requirement.is_met()) {
        look.wrap(&mut text, ("  requires: ", "    "), &printable(&requirement.to_string()));
    }
    for line in cost(preview) {
        look.wrap(&mut text, ("  ", "    "), &line);
    }
    if let Some(program) = preview.program.as_ref().filter(|_| preview.refusals.is_empty()) {
        for sentence in way_back(program) {
            look.wrap(&mut text, ("  ", "    "), &sentence);
        }
    }
    let details = command(&format!("crossfade plan {}", shell_word(path)));
    look.wrap(&mut text, ("", ""), &format!("Nothing was changed. The steps: {details}"));
    text
}

/// Returns what a run would cost, in a line each: its phases, what it locks, what it fills, and what that takes. Nothing where
/// something rules the plan out.
pub(crate) fn cost(preview: &Preview) -> Vec<String> {
    let Some(program) = preview.program.as_ref().filter(|_| preview.refusals.is_empty()) else { return vec![] };
    let phases: Vec<_> = program.phases.iter().map(ToString::to_string).collect();
    let mut lines = vec![format!("phases: {}", phases.join(", "))];
    lines.extend(program.steps.iter().max_by_key(|step| step.strongest_lock()).map(strongest));
    lines.push(match &preview.estimates {
        _ if preview.in_place => "estimate: PostgreSQL makes this change without touching the rows".to_owned(),
        Estimates { rows, orders: Some(orders), .. } => {
            let own = orders.own();
            format!(
                "estimate: {} to fill in {}, {} of WAL, the heap grows by {}",
                plural(*rows, "row"),
                range(orders.backfill_paced),
                bytes(own.all_wal_bytes()),
                bytes(own.heap_growth)
            )
        }
        Estimates { .. } => "estimate: no rows to fill".to_owned(),
    });
    lines
}

fn strongest(step: &Step) -> String {
    let time = if step.transactional() { ", for milliseconds" } else { "" };
    format!("strongest {}{time}", locks(step))
}
