//! What a rename or a type change of every column would meet: a whole database in one table.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::{self, Answer, ColumnAnswers, Fate, Memo, Scope};
use crate::ident::TableName;
use crate::pg::ErrorClass;
use crate::runner::{Error, Tool};

/// The columns of a part of a database, and what a rename and a type change of each would meet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inventory {
    /// The database.
    pub database: String,
    /// The server's version, as it writes it.
    pub server_version: String,
    /// The type that every column would be changed to; `None` where it is chosen for each.
    pub to: Option<String>,
    /// The tables, by name.
    pub tables: Vec<InventoryTable>,
    /// How many columns there are of each kind.
    pub totals: Totals,
    /// What rules changes out, most frequent first.
    pub reasons: Vec<Reason>,
    /// What to do about that.
    pub advice: Vec<Advice>,
}

/// A table and its columns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InventoryTable {
    /// The table.
    pub table: String,
    /// Its columns, in their order.
    pub columns: Vec<ColumnAnswers>,
    /// Why it could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How many columns there are of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// All of them.
    pub columns: usize,
    /// What would become of them if they were renamed.
    pub rename: BTreeMap<Fate, usize>,
    /// What would become of them if their type were changed.
    pub type_change: BTreeMap<Fate, usize>,
}

/// Something that rules changes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Its code.
    pub code: &'static str,
    /// How many columns cannot be renamed for it.
    pub rename: usize,
    /// Of how many columns it rules out a change of the type.
    pub type_change: usize,
}

/// What to do about something that rules changes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// The codes that it is for.
    pub codes: Vec<&'static str>,
    /// What to do, as it is said of the first column.
    pub help: String,
}

impl Totals {
    fn of(tables: &[InventoryTable]) -> Self {
        let mut totals = Self::default();
        for column in tables.iter().flat_map(|table| &table.columns) {
            totals.columns += 1;
            *totals.rename.entry(column.rename.outcome).or_default() += 1;
            *totals.type_change.entry(column.type_change.outcome).or_default() += 1;
        }
        totals
    }
}

fn reasons(tables: &[InventoryTable]) -> Vec<Reason> {
    let mut all: BTreeMap<&'static str, Reason> = BTreeMap::new();
    let mut add = |answer: &Answer, count: fn(&mut Reason) -> &mut usize| {
        let mut seen = Vec::new();
        for finding in &answer.refusals {
            let reason = all.entry(finding.code).or_insert(Reason { code: finding.code, rename: 0, type_change: 0 });
            // A column that two views read is one column.
            if !seen.contains(&finding.code) {
                seen.push(finding.code);
                *count(reason) += 1;
            }
        }
    };
    for column in tables.iter().flat_map(|table| &table.columns) {
        add(&column.rename, |reason| &mut reason.rename);
        add(&column.type_change, |reason| &mut reason.type_change);
    }
    let mut all: Vec<_> = all.into_values().collect();
    all.sort_by_key(|reason| std::cmp::Reverse(reason.rename + reason.type_change));
    all
}

fn advice(tables: &[InventoryTable], reasons: &[Reason]) -> Vec<Advice> {
    let answers =
        || tables.iter().flat_map(|table| &table.columns).flat_map(|column| [&column.rename, &column.type_change]);
    let mut all: Vec<Advice> = Vec::new();
    for Reason { code, .. } in reasons {
        let first = answers().flat_map(|answer| &answer.refusals).find(|finding| finding.code == *code);
        let Some(help) = first.map(|finding| &finding.help) else { continue };
        match all.iter_mut().find(|advice| advice.help == *help) {
            Some(advice) => advice.codes.push(code),
            None => all.push(Advice { codes: vec![code], help: help.clone() }),
        }
    }
    all
}

impl Tool {
    /// Returns what a rename of each column in `scope` would meet, and a change of its type to `to`, or without it to a wider type
    /// of the same kind. Nothing is changed, and no row is read; each table is locked in ACCESS SHARE for a second at a time. What
    /// cannot be looked at does not keep the rest from being.
    ///
    /// # Errors
    /// [`Error::NothingThere`] where the scope has no table; the server cannot be reached.
    pub async fn inventory(&self, scope: &Scope, to: Option<&str>) -> Result<Inventory, Error> {
        let mut connection = self.connect().await?;
        let found = catalog::scoped(&mut connection, scope, self.ledger.schema()).await?;
        if found.tables.is_empty() {
            return Err(self.nothing_there(&mut connection, scope, found.database).await?);
        }
        let (mut tables, mut memo) = (Vec::new(), Memo::default());
        for (schema, name) in &found.tables {
            // The server's own names are names.
            let Ok(table) = TableName::new(schema, name) else { continue };
            let ledger = self.ledger.schema();
            let looked = catalog::inventory(&mut connection, &table, to, ledger, &mut memo).await.map_err(Error::from);
            let (columns, error) = match looked {
                Ok(columns) => (columns, None),
                Err(error) if error.class() == ErrorClass::Connection => return Err(error),
                Err(error) => (vec![], Some(error.to_string())),
            };
            tables.push(InventoryTable { table: table.to_string(), columns, error });
        }
        let (totals, reasons) = (Totals::of(&tables), reasons(&tables));
        let (advice, to) = (advice(&tables, &reasons), to.map(ToOwned::to_owned));
        let (database, server_version) = (found.database, found.server_version);
        Ok(Inventory { database, server_version, to, tables, totals, reasons, advice })
    }

    /// Returns why a scope has no table.
    async fn nothing_there(
        &self,
        connection: &mut sqlx::PgConnection,
        scope: &Scope,
        database: String,
    ) -> Result<Error, Error> {
        let everything = catalog::scoped(connection, &Scope::Database, self.ledger.schema()).await?;
        let named = |name: &str| {
            let same = everything.tables.iter().filter(|(_, table)| table == name);
            same.filter_map(|(schema, table)| Some(TableName::new(schema, table).ok()?.to_string())).collect()
        };
        let (what, near) = match scope {
            Scope::Database => ("table".to_owned(), vec![]),
            Scope::Schema(schema) => (format!("table in a schema \"{schema}\""), named(schema)),
            Scope::Table(table) => (format!("table {table}"), named(&table.name)),
        };
        Ok(Error::NothingThere { what, database, near })
    }
}
