//! The dry run: every step with its SQL and its locks.

use std::fmt::Write as _;

use super::super::look::{Look, printable};
use super::{estimates, plural, range};
use crate::amounts;
use crate::catalog::Finding;
use crate::lines::command;
use crate::plan::Plan;
use crate::run::{Action, Phase, Program, Requirement, Step, Undo, Verdict, What};
use crate::runner::{Known, Preview};
use crate::sql::LockMode;

/// Of a statement that takes more lines (a function), people see only the beginning.
const LONG_STATEMENT: usize = 8;
/// So many lines of it.
const SHORT: usize = 2;

/// Returns the dry run of `plan`, which was read from `path`.
pub(crate) fn preview(path: &str, plan: &Plan, preview: &Preview, look: Look) -> String {
    if let Some(run) = &preview.run {
        return known(path, plan, run, look);
    }
    let plan = preview.whole.as_ref().unwrap_or(plan);
    let costs = &preview.estimates;
    let (name, table) = (look.bold(plan.name.as_str()), printable(&plan.table.to_string()));
    // What is refused at first sight was not counted.
    let counted = preview.program.as_ref().map(|_| format!(", {}", plural(costs.rows, "row"))).unwrap_or_default();
    let mut text = format!("Plan {name} on {table}{counted}\n\n");
    for change in changes(plan) {
        look.wrap(&mut text, ("  ", "    "), &change);
    }
    parts(&mut text, preview, look);
    if preview.in_place && preview.refusals.is_empty() {
        let sentence = "No new column is needed: PostgreSQL makes this change without touching the rows.";
        look.wrap(&mut text, ("\n", ""), sentence);
    }
    required(&mut text, &preview.requirements, look);
    findings(&mut text, "Blocking problems", &preview.refusals, &look.red("refused"), look);
    if let Some(program) = preview.program.as_ref().filter(|_| preview.refusals.is_empty()) {
        let fill = costs.orders.as_ref().map(|orders| orders.backfill_paced);
        let fill = fill.map(range).unwrap_or_default();
        steps(&mut text, program, (&fill, LONG_STATEMENT, preview.whole_sql()), look);
        estimates::orders(&mut text, costs, look);
    }
    for part in preview.parts.iter().filter(|_| preview.refusals.is_empty()) {
        part_steps(&mut text, &part.plan, &part.preview, look);
    }
    findings(&mut text, "Warnings", &preview.warnings, &look.yellow("warning"), look);
    text.push('\n');
    if let Some(program) = preview.program.as_ref().filter(|_| preview.refusals.is_empty()) {
        look.wrap(&mut text, ("", ""), &way_back(program).join(" "));
    }
    let next = if preview.refusals.is_empty() {
        command(&format!("crossfade run {}", shell_word(path)))
    } else {
        format!("fix these problems, then run {}", command(&format!("crossfade plan {}", shell_word(path))))
    };
    look.wrap(&mut text, ("", ""), &format!("Nothing was changed. Next: {next}"));
    text
}

/// Says which tables are changed before the plan's own, and in which order.
pub(crate) fn parts(text: &mut String, preview: &Preview, look: Look) {
    if preview.parts.is_empty() {
        return;
    }
    let sentence = "Columns of other tables refer to it and get the type too. Their tables are changed one after the other, each up to \
                    `switch`, before this one begins; what was retired is dropped at the end, here first:";
    look.wrap(text, ("\n", ""), sentence);
    for (part, number) in preview.parts.iter().zip(1..) {
        let (name, table) = (look.bold(part.plan.name.as_str()), printable(&part.plan.table.to_string()));
        let rows = part.preview.program.as_ref().map(|_| format!(", {}", plural(part.preview.estimates.rows, "row")));
        let first = format!("{number}. {table} ({name}{})", rows.unwrap_or_default());
        look.wrap(text, ("  ", "     "), &first);
        for change in changes(&part.plan) {
            look.wrap(text, ("     ", "       "), &change);
        }
    }
}

/// Shows the steps for one table that refers to the key.
fn part_steps(text: &mut String, plan: &Plan, preview: &Preview, look: Look) {
    let Some(program) = &preview.program else { return };
    let _ = writeln!(text, "\n{}", look.bold(&format!("For {} ({}):", printable(&plan.table.to_string()), plan.name)));
    let fill = preview.estimates.orders.as_ref().map(|orders| range(orders.backfill_paced)).unwrap_or_default();
    steps(text, program, (&fill, LONG_STATEMENT, "json"), look);
    estimates::orders(text, &preview.estimates, look);
}

/// Returns where the run of a plan stands that is under way or done.
fn known(path: &str, plan: &Plan, run: &Known, look: Look) -> String {
    let since = run.since.format("%Y-%m-%d %H:%M UTC");
    let name = look.bold(plan.name.as_str());
    let mut text = format!("Plan {name} on {}\n\n", printable(&plan.table.to_string()));
    for change in changes(plan) {
        look.wrap(&mut text, ("  ", "    "), &change);
    }
    if run.state.is_over() {
        let _ = writeln!(text, "\nThis plan was done on {since}.\nNext: crossfade history {}", plan.name);
        return text;
    }
    let sentence = format!("This plan has been in {} since {since} ({}). Still to be done:", run.phase, run.state);
    look.wrap(&mut text, ("\n", ""), &sentence);
    for step in &run.to_do {
        let _ = writeln!(text, "  {step}");
    }
    let (status, run) = (format!("crossfade status {}", plan.name), format!("crossfade run {}", shell_word(path)));
    look.wrap(&mut text, ("", ""), &format!("Next: {}, then {}", command(&status), command(&run)));
    text
}

/// Lists the steps; `fill` is how long a backfill takes, `longest` of how many lines a statement is shown whole, and `whole` the format that
/// shows all of them so.
fn steps(text: &mut String, program: &Program, (fill, longest, whole): (&str, usize, &str), look: Look) {
    for phase in &program.phases {
        let steps: Vec<_> = program.steps_of(*phase).collect();
        if !steps.is_empty() {
            let _ = writeln!(text, "\n{}", look.bold(&format!("{phase}: {}", purpose(program, *phase))));
            for step in steps {
                one_step(text, step, (fill, longest, whole), look);
            }
        }
    }
    if program.steps.iter().any(|step| step.strongest_lock() >= LockMode::ShareRowExclusive) {
        text.push('\n');
        let sentence = "A statement that does not get its lock quickly gives up and is tried again later, so that nobody queues behind it.";
        look.wrap(text, ("", ""), sentence);
    }
}

/// Returns a stored plan as a plan file, with the steps behind it as comments.
pub(crate) fn stored(plan: &Plan, program: Option<&Program>) -> String {
    let mut text = crate::plan::to_yaml(plan);
    if let Some(program) = program {
        let mut listed = String::new();
        // Nothing else prints what was stored.
        steps(&mut listed, program, ("", usize::MAX, ""), Look { columns: Look::ENDLESS, ..Look::default() });
        for line in listed.lines() {
            text.push_str(format!("# {line}").trim_end());
            text.push('\n');
        }
        for part in &plan.parts {
            let _ = writeln!(text, "# The steps of a part: crossfade show {part} --program");
        }
    }
    text
}

/// Returns what the plan does, a line for each change.
pub(crate) fn changes(plan: &Plan) -> Vec<String> {
    let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    plan.changes.iter().map(|change| printable(&one_line(change.to_string()))).collect()
}

/// What a phase of this run is for.
pub(crate) fn purpose(program: &Program, phase: Phase) -> &'static str {
    let any = |is: fn(&Step) -> bool| program.steps_of(phase).any(is);
    let compares = || any(|step| matches!(step.action, Action::Compare(_)));
    let has_pairs = program.steps.iter().any(|step| step.key.what == What::Columns);
    match phase {
        Phase::Expand if has_pairs => "add the new column and the trigger that keeps both equal",
        Phase::Expand if any(|step| matches!(step.key.what, What::AddColumn(_))) => "add the new column",
        Phase::Expand => "change the type in place",
        Phase::Index if has_pairs => "build the new column's indexes",
        Phase::Index => "build the indexes",
        Phase::Backfill => "fill the existing rows",
        Phase::Verify if compares() => "compare every row, prove the constraints",
        Phase::Verify => "prove the constraints",
        Phase::Switch => "applications move to the new column",
        Phase::Contract if has_pairs => "take the old name away, then drop what was retired",
        Phase::Contract if !any(|step| step.key.what == What::Retire) => "drop the indexes",
        Phase::Contract => "retire the column, then drop it",
    }
}

fn one_step(text: &mut String, step: &Step, (fill, longest, whole): (&str, usize, &str), look: Look) {
    look.wrap(text, ("  ", "  "), &printable(&step.title));
    look.wrap(text, ("    ", "      "), &look.dim(&format!("{}; {}", locks(step), time(step, fill))));
    for statement in step.sql() {
        one_statement(text, &statement, (longest, whole), look);
    }
    if let Undo::PointOfNoReturn(why) = &step.undo {
        look.wrap(text, (&format!("    {} ", look.yellow("point of no return:")), "    "), &printable(why));
    }
}

/// Writes a statement, or its beginning where it takes more lines than the `longest`; the format `whole` has the rest.
fn one_statement(text: &mut String, statement: &str, (longest, whole): (usize, &str), look: Look) {
    let mut shown = String::new();
    look.statement(&mut shown, ("      ", "        "), statement);
    let lines: Vec<_> = shown.lines().collect();
    let most = if lines.len() > longest { SHORT } else { lines.len() };
    for line in &lines[..most] {
        let _ = writeln!(text, "{line}");
    }
    if most < lines.len() {
        let more = format!("... {} more lines; see --format {whole}", lines.len() - most);
        let _ = writeln!(text, "      {}", look.dim(&more));
    }
}

/// Returns the strongest lock of a step, and who waits for it.
pub(crate) fn locks(step: &Step) -> String {
    let effect = match step.strongest_lock() {
        LockMode::None => return "no lock".to_owned(),
        LockMode::AccessShare => "nobody waits",
        LockMode::RowExclusive => "locks the rows of one batch at a time",
        LockMode::ShareUpdateExclusive => "reads and writes continue",
        LockMode::ShareRowExclusive => "reads continue, writes wait",
        LockMode::AccessExclusive => "reads and writes wait",
    };
    format!("lock {}: {effect}", step.strongest_lock())
}

/// Returns how long a step takes; `fill` is how long a backfill does.
pub(crate) fn time(step: &Step, fill: &str) -> String {
    match &step.action {
        Action::Concurrent { .. } if matches!(step.key.what, What::DropIndex(_)) => {
            "waits for transactions that use the table".to_owned()
        }
        Action::Concurrent { .. } if step.key.what == What::Refill => "as long as REFRESH takes".to_owned(),
        Action::Transaction(_) => match step.locked_for {
            Some(time) => format!("until it is built, at most {}", amounts::duration(time.as_secs_f64())),
            None => "for milliseconds".to_owned(),
        },
        Action::Concurrent { .. } => "reads the whole table, outside a transaction".to_owned(),
        Action::BuildInPartitions(index) if index.join.is_empty() => {
            "reads one partition after the other, outside a transaction".to_owned()
        }
        Action::BuildInPartitions(_) => {
            "reads one partition after the other, outside a transaction, and locks them for milliseconds".to_owned()
        }
        Action::Fill(_) if fill.is_empty() => "in small transactions".to_owned(),
        Action::Fill(_) => format!("in small transactions, {fill}"),
        Action::Compare(_) => "reads the whole table".to_owned(),
        Action::Await(_) => "only waits".to_owned(),
    }
}

/// Returns until when the run can be taken back.
pub(crate) fn way_back(program: &Program) -> Vec<String> {
    match program.steps.iter().find(|step| matches!(step.undo, Undo::PointOfNoReturn(_))) {
        Some(step) => vec![
            format!("Point of no return: {} ({}).", step.key, printable(&step.title)),
            "A run stops before it unless it is told --yes.".to_owned(),
            format!("Until then, crossfade rollback undoes {}.", undone(program)),
        ],
        None => vec![format!("crossfade rollback can undo {}.", undone(program))],
    }
}

/// What a rollback undoes.
fn undone(program: &Program) -> String {
    let stays: Vec<_> = program.steps.iter().filter_map(Step::stays).map(printable).collect();
    if stays.is_empty() { "everything".to_owned() } else { format!("everything else ({})", stays.join("; ")) }
}

/// Lists what the plan requires, and what was found.
fn required(text: &mut String, requirements: &[Requirement], look: Look) {
    if requirements.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", look.bold("Requirements"));
    for requirement in requirements {
        let (mark, width) = match requirement.verdict {
            Verdict::Pass => (look.green("met"), 3),
            Verdict::Fail => (look.red("not met"), 7),
            Verdict::Unknown => (look.yellow("unknown"), 7),
        };
        let first = format!("  {mark}{:1$} ", "", 7 - width);
        look.wrap(text, (&first, "            "), &printable(&requirement.to_string()));
        // What is refused is listed with its help below.
        if requirement.key == "plans" && !requirement.is_met() {
            look.wrap(text, ("          help: ", "            "), &printable(&requirement.help));
        }
    }
}

fn findings(text: &mut String, title: &str, findings: &[Finding], mark: &str, look: Look) {
    if findings.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", look.bold(title));
    for finding in findings {
        text.push_str(&one_finding(mark, finding, look));
    }
}

/// Returns a finding with its code and what to do about it.
pub(crate) fn one_finding(mark: &str, finding: &Finding, look: Look) -> String {
    let mut text = String::new();
    // An expression with a mark below it stands in lines of its own.
    look.wrap_lines(&mut text, (&format!("  {mark}[{}]: ", finding.code), "    "), &finding.message);
    look.wrap_lines(&mut text, ("    help: ", "    "), &finding.help);
    text
}

/// Returns `path` so that a shell reads it as one word.
pub(crate) fn shell_word(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+@%:,".contains(c);
    if !path.is_empty() && path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}
