//! Whether the database is still as the script found it.

use crate::plan::{AddConstraint, Change, Plan, Rule};
use crate::run::{ChangeFacts, ColumnFacts, Facts};
use crate::sql::{quote_ident, quote_literal};

/// Returns what is true of the catalog before the first step, and not after the last.
pub(super) fn conditions(plan: &Plan, facts: &Facts) -> Vec<String> {
    let table = quote_literal(&plan.table.sql());
    let column = |name: &str, more: &str| {
        format!(
            "EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = pg_catalog.to_regclass({table}) AND a.attnum > 0 \
             AND NOT a.attisdropped AND a.attname = {}{more})",
            quote_literal(name)
        )
    };
    let as_found = |name: &str, facts: &ColumnFacts| {
        let kind = quote_literal(&facts.type_name);
        let more =
            format!(" AND a.attnum = {} AND pg_catalog.format_type(a.atttypid, a.atttypmod) = {kind}", facts.attnum);
        column(name, &more)
    };
    let mut so = Vec::new();
    for (change, facts) in plan.changes.iter().zip(&facts.changes) {
        match (change, facts) {
            (_, ChangeFacts::Pair(facts)) => {
                so.extend(change.pair().map(|pair| as_found(pair.old.as_str(), &facts.old)));
            }
            (Change::DropColumn(drop), ChangeFacts::DropColumn(facts)) => {
                so.push(as_found(drop.column.as_str(), &facts.column));
            }
            (Change::AddColumn(add), _) => so.push(format!("NOT {}", column(add.name.as_str(), ""))),
            (Change::AddIndex(index), _) => {
                let name = format!("{}.{}", quote_ident(&plan.table.schema), index.name.sql());
                so.push(format!("pg_catalog.to_regclass({}) IS NULL", quote_literal(&name)));
            }
            (Change::DropIndex(index), _) => {
                let name = format!("{}.{}", quote_ident(&plan.table.schema), index.name.sql());
                so.push(format!("pg_catalog.to_regclass({}) IS NOT NULL", quote_literal(&name)));
            }
            (Change::AddConstraint(AddConstraint { rule: Rule::NotNull(name), .. }), _) => {
                so.push(format!("NOT {}", column(name.as_str(), " AND a.attnotnull")));
            }
            (Change::AddConstraint(AddConstraint { name: Some(name), .. }), _) => so.push(format!(
                "NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS c WHERE c.conrelid = pg_catalog.to_regclass({table}) AND c.conname = {})",
                quote_literal(name.as_str())
            )),
            _ => {}
        }
    }
    so
}
