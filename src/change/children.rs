//! What statements on the run's table do not do in tables that inherit from it: columns and constraints that these have declared
//! themselves, and what is said of a column in each table alone.
//!
//! The tables are found when the statement runs, so that those that come and go are treated as they are.

use super::{Active, Context};
use crate::run::CarriedConstraint;
use crate::sql::{dollar_quote, quote_ident, quote_literal, with_values};

fn block(text: &str, values: &[String]) -> String {
    format!("DO {}", dollar_quote(&with_values(text, values)))
}

/// Whether there are such tables.
fn are_there(context: &Context<'_>) -> bool {
    !context.facts.main().children.is_empty()
}

fn table(context: &Context<'_>) -> String {
    quote_literal(&context.table().sql())
}

/// The column of this name, of the member `m` of the tree; `also` is what else must be so of it.
fn column(name: &str, also: &str) -> String {
    format!("pg_catalog.pg_attribute AS a WHERE a.attrelid = m.oid AND a.attname = {} AND {also}", quote_literal(name))
}

/// The constraint of this name, likewise.
fn constraint(name: &str, also: &str) -> String {
    format!("pg_catalog.pg_constraint AS k WHERE k.conrelid = m.oid AND k.conname = {} AND {also}", quote_literal(name))
}

/// Returns what does `action`, of ALTER TABLE, in each table of which there is `what`, the highest first or the lowest.
fn each(context: &Context<'_>, what: String, highest_first: bool, action: &str) -> String {
    let order = if highest_first { "ASC" } else { "DESC" };
    block(include_str!("children/each.sql"), &[table(context), what, order.to_owned(), quote_literal(action)])
}

/// Returns what drops `what` in tables that have declared it, once the run's table has it no more.
fn drop(context: &Context<'_>, what: String, action: &str) -> Option<String> {
    let values = [table(context), what, quote_literal(action)];
    are_there(context).then(|| block(include_str!("children/drop.sql"), &values))
}

/// Returns what declares the new column, `definition` with its name, in each table that has declared the old one, before the table itself
/// does, the lowest first: PostgreSQL then merges them, as it did with the old ones.
pub(super) fn declare(context: &Context<'_>, a: &Active<'_>, definition: &str) -> Option<String> {
    let old = column(a.change.old.as_str(), "a.attislocal");
    are_there(context).then(|| each(context, old, false, &format!("ADD COLUMN {definition}")))
}

/// Returns what drops a column of this name in tables that have declared it, once the run's table has it no more.
pub(super) fn drop_column(context: &Context<'_>, name: &str) -> Option<String> {
    let what = column(name, "a.attislocal AND a.attinhcount = 0");
    drop(context, what, &format!("DROP COLUMN {}", quote_ident(name)))
}

/// Returns what gives the column `to` in each table, or partition, the comment, the grants, the options and the statistics target that
/// `from` has there.
pub(super) fn dress(context: &Context<'_>, from: &str, to: &str) -> Option<String> {
    let values = [table(context), quote_literal(from), quote_literal(to)];
    context.facts.main().has_members().then(|| block(include_str!("children/dress.sql"), &values))
}

/// Returns what adds a twin, of this name and definition, in each table that has declared the constraint `own` itself.
pub(super) fn constrain(context: &Context<'_>, own: &str, twin: &str, definition: &str) -> Option<String> {
    let what = constraint(own, "k.conislocal AND k.coninhcount > 0");
    let action = format!("ADD CONSTRAINT {} {definition}", quote_ident(twin));
    are_there(context).then(|| each(context, what, false, &action))
}

/// Returns what drops a constraint of this name in tables that have declared it, once the run's table has it no more.
pub(super) fn drop_constraint(context: &Context<'_>, name: &str) -> Option<String> {
    let what = constraint(name, "k.conislocal AND k.coninhcount = 0");
    drop(context, what, &format!("DROP CONSTRAINT {}", quote_ident(name)))
}

/// Returns what lets a column of this name be empty in partitions and tables that inherit, once the run's table does: since PostgreSQL 18
/// one that has declared NOT NULL itself keeps it.
pub(super) fn relax(context: &Context<'_>, name: &str) -> String {
    each(context, column(name, "a.attnotnull"), true, &format!("ALTER COLUMN {} DROP NOT NULL", quote_ident(name)))
}

/// As [`constrain`], for the twin of a constraint of the run's table.
pub(super) fn constrain_like(
    context: &Context<'_>,
    constraint: &CarriedConstraint,
    twin: &str,
    definition: &str,
) -> Option<String> {
    let inherited = !constraint.foreign_key && constraint.member.is_none();
    inherited.then(|| constrain(context, &constraint.name, twin, definition))?
}
