//! The table itself.

use serde::Deserialize;
use sqlx::PgConnection;

use super::finding::{did_you_mean, list};
use super::{CatalogError, Inspection, query};
use crate::ident::TableName;
use crate::plan::Plan;
use crate::run::{Child, TableFacts};

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
    system: bool,
    /// Columns of the partition key, of any level.
    partition_key: Vec<String>,
    /// Partitions with what rules them out.
    odd_partitions: Vec<(String, String)>,
    /// Partitions in which a column, the second of each pair, has a default of its own.
    own_defaults: Vec<(String, String)>,
    /// Of a partition, the table that is divided.
    root: Option<String>,
    /// Tables that inherit from it, of every level: schema, name, oid.
    children: Vec<(String, String, i64)>,
    /// What columns of these have that the table's do not.
    odd_columns: Vec<OddColumn>,
    /// Indexes of these: table, column, index.
    child_indexes: Vec<(String, String, String)>,
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

/// A column of a table that inherits.
#[derive(Debug, Deserialize)]
struct OddColumn {
    table: String,
    column: String,
    what: Odd,
}

/// What it has that the column of the run's table has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Odd {
    /// The run's table has no such column.
    Own,
    /// Grants on the column itself.
    Grants,
    /// It is inherited from another table too.
    Elsewhere,
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
        let only = if self.partitioned() || !self.children.is_empty() { "" } else { "ONLY " };
        let count = format!("SELECT pg_catalog.count(*)::pg_catalog.text FROM {only}{}", name.sql());
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
        matches!(self.kind.as_str(), "r" | "p") && !self.system
    }

    /// Returns whether its rows are in partitions.
    pub(super) fn partitioned(&self) -> bool {
        self.kind == "p"
    }

    /// Returns the tables that inherit from it.
    pub(super) fn children(&self) -> Vec<Child> {
        let child = |(schema, name, oid): &(String, String, i64)| {
            Some(Child { table: TableName::new(schema, name).ok()?, oid: *oid })
        };
        self.children.iter().filter_map(child).collect()
    }

    /// Returns the facts of the table itself; what hangs on columns is left empty.
    pub(super) fn facts(&self, name: &TableName) -> TableFacts {
        TableFacts {
            name: name.clone(),
            oid: self.oid,
            partitioned: self.partitioned(),
            children: self.children(),
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
            materialized_views: vec![],
            other_before_triggers: false,
            functions_to_touch: vec![],
            publications: vec![],
        }
    }

    /// Judges the table; `builds` tells whether the run will create indexes or constraints on it.
    pub(super) fn judge(&self, plan: &Plan, role: &str, builds: bool, found: &mut Inspection) {
        let name = &plan.table;
        let mut refuse = |code, what: &str, help: &str| found.refuse(code, format!("{name} {what}"), help);
        let kind = match self.kind.as_str() {
            "r" | "p" => None,
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
        if let Some(root) = &self.root {
            let help = format!("name {root} in `table`: the change reaches all of its partitions");
            refuse("catalog::partition", &format!("is a partition of {root}"), &help);
        }
        if self.typed {
            refuse("catalog::typed_table", "is a typed table (CREATE TABLE OF)", "PostgreSQL cannot add columns to it");
        }
        if self.partitioned() {
            self.judge_partitions(plan, found);
        } else if !self.children.is_empty() {
            self.judge_children(plan, found);
        }
        let mut refuse = |code, what: &str, help: &str| found.refuse(code, format!("{name} {what}"), help);
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

    /// Judges what a plan does with a partitioned table (docs/postgres.md, "Partitioned tables").
    fn judge_partitions(&self, plan: &Plan, found: &mut Inspection) {
        let name = &plan.table;
        if !plan.only_borrows() && !plan.only_retypes() {
            found.refuse(
                "catalog::partitioned",
                format!("{name} is a partitioned table, and the plan does more than rename columns or change their types"),
                "there a plan may have either `rename_column` or `change_type`, without `adopt` and `keep_name: false`: write one plan for \
                 each, and use plain ALTER TABLE for the rest",
            );
        }
        if !plan.indexes.add.is_empty() {
            found.refuse(
                "catalog::partitioned_index",
                format!("`indexes.add` would add an index to partitioned table {name}"),
                "that is not supported yet: leave it out, and create the index yourself, before the run or after it",
            );
        }
        for (_, change) in plan.pairs() {
            let old = change.old.as_str();
            if self.partition_key.iter().any(|column| column == old) {
                found.refuse(
                    "catalog::partition_key",
                    format!("column \"{old}\" is part of the partition key of {name}"),
                    if change.borrows() {
                        "PostgreSQL chooses the partition before a trigger can fill the key, so an INSERT under the new name would fail; \
                         docs/postgres.md, \"Partitioned tables\", shows the way over three releases"
                    } else {
                        "plain ALTER TABLE refuses it too: carry the rows to a new table"
                    },
                );
            }
            for (partition, _) in self.own_defaults.iter().filter(|(_, column)| column == old) {
                found.refuse(
                    "catalog::partition_default",
                    format!("column \"{old}\" has another default in partition {partition} than in {name}"),
                    "crossfade tells by the default whether a value was written: give the partition the same default",
                );
            }
        }
        for (partition, what) in &self.odd_partitions {
            found.refuse(
                "catalog::partition_unlike",
                format!("partition {partition} of {name} {what}"),
                "partitions must be ordinary tables with the owner of the partitioned one, without rules on writes, forced \
                 row-level security and replication of their own: change that, or detach the partition for the run",
            );
        }
    }

    /// Judges what a plan does with a table that others inherit from (docs/postgres.md, "Inheritance").
    fn judge_children(&self, plan: &Plan, found: &mut Inspection) {
        let name = &plan.table;
        let mut refuse = |what: String, help: &str| found.refuse("catalog::inheritance", what, help);
        if !plan.only_borrows() && !plan.only_retypes() {
            let children: Vec<_> = self.children().iter().map(|child| child.table.to_string()).collect();
            refuse(
                format!(
                    "{name} is inherited by {}, and the plan does more than rename columns or change their types",
                    list(&children)
                ),
                "there a plan may have either `rename_column` or `change_type`, without `adopt` and `keep_name: false`: write one plan for \
                 each; for the rest use plain ALTER TABLE, which reaches them all, while nobody writes",
            );
        }
        if !plan.indexes.add.is_empty() && !plan.only_borrows() {
            refuse(
                format!("`indexes.add` would add an index to {name}, and not to the tables that inherit from it"),
                "leave it out, and create the index yourself, where you want it, before the run or after it",
            );
        }
        for (_, change) in plan.pairs() {
            let (old, new) = (change.old.as_str(), change.new.as_str());
            for OddColumn { table, column, what } in &self.odd_columns {
                match what {
                    Odd::Own if column == new => refuse(
                        format!("table {table}, which inherits from {name}, has a column \"{new}\" of its own"),
                        if change.borrows() {
                            "PostgreSQL refuses to rename a column of the parent to that name: choose another one"
                        } else {
                            "the parent's second column would become one with it: choose another name in `via`"
                        },
                    ),
                    Odd::Elsewhere if column == old => refuse(
                        format!("column \"{old}\" of table {table} is inherited from {name} and from another table"),
                        if change.borrows() {
                            "PostgreSQL refuses to rename it, because it would have two names: rename it while nobody inherits it from both"
                        } else {
                            "PostgreSQL refuses to change its type, because it would have two: change it while nobody inherits it from both"
                        },
                    ),
                    Odd::Grants if column == old && change.borrows() => refuse(
                        format!("column \"{old}\" of table {table}, which inherits from {name}, has grants of its own"),
                        "the second column would have none there: grant them on the table for the run",
                    ),
                    _ => {}
                }
            }
            for (table, _) in self.own_defaults.iter().filter(|(_, column)| column == old) {
                refuse(
                    format!(
                        "column \"{old}\" has another default in table {table} than in {name}, from which that inherits"
                    ),
                    "crossfade tells by the default whether a value was written: give it the same default there",
                );
            }
        }
        for (table, what) in &self.odd_partitions {
            refuse(
                format!("table {table}, which inherits from {name}, {what}"),
                "tables that inherit must be ordinary tables with the owner of the parent, without rules on writes, forced row-level \
                 security and replication of their own: change that, or take the table out (NO INHERIT) for the run",
            );
        }
    }

    /// Refuses indexes of tables that inherit, where the plan wants mirrors of them.
    pub(super) fn judge_child_indexes(&self, plan: &Plan, found: &mut Inspection) {
        for (table, column, index) in &self.child_indexes {
            let renamed = plan.pairs().any(|(_, change)| change.old.as_str() == column);
            if renamed && plan.only_borrows() && plan.indexes.copies(index) {
                found.refuse(
                    "catalog::inherited_index",
                    format!("index \"{index}\" of table {table}, which inherits from {}, is on column \"{column}\"", plan.table),
                    "crossfade builds none for the new name there yet: name in `indexes: { copy: [...] }` those of the parent, or write `indexes: \
                     { copy: none }`; queries under the new name have no index until `contract`, and then have those of the column",
                );
            }
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
