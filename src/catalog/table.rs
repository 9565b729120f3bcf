//! The table itself.

use serde::Deserialize;
use sqlx::PgConnection;

use super::finding::{did_you_mean, list};
use super::{CatalogError, Inspection, query};
use crate::ident::TableName;
use crate::plan::Plan;
use crate::run::TableFacts;

/// PostgreSQL's limit is 1600, dropped columns included (docs/postgres.md, "1600 columns").
const COLUMNS_REFUSED: i64 = 1590;
const COLUMNS_WARNED: i64 = 1400;

/// The rows of a table of no more pages are counted: 8 MB take some milliseconds.
pub const COUNTED_PAGES: i64 = 1024;

#[derive(Debug, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of pg_class, and rights")]
pub(super) struct Table {
    pub(super) oid: i64,
    kind: String,
    persistence: String,
    access_method: String,
    typed: bool,
    partition: bool,
    system: bool,
    relatives: Vec<String>,
    extension: Option<String>,
    pub(super) owner: String,
    owned: bool,
    may_use_schema: bool,
    may_create_in_schema: bool,
    row_security: bool,
    max_attnum: i64,
    pages: i64,
    rows: i64,
    index_count: i64,
    index_bytes: i64,
    /// Columns of the primary key.
    pub(super) key: Vec<String>,
}

impl Table {
    /// Returns the table, or `None` with a refusal where there is none.
    pub(super) async fn read(
        conn: &mut PgConnection,
        name: &TableName,
        found: &mut Inspection,
    ) -> Result<Option<Self>, CatalogError> {
        let query = query::fixed(include_str!("table.sql")).bind(name.schema.clone()).bind(name.name.clone());
        let table: Option<Self> = query::read(conn, "read the table", query).await?;
        if table.is_none() {
            let all: Vec<(String, String)> =
                query::read(conn, "read the names of tables", query::fixed(include_str!("tables.sql"))).await?;
            let help = Self::near(name, &all).map_or_else(
                || "check the plan's `table`, and whether this is the right database".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            found.refuse("catalog::table_missing", format!("there is no table {name}"), help);
        }
        Ok(table)
    }

    /// Counts the rows of a small table, in the session that has entered its owner. Its statistics may say that it is empty, or
    /// nothing at all, long after it was loaded.
    pub(super) async fn count(&mut self, conn: &mut PgConnection, name: &TableName) -> Result<(), CatalogError> {
        if self.pages > COUNTED_PAGES {
            return Ok(());
        }
        let count = format!("SELECT pg_catalog.count(*)::pg_catalog.text FROM ONLY {}", name.sql());
        if let Ok(Some(rows)) = query::ask(conn, "count the rows", &count, query::LIMITS).await? {
            self.rows = rows.parse().unwrap_or(self.rows);
        }
        Ok(())
    }

    /// Returns the nearest name; the same name in another schema comes before a similar one.
    pub(super) fn near(name: &TableName, all: &[(String, String)]) -> Option<String> {
        let exact = all.iter().find(|(_, table)| *table == name.name);
        let similar = || {
            let here = all.iter().filter(|(schema, _)| *schema == name.schema);
            let near = did_you_mean(&name.name, here.map(|(_, table)| table.as_str()));
            let near = near.map(|table| (name.schema.as_str(), table));
            near.or_else(|| {
                let near = did_you_mean(&name.name, all.iter().map(|(_, table)| table.as_str()))?;
                all.iter().find(|(_, table)| table == near).map(|(schema, table)| (schema.as_str(), table.as_str()))
            })
        };
        let (schema, table) = exact.map(|(schema, table)| (schema.as_str(), table.as_str())).or_else(similar)?;
        TableName::new(schema, table).ok().map(|table| table.to_string())
    }

    /// Returns whether the table is of a kind for which the other checks make sense.
    pub(super) fn ordinary(&self) -> bool {
        self.kind == "r" && !self.system
    }

    /// Returns the facts of the table itself; what hangs on columns is left empty.
    pub(super) fn facts(&self, name: &TableName) -> TableFacts {
        TableFacts {
            name: name.clone(),
            oid: self.oid,
            rows: self.rows,
            pages: self.pages,
            index_count: self.index_count,
            index_bytes: self.index_bytes,
            key: self.key.clone(),
            indexes: vec![],
            constraints: vec![],
            referring: vec![],
            listeners: vec![],
            made_anew: vec![],
            other_before_triggers: false,
            functions_to_touch: vec![],
        }
    }

    /// Judges the table; `builds` tells whether the run will create indexes or constraints on it.
    pub(super) fn judge(&self, plan: &Plan, role: &str, builds: bool, found: &mut Inspection) {
        let name = &plan.table;
        let mut refuse = |code, what: &str, help: &str| found.refuse(code, format!("{name} {what}"), help);
        let kind = match self.kind.as_str() {
            "r" => None,
            "p" => Some("is a partitioned table"),
            "v" => Some("is a view"),
            "m" => Some("is a materialized view"),
            "f" => Some("is a foreign table"),
            "S" => Some("is a sequence"),
            _ => Some("is not a table"),
        };
        if let Some(kind) = kind {
            refuse("catalog::table_kind", kind, "only ordinary tables are supported");
        }
        if self.system {
            refuse("catalog::system_table", "belongs to PostgreSQL", "system tables cannot be changed");
        }
        if self.persistence == "t" {
            refuse(
                "catalog::temporary_table",
                "is a temporary table",
                "it ends with its session; use plain ALTER TABLE",
            );
        }
        if self.kind == "r" && self.access_method != "heap" {
            let what = format!("is stored by access method \"{}\"", self.access_method);
            refuse("catalog::access_method", &what, "only heap tables are supported");
        }
        if self.partition {
            refuse("catalog::partition", "is a partition", "partitioned tables are not supported yet");
        } else if !self.relatives.is_empty() {
            let what = format!("inherits from, or is inherited by, {}", list(&self.relatives));
            refuse("catalog::inheritance", &what, "table inheritance is not supported");
        }
        if self.typed {
            refuse("catalog::typed_table", "is a typed table (CREATE TABLE OF)", "PostgreSQL cannot add columns to it");
        }
        if let Some(extension) = &self.extension {
            let what = format!("belongs to extension \"{extension}\"");
            refuse("catalog::extension_member", &what, "the extension's own scripts must change it");
        }
        let new_columns = i64::try_from(plan.changes.len()).unwrap_or(i64::MAX);
        if self.max_attnum.saturating_add(new_columns) > COLUMNS_REFUSED {
            let what =
                format!("has used {} of PostgreSQL's 1600 column numbers, dropped columns included", self.max_attnum);
            refuse("catalog::too_many_columns", &what, "only copying the table into a new one frees numbers");
        }
        self.judge_rights(name, role, builds, found);
        if self.persistence == "u" {
            found.warn(
                "catalog::unlogged",
                format!("{name} is unlogged: a crash or a failover empties it"),
                "the run's ledger would then describe rows that are gone; `verify` detects this",
            );
        }
        if (COLUMNS_WARNED..=COLUMNS_REFUSED).contains(&self.max_attnum) {
            found.warn(
                "catalog::many_columns",
                format!(
                    "{name} has used {} of PostgreSQL's 1600 column numbers, dropped columns included",
                    self.max_attnum
                ),
                "each change of a run uses one more; only copying the table into a new one frees them",
            );
        }
    }

    fn judge_rights(&self, name: &TableName, role: &str, builds: bool, found: &mut Inspection) {
        if !self.owned {
            found.refuse(
                "catalog::no_privilege",
                format!("role \"{role}\" does not own {name}, which belongs to \"{}\"", self.owner),
                format!("connect as \"{}\", or GRANT that role to \"{role}\": only owners may ALTER TABLE", self.owner),
            );
        }
        if !self.may_use_schema || builds && !self.may_create_in_schema {
            let right = if self.may_use_schema { "CREATE" } else { "USAGE" };
            found.refuse(
                "catalog::no_privilege",
                format!("role \"{role}\" has no {right} privilege on schema \"{}\"", name.schema),
                format!(
                    "GRANT {right} ON SCHEMA: since PostgreSQL 15 even the table's owner needs it to build indexes"
                ),
            );
        }
        if self.row_security {
            found.refuse(
                "catalog::row_security",
                format!(
                    "row-level security of {name} applies to role \"{role}\", which would see and fill only some of the rows"
                ),
                "use a role with BYPASSRLS, or the owner without FORCE ROW LEVEL SECURITY",
            );
        }
    }
}
