//! The inventory: a line for each column, and what is in the way below it.

use std::fmt::Write as _;

use super::super::look::{Look, printable};
use crate::amounts::count;
use crate::catalog::{Answer, ColumnAnswers, Fate, Finding};
use crate::lines::{command, width};
use crate::view::{Advice, Inventory, InventoryTable};

/// What a name or a type may take of a line.
const WIDEST: usize = 26;
/// So many objects of a kind are listed for a column.
const LISTED: usize = 2;

/// Returns the inventory as a table.
pub(crate) fn inventory(inventory: &Inventory, look: Look) -> String {
    let database = look.bold(&printable(&inventory.database));
    let (tables, columns) = (count(inventory.tables.len(), "table"), count(inventory.totals.columns, "column"));
    let mut text = String::new();
    let server = printable(&inventory.server_version);
    look.wrap(&mut text, ("", ""), &format!("Database {database}, PostgreSQL {server}: {tables}, {columns}"));
    text.push('\n');
    let tried = match &inventory.to {
        Some(to) => format!("Tried on empty copies of the tables: a rename of each column, and a change of its type to {}.", printable(to)),
        None => "Tried on empty copies of the tables: a rename of each column, and a change of its type to the one behind the arrow."
            .to_owned(),
    };
    look.wrap(&mut text, ("", ""), &tried);
    let plan = command("crossfade plan");
    look.wrap(
        &mut text,
        ("", ""),
        &format!("No row was read: whether all values convert, {plan} finds out for the columns of a plan."),
    );
    for table in &inventory.tables {
        one_table(&mut text, table, look);
    }
    totals(&mut text, inventory, look);
    reasons(&mut text, inventory, look);
    text
}

fn one_table(text: &mut String, table: &InventoryTable, look: Look) {
    let _ = writeln!(text, "\n{}", look.bold(&printable(&table.table)));
    if let Some(error) = &table.error {
        look.wrap(text, ("  ", "    "), &format!("{}: {}", look.yellow("unknown"), printable(error)));
        return;
    }
    let all: Vec<_> = table.columns.iter().flat_map(|column| [&column.rename, &column.type_change]).collect();
    let Some(first) = all.first() else {
        let _ = writeln!(text, "  no columns");
        return;
    };
    // What rules everything out is the table's, and said once.
    let of_all = |finding: &&Finding| all.iter().all(|answer| answer.refusals.contains(finding));
    let common: Vec<_> = first.refusals.iter().filter(of_all).collect();
    let widest = |of: fn(&ColumnAnswers) -> String| {
        table.columns.iter().map(|column| width(&of(column))).max().unwrap_or(0).min(WIDEST)
    };
    let (names, types) = (widest(name), widest(types));
    for finding in &common {
        says(text, "every column", finding, look);
    }
    for column in &table.columns {
        one_column(text, column, (names, types), &common, look);
    }
}

fn name(column: &ColumnAnswers) -> String {
    printable(&column.column)
}

fn types(column: &ColumnAnswers) -> String {
    let to = printable(&short(&column.to));
    format!("{} -> {to}", printable(&short(&column.type_name)))
}

/// Returns a type as people write it.
fn short(type_name: &str) -> String {
    let text = type_name.replace("character varying", "varchar").replace("character(", "char(");
    let text = text.replace(" without time zone", "");
    match text.split_once(" with time zone") {
        // With its precision behind it.
        Some((time, rest)) if time.starts_with("time") => {
            let (name, precision) = time.split_at(time.find('(').unwrap_or(time.len()));
            format!("{name}tz{precision}{rest}")
        }
        _ => text,
    }
}

fn one_column(
    text: &mut String,
    column: &ColumnAnswers,
    (names, widest): (usize, usize),
    common: &[&Finding],
    look: Look,
) {
    let padded = |text: String, to: usize| format!("{text}{}", " ".repeat(to.saturating_sub(width(&text))));
    let name = padded(name(column), names);
    let types = padded(types(column), widest);
    let (rename, retype) = (fate(&column.rename, look), fate(&column.type_change, look));
    let _ = writeln!(text, "  {name}  {}  {types}  {}", padded(rename, "refused".len()), retype);
    let own = |answer: &'_ Answer| -> Vec<Finding> {
        answer.refusals.iter().filter(|finding| !common.contains(finding)).cloned().collect()
    };
    let (of_rename, of_type) = (own(&column.rename), own(&column.type_change));
    for (of, findings) in [("rename", &of_rename), ("type", &of_type)] {
        for (at, finding) in findings.iter().enumerate() {
            let in_both = of_rename.contains(finding) && of_type.contains(finding);
            let before = findings[..at].iter().filter(|other| other.code == finding.code).count();
            let all = findings.iter().filter(|other| other.code == finding.code).count();
            match before {
                _ if in_both && of == "type" => {}
                0..LISTED => says(text, if in_both { "both" } else { of }, finding, look),
                LISTED => {
                    let more = format!("and {} more [{}]; --format json lists them", all - LISTED, code(finding.code));
                    look.wrap(text, (&format!("      {of}: "), "        "), &more);
                }
                _ => {}
            }
        }
    }
    let errors = [&column.rename.error, &column.type_change.error];
    if let Some(error) = errors.into_iter().flatten().next() {
        look.wrap(text, ("      ", "        "), &printable(error));
    }
}

fn says(text: &mut String, of: &str, finding: &Finding, look: Look) {
    let first = format!("      {of}: ");
    look.wrap_lines(text, (&first, "        "), &format!("{} [{}]", finding.message, code(finding.code)));
}

/// Returns a code without what all of them begin with.
fn code(code: &str) -> &str {
    code.strip_prefix("catalog::").unwrap_or(code)
}

fn fate(answer: &Answer, look: Look) -> String {
    let word = answer.outcome.as_str();
    match answer.outcome {
        Fate::Follows | Fate::MetadataOnly => look.green(word),
        Fate::Carried => word.to_owned(),
        Fate::Refused => look.red(word),
        Fate::Unknown => look.yellow(word),
    }
}

fn totals(text: &mut String, inventory: &Inventory, look: Look) {
    let totals = &inventory.totals;
    let _ = writeln!(text, "\n{}", look.bold(&format!("{:<30}{:>8}{:>13}", "Columns", "rename", "type change")));
    for fate in Fate::ALL {
        let (rename, retype) = (totals.rename.get(&fate), totals.type_change.get(&fate));
        if rename.or(retype).is_some() {
            let number = |of: Option<&usize>| of.copied().unwrap_or(0);
            let _ = writeln!(text, "  {:<28}{:>8}{:>13}", fate.as_str(), number(rename), number(retype));
        }
    }
}

fn reasons(text: &mut String, inventory: &Inventory, look: Look) {
    if inventory.reasons.is_empty() {
        return;
    }
    let title = format!("{:<30}{:>8}{:>13}", "Refused because of", "rename", "type change");
    let _ = writeln!(text, "\n{}", look.bold(&title));
    for reason in &inventory.reasons {
        let _ = writeln!(text, "  {:<28}{:>8}{:>13}", code(reason.code), reason.rename, reason.type_change);
    }
    let _ = writeln!(text, "\n{}", look.bold("What to do"));
    for Advice { codes, help } in &inventory.advice {
        let codes: Vec<_> = codes.iter().copied().map(code).collect();
        look.wrap_lines(text, (&format!("  {}: ", codes.join(", ")), "    "), help);
    }
}
