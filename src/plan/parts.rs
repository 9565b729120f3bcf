//! The plans of columns that refer to a key, made from the plan of the key: `referring: change`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, ChangeType, ColumnName, CopyIndexes, IdentError, Indexes, Plan, PlanName, TableName};
use crate::ident::{MAX_IDENT_BYTES, sha256_hex};
use crate::sql::quote_ident;

/// An integer column that refers to a column which gets a wider type, by itself or through other columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Referrer {
    /// Its table.
    pub(crate) table: TableName,
    /// The column.
    pub(crate) column: ColumnName,
    /// Its type now: `smallint` or `integer`.
    pub(crate) of_type: String,
    /// The type that it is to get, as the plan wrote it.
    pub(crate) to: String,
    /// The tables that it refers to, of those whose columns change.
    pub(crate) refers_to: Vec<TableName>,
}

/// Returns the change, if columns that refer to its column can get the same type: a plain cast under the column's own name.
pub(crate) fn widens(change: &Change) -> Option<&ChangeType> {
    match change {
        Change::ChangeType(change) if change.using.is_none() && change.keep_name && change.adopt.is_none() => {
            Some(change)
        }
        _ => None,
    }
}

/// Returns `plan` with its parts named, and with further changes for columns of its own table; and the plans of the parts, one for each
/// other table, in the order in which they are done: a table comes before those that it refers to.
///
/// # Errors
/// Tables that refer to each other in a circle, so that none can be first.
pub(crate) fn with_parts(plan: &Plan, found: &[Referrer]) -> Result<(Plan, Vec<Plan>), Vec<TableName>> {
    let order = order(&plan.table, found)?;
    let mut key = plan.clone();
    let named: BTreeSet<_> = plan.changes.iter().filter_map(Change::pair).map(|pair| pair.old.clone()).collect();
    let own = found.iter().filter(|of| of.table == plan.table && !named.contains(&of.column));
    key.changes.extend(own.filter_map(|of| change(plan, of).ok()));
    let mut parts: Vec<Plan> = Vec::new();
    for table in order.into_iter().filter(|table| *table != plan.table) {
        let Some(name) = part_name(plan, &table, &parts) else { continue };
        let empty = Plan {
            name,
            table: table.clone(),
            changes: vec![],
            indexes: Indexes { copy: CopyIndexes::All, copied: vec![], add: vec![], ..plan.indexes.clone() },
            functions: vec![],
            triggers: vec![],
            referring: None,
            left: vec![],
            parts: vec![],
            part_of: Some(plan.name.clone()),
            ..plan.clone()
        };
        let changes = found.iter().filter(|of| of.table == table).filter_map(|of| change(&empty, of).ok()).collect();
        parts.push(Plan { changes, ..empty });
    }
    key.parts = parts.iter().map(|part| part.name.clone()).collect();
    Ok((key, parts))
}

/// Returns the tables, each before those that it refers to; the table of the key is the last.
fn order(key: &TableName, found: &[Referrer]) -> Result<Vec<TableName>, Vec<TableName>> {
    let mut refers: BTreeMap<&TableName, BTreeSet<&TableName>> = BTreeMap::from([(key, BTreeSet::new())]);
    for of in found {
        // A table that refers to itself is changed by one plan.
        refers.entry(&of.table).or_default().extend(of.refers_to.iter().filter(|to| **to != of.table));
    }
    let mut order = Vec::new();
    while !refers.is_empty() {
        let is_referred = |table: &TableName| refers.values().any(|to| to.contains(table));
        let Some(first) = refers.keys().copied().find(|table| !is_referred(table)) else {
            return Err(refers.into_keys().cloned().collect());
        };
        refers.remove(first);
        order.push(first.clone());
    }
    Ok(order)
}

/// The change of a column that refers to a key. What its old type does not hold is empty there, as of any change without a way back.
fn change(plan: &Plan, of: &Referrer) -> Result<Change, IdentError> {
    let via = ColumnName::new(&plan.tag().name(of.column.as_str()))?;
    let (least, most) =
        if of.of_type == "smallint" { (-32_768, 32_767) } else { (i64::from(i32::MIN), i64::from(i32::MAX)) };
    let new = quote_ident(via.as_str());
    Ok(Change::ChangeType(ChangeType {
        column: of.column.clone(),
        to: of.to.clone(),
        using: None,
        reverse: Some(format!("CASE WHEN {new} BETWEEN {least} AND {most} THEN {new}::{} END", of.of_type)),
        via,
        default: None,
        keep_name: true,
        on_conflict: <_>::default(),
        on_error: None,
        adopt: None,
    }))
}

/// Returns the name of the part for `table`: that of the key's plan and that of the table, as far as names of plans allow it.
fn part_name(plan: &Plan, table: &TableName, others: &[Plan]) -> Option<PlanName> {
    let fitting = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
    let text: String = format!("{}-{}", plan.name, table.name).chars().map(fitting).collect();
    let is_free = |name: &PlanName| *name != plan.name && others.iter().all(|other| other.name != *name);
    let digest = &sha256_hex(&format!("{} {table}", plan.name))[..8];
    let short: String = text.chars().take(MAX_IDENT_BYTES - digest.len() - 1).collect();
    let fits = Some(text).filter(|text| text.len() <= MAX_IDENT_BYTES).and_then(|text| PlanName::new(&text).ok());
    fits.filter(is_free).or_else(|| PlanName::new(&format!("{short}-{digest}")).ok().filter(is_free))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(name: &str) -> Plan {
        let text = format!(
            "version: 1\nname: {name}\ntable: shop.orders\nchanges: [{{ change_type: {{ column: id, to: bigint }} }}]\nreferring: change\napprove: [switch]"
        );
        crate::plan::parse("p", &text).unwrap()
    }

    fn referrer(table: &str, column: &str, to: &[&str]) -> Referrer {
        Referrer {
            table: TableName::parse(table).unwrap(),
            column: ColumnName::new(column).unwrap(),
            of_type: "integer".to_owned(),
            to: "bigint".to_owned(),
            refers_to: to.iter().map(|table| TableName::parse(table).unwrap()).collect(),
        }
    }

    #[test]
    fn a_table_comes_before_those_that_it_refers_to_and_the_key_is_the_last() {
        let found = [
            referrer("shop.lines", "order_id", &["shop.orders"]),
            referrer("shop.orders", "up", &["shop.orders"]),
            referrer("shop.parcels", "order_id", &["shop.lines"]),
            referrer("shop.parcels", "first_order", &["shop.orders"]),
        ];
        let (key, parts) = with_parts(&plan("wide"), &found).unwrap();
        let names: Vec<_> = key.parts.iter().map(PlanName::as_str).collect();
        assert_eq!(names, ["wide-parcels", "wide-lines"]);
        assert_eq!(key.changes.len(), 2);
        assert_eq!(parts[0].changes.len(), 2);
        assert_eq!(parts[1].part_of, Some(key.name.clone()));
        assert_eq!(parts[1].approve, key.approve);
        let Change::ChangeType(change) = &parts[1].changes[0] else { panic!() };
        let via = parts[1].tag().name("order_id");
        assert_eq!(change.via.as_str(), via);
        let text = format!("CASE WHEN {via} BETWEEN -2147483648 AND 2147483647 THEN {via}::integer END");
        assert_eq!(change.reverse.as_deref().map(|text| text.replace('"', "")), Some(text));
        // What a part says can be written and read as a plan.
        let read = crate::plan::parse("p", &crate::plan::to_yaml(&parts[1])).unwrap();
        assert_eq!(Plan { part_of: parts[1].part_of.clone(), ..read }, parts[1]);
    }

    #[test]
    fn a_column_that_the_plan_names_is_not_changed_twice() {
        let found = [referrer("shop.orders", "id", &["shop.orders"])];
        let (key, parts) = with_parts(&plan("wide"), &found).unwrap();
        assert_eq!((key.changes.len(), parts.len()), (1, 0));
    }

    #[test]
    fn tables_that_refer_to_each_other_have_no_order() {
        let found = [
            referrer("shop.lines", "order_id", &["shop.orders"]),
            referrer("shop.orders", "first_line", &["shop.lines"]),
        ];
        assert_eq!(with_parts(&plan("wide"), &found).unwrap_err().len(), 2);
    }

    #[test]
    fn parts_have_names_that_plans_can_have() {
        let long = format!("shop.{}", "x".repeat(60));
        let found = [
            referrer("shop.Order Lines", "a", &["shop.orders"]),
            referrer("shop.order-lines", "a", &["shop.orders"]),
            referrer(&long, "a", &["shop.orders"]),
            referrer("other.lines", "a", &["shop.orders"]),
            referrer("shop.lines", "a", &["shop.orders"]),
        ];
        let (key, parts) = with_parts(&plan("wide"), &found).unwrap();
        assert_eq!(parts.len(), found.len());
        let names: BTreeSet<_> = key.parts.iter().collect();
        assert_eq!(names.len(), parts.len());
        assert!(names.iter().any(|name| name.as_str() == "wide-order-lines"));
    }

    #[test]
    fn only_a_plain_cast_can_be_done_elsewhere() {
        let text = "version: 1\nname: p\ntable: t\nchanges: [{ change_type: { column: a, to: bigint, using: a + 1 } }]\nreferring: change";
        let error = format!("{:?}", crate::plan::parse("p", text).unwrap_err());
        assert!(error.contains("has no effect"), "{error}");
    }
}
