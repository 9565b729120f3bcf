//! What removes everything of crossfade from a database in which no run is active.

use serde::Deserialize;

use crate::names::LedgerSchema;
use crate::sql::quote_ident;

/// Everything of crossfade in a database, with names quoted for SQL: objects of a relation (of a schema: indexes) beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Ours {
    is_owned: bool,
    triggers: Vec<(String, String)>,
    constraints: Vec<(String, String)>,
    indexes: Vec<(String, String)>,
    mirrors: Vec<(String, String)>,
    columns: Vec<(String, String)>,
    old_constraints: Vec<(String, String)>,
    old_indexes: Vec<(String, String)>,
    /// Views that were to take the place of others: what `DROP` calls them, and their names, those that read others first.
    twins: Vec<(String, String)>,
    old_views: Vec<String>,
    views: Vec<String>,
    tables: Vec<String>,
    sequences: Vec<String>,
    functions: Vec<String>,
}

impl Ours {
    /// Returns the statements that remove it, in order. None drops what somebody else has made, or what depends on what
    /// crossfade has made: such a statement fails, and names it.
    pub(crate) fn removal(&self, ledger: &LedgerSchema) -> Vec<String> {
        let mut all = Vec::new();
        all.extend(self.triggers.iter().map(|(table, name)| format!("DROP TRIGGER {name} ON {table}")));
        all.extend(self.twins.iter().map(|(kind, name)| format!("DROP {kind} {name}")));
        all.extend(self.constraints.iter().map(|(table, name)| format!("ALTER TABLE {table} DROP CONSTRAINT {name}")));
        all.extend(self.indexes.iter().map(|(schema, name)| format!("DROP INDEX {schema}.{name}")));
        all.extend(self.mirrors.iter().map(|(table, name)| format!("ALTER TABLE {table} DROP COLUMN {name}")));
        let kinds = [
            ("VIEW", &self.views),
            ("TABLE", &self.tables),
            ("FUNCTION", &self.functions),
            ("SEQUENCE", &self.sequences),
        ];
        for (kind, names) in kinds.into_iter().filter(|(_, names)| !names.is_empty()) {
            all.push(format!("DROP {kind} {}", names.join(", ")));
        }
        if self.is_owned && !self.tables.is_empty() {
            all.push(format!("DROP SCHEMA {}", quote_ident(ledger.as_str())));
        }
        all
    }

    /// Returns what stays, in sentences: a person must decide about it.
    pub(crate) fn kept(&self, ledger: &LedgerSchema) -> Vec<String> {
        let column = |(table, name): &(String, String)| {
            format!(
                "column {name} of {table} stays, because it may have the only copy of its values: rename it back, or drop it \
                 (ALTER TABLE {table} DROP COLUMN {name})"
            )
        };
        let mut kept: Vec<_> = self.columns.iter().map(column).collect();
        kept.extend(self.old_constraints.iter().map(|(table, name)| {
            format!(
                "constraint {name} of {table} stays, because it was there before the run, under another name: rename it back, or drop it \
                 (ALTER TABLE {table} DROP CONSTRAINT {name})"
            )
        }));
        kept.extend(self.old_indexes.iter().map(|(schema, name)| {
            format!(
                "index {schema}.{name} stays, because it was there before the run, under another name: rename it back, or drop it \
                 (DROP INDEX {schema}.{name})"
            )
        }));
        kept.extend(self.old_views.iter().map(|name| {
            format!("view {name} stays, because materialized views read it: create these anew, and drop it then (DROP VIEW {name})")
        }));
        if !self.is_owned && !self.tables.is_empty() {
            kept.push(format!("the schema {} stays, because it belongs to another role", quote_ident(ledger.as_str())));
        }
        kept
    }

    /// Returns whether a run's objects are left in applications' tables, or beside their views.
    pub(crate) fn is_in_tables(&self) -> bool {
        let all = [
            &self.triggers,
            &self.constraints,
            &self.indexes,
            &self.mirrors,
            &self.columns,
            &self.old_constraints,
            &self.old_indexes,
            &self.twins,
        ];
        all.iter().any(|all| !all.is_empty()) || !self.old_views.is_empty()
    }
}
