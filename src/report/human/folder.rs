//! The plans of a folder, a line each, and what is in their way.

use std::fmt::Write as _;
use std::path::Path;

use super::super::look::{Look, printable};
use super::one_finding;
use crate::amounts::count;
use crate::lines::width;
use crate::plan::PlanErrors;
use crate::view::{Folder, FolderPlan, FolderState};

/// Returns the plans of `folder`, which were read from `path`.
pub(crate) fn folder(path: &str, folder: &Folder, look: Look) -> String {
    let mut text = format!("{}: {}\n", look.bold(&printable(path)), count(folder.plans.len(), "file"));
    let name = |plan: &FolderPlan| match &plan.name {
        Some(name) => name.to_string(),
        None => printable(&Path::new(&plan.file).file_name().unwrap_or_default().to_string_lossy()),
    };
    let table = |plan: &FolderPlan| printable(plan.table.as_deref().unwrap_or_default());
    let widest =
        |of: &dyn Fn(&FolderPlan) -> String| folder.plans.iter().map(|plan| width(&of(plan))).max().unwrap_or(0);
    let (names, tables) = (widest(&name), widest(&table));
    for (at, plan) in folder.plans.iter().enumerate() {
        let number = if plan.state == FolderState::Invalid { "-".to_owned() } else { (at + 1).to_string() };
        let padded = |text: String, to: usize| format!("{text}{}", " ".repeat(to.saturating_sub(width(&text))));
        let first = format!("{number:>4}  {}  {}  ", padded(name(plan), names), padded(table(plan), tables));
        look.wrap(&mut text, (&first, "        "), &state(plan, look));
        for finding in &plan.refusals {
            let finding =
                one_finding(&look.red("refused"), finding, Look { columns: look.columns.saturating_sub(4), ..look });
            for line in finding.lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
        for line in plan.problems.iter().flat_map(problems).chain(plan.error.clone()) {
            look.wrap(&mut text, ("      ", "        "), &printable(&line));
        }
    }
    if !folder.circles.is_empty() {
        let _ = writeln!(text, "\n{}", look.bold("Circles"));
    }
    for circle in &folder.circles {
        let way: Vec<_> = circle.iter().chain(circle.first()).map(ToString::to_string).collect();
        look.wrap(&mut text, ("  ", "    "), &format!("{}: none of them can be first", way.join(" requires ")));
    }
    if !folder.conflicts.is_empty() {
        let _ = writeln!(text, "\n{}", look.bold("Conflicts"));
    }
    for conflict in &folder.conflicts {
        look.wrap(&mut text, ("  ", "    "), &printable(&conflict.message));
        look.wrap(&mut text, ("    help: ", "    "), &printable(&conflict.help));
    }
    text
}

fn state(plan: &FolderPlan, look: Look) -> String {
    match plan.state {
        FolderState::Invalid => look.red("invalid"),
        FolderState::Refused => look.red("refused"),
        FolderState::Waits => {
            let names: Vec<_> = plan.waits_for.iter().map(ToString::to_string).collect();
            format!("{} for {}", look.yellow("waits"), names.join(", "))
        }
        FolderState::Ready => look.green("ready"),
        FolderState::Started => match &plan.run {
            Some(run) => format!("in {}, {}", run.phase, run.state),
            None => "started".to_owned(),
        },
        FolderState::Done => look.green("done"),
    }
}

fn problems(errors: &PlanErrors) -> Vec<String> {
    let line = |problem: &crate::plan::Problem| {
        let (line, column) = errors.position(problem);
        let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("line {line}, column {column}: [{}] {}{help}", problem.code, problem.message)
    };
    errors.problems().iter().map(line).collect()
}
