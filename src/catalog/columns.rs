//! The table's columns, and reasons not to change one.

use serde::Deserialize;
use sqlx::PgConnection;

use super::finding::{did_you_mean, list};
use super::{CatalogError, Inspection, query};
use crate::ident::ColumnName;
use crate::plan::{AddColumn, Change, DropColumn, Pair, Plan};
use crate::run::{ColumnFacts, Generated, IdentityColumn, ReadColumn};

/// Types whose operator for `IS DISTINCT FROM` sees every difference (docs/postgres.md, "Values that are equal but not the
/// same"). Those with a collation need a deterministic one.
const PLAIN: [&str; 14] = [
    "\"char\"",
    "bigint",
    "boolean",
    "bytea",
    "character varying",
    "date",
    "integer",
    "name",
    "oid",
    "smallint",
    "text",
    "timestamp with time zone",
    "timestamp without time zone",
    "uuid",
];

/// What a domain is made of.
#[derive(Debug, Clone, Deserialize)]
struct Base {
    type_name: String,
    unlimited: String,
    collate: Option<String>,
}

/// A column as the catalog has it.
#[derive(Debug, Clone, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of pg_attribute and pg_type")]
pub(super) struct Column {
    pub(super) attnum: i16,
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) base_type: String,
    /// Of a column whose type is a domain.
    domain_base: Option<Base>,
    pub(super) type_mod: i32,
    pub(super) collate: Option<String>,
    pub(super) collation_oid: i64,
    #[serde(rename = "enum")]
    pub(super) is_enum: bool,
    deterministic: bool,
    pub(super) not_null: bool,
    not_null_constraint: Option<String>,
    not_null_validated: bool,
    not_null_special: bool,
    pub(super) default: Option<String>,
    pub(super) type_default: Option<String>,
    pub(super) identity: Option<IdentityColumn>,
    pub(super) generated: Option<Generated>,
    /// A function in that, with its owner, who neither owns the table nor is a superuser.
    generated_by: Option<String>,
    generated_virtual: bool,
    /// A table that inherits the column and generates its values from something else.
    generated_otherwise: Option<String>,
    pub(super) inherited: bool,
    storage: Option<String>,
    /// The storage of the type, for a column that has none of its own.
    pub(super) type_storage: String,
    compression: Option<String>,
    statistics: Option<i32>,
    options: Vec<String>,
    comment: Option<String>,
    grants: Vec<(String, String, bool)>,
    pub(super) grantors: Vec<String>,
    pub(super) labels: Vec<String>,
    pub(super) domain_constrained: bool,
    domain_not_null: bool,
}

impl Column {
    /// Returns all columns of a table, system columns first.
    pub(super) async fn read_all(conn: &mut PgConnection, table: i64) -> Result<Vec<Self>, CatalogError> {
        query::read(conn, "read the table's columns", query::fixed(include_str!("columns.sql")).bind(table)).await
    }

    /// Returns the `COLLATE` clause with a leading space, or nothing.
    pub(super) fn collate(&self) -> String {
        self.collate.clone().unwrap_or_default()
    }

    /// Returns whether `IS DISTINCT FROM` sees every difference between two values.
    pub(super) fn plain_compare(&self) -> bool {
        self.is_enum || self.deterministic && PLAIN.contains(&self.base_type.as_str())
    }

    /// Returns the type that its domain is made of, if it is of a domain.
    pub(super) fn made_of(&self) -> Option<&str> {
        self.domain_base.as_ref().map(|base| base.type_name.as_str())
    }

    /// Returns what the column is that lends this one its new name: one that is added without a look at the table's rows.
    pub(super) fn lender(&self) -> Self {
        match &self.domain_base {
            // A domain with constraints would be tested for every row.
            Some(base) if self.domain_constrained => Self {
                type_name: base.type_name.clone(),
                base_type: base.unlimited.clone(),
                collate: base.collate.clone(),
                type_default: None,
                domain_base: None,
                domain_constrained: false,
                domain_not_null: false,
                ..self.clone()
            },
            _ => self.clone(),
        }
    }

    pub(super) fn facts(&self, default_is_repeatable: bool) -> ColumnFacts {
        ColumnFacts {
            attnum: self.attnum,
            type_name: self.type_name.clone(),
            base_type: self.base_type.clone(),
            collate: self.collate(),
            not_null: self.not_null,
            not_null_constraint: self.not_null_constraint.clone(),
            identity: self.identity,
            generated: self.generated.clone(),
            default: self.default.clone(),
            type_default: self.type_default.clone(),
            default_is_repeatable,
            plain_compare: self.plain_compare(),
            storage: self.storage.clone(),
            compression: self.compression.clone(),
            statistics: self.statistics,
            options: self.options.clone(),
            comment: self.comment.clone(),
            grants: self.grants.clone(),
        }
    }

    pub(super) fn judge(&self, change: &Pair<'_>, table: &str, found: &mut Inspection) {
        let name = &self.name;
        let mut refuse = |code, what: &str, help: &str| {
            found.refuse(code, format!("column \"{name}\" of {table} {what}"), help);
        };
        if self.attnum < 0 {
            refuse("catalog::system_column", "is a system column", "only ordinary columns can be changed");
            return;
        }
        if self.generated.is_some() && !change.borrows() {
            refuse(
                "catalog::generated_column",
                "is a generated column",
                if change.renames() {
                    "what it adopts would be generated as well: leave `adopt` out"
                } else {
                    "its values come from an expression, and PostgreSQL rewrites the table for another one: drop the column, and add one of the \
                     new type"
                },
            );
        }
        if self.generated.as_ref().is_some_and(|made| made.reads.iter().any(|read| read.name == "tableoid")) {
            refuse(
                "catalog::generated_column",
                "is generated from tableoid",
                "no trigger knows that before the row is stored: generate it from something else before the run",
            );
        }
        if self.generated_virtual {
            refuse(
                "catalog::generated_column",
                "is a virtual generated column",
                "PostgreSQL computes it when somebody reads it, and a second column would be computed whenever somebody writes, also where that \
                 fails: add a virtual column of the same expression under the new name, which touches no row, and drop this one in the end",
            );
        } else if let Some(code) = &self.generated_by {
            refuse(
                "catalog::generated_column",
                &format!("is generated by {code}"),
                "its code runs as whoever writes, and would run with the rights of the table's owner. Only what is written in C or comes with \
                 PostgreSQL looks for nothing by name; generate the column from that before the run",
            );
        }
        if let Some(other) = &self.generated_otherwise {
            let what = format!("is generated, and {other} generates it from something else");
            refuse("catalog::generated_column", &what, "give both the same expression before the run");
        }
        if self.identity.is_some() && !change.borrows() && !change.keeps_name() {
            refuse(
                "catalog::identity",
                "is an identity column",
                "change its type under its own name, without `keep_name: false`",
            );
        }
        if self.inherited {
            refuse(
                "catalog::inheritance",
                "is inherited",
                "PostgreSQL changes an inherited column through the table that it comes from: name that one in `table`",
            );
        }
        if !self.not_null_validated && !change.borrows() {
            refuse(
                "catalog::not_null_not_valid",
                "has a NOT NULL constraint that was never validated",
                "run ALTER TABLE ... VALIDATE CONSTRAINT first",
            );
        }
        if self.not_null_special && !change.borrows() {
            refuse(
                "catalog::not_null_constraint",
                "has a NOT NULL constraint that is NO INHERIT or has a comment",
                "the new column would have neither; not supported yet",
            );
        }
        if !self.grantors.is_empty() {
            let what = format!("has privileges granted by {}, who does not own the table", list(&self.grantors));
            refuse(
                "catalog::grant",
                &what,
                "afterwards they would come from the owner; have the owner grant them first",
            );
        }
        if !self.labels.is_empty() {
            let what = format!("has a security label of {}", list(&self.labels));
            refuse("catalog::security_label", &what, "the new column would not be masked; not supported yet");
        }
        if !change.borrows() && (change.renames() && self.domain_constrained || self.domain_not_null) {
            let what = format!("has type {}, a domain with constraints", self.type_name);
            refuse(
                "catalog::constrained_domain",
                &what,
                "adding such a column rewrites the table, and every INSERT must set it; not supported yet",
            );
        }
    }
}

/// Returns the old column of each change, `None` with a refusal where it is not there, and judges old and new names.
pub(super) fn judge<'a>(plan: &Plan, columns: &'a [Column], found: &mut Inspection) -> Vec<Option<&'a Column>> {
    let table = plan.table.to_string();
    let by_name = |name: &ColumnName| columns.iter().find(|column| column.name == name.as_str());
    let near = |name: &ColumnName| {
        let names = columns.iter().filter(|column| column.attnum > 0).map(|column| column.name.as_str());
        did_you_mean(name.as_str(), names).map(|near| format!("did you mean \"{near}\"?"))
    };
    let missing = |name: &ColumnName| {
        near(name).unwrap_or_else(|| "names must match exactly, including upper and lower case".to_owned())
    };
    let mut olds = Vec::new();
    for (_, change) in plan.pairs() {
        let old = by_name(change.old);
        match old {
            Some(old) => old.judge(&change, &table, found),
            None => found.refuse(
                "catalog::column_missing",
                format!("{table} has no column \"{}\"", change.old),
                missing(change.old),
            ),
        }
        if let Some(made) = old.and_then(|old| old.generated.as_ref()) {
            let changed = |read: &&ReadColumn| plan.pairs().any(|(_, pair)| pair.old.as_str() == read.name);
            for read in made.reads.iter().filter(changed) {
                found.refuse(
                    "catalog::generated_column",
                    format!(
                        "column \"{}\" of {table} is generated from column \"{}\", which the plan changes too",
                        change.old, read.name
                    ),
                    "make two plans, and run one after the other",
                );
            }
        }
        olds.push(old.filter(|old| old.attnum > 0));
    }
    for change in &plan.changes {
        match change {
            Change::AddColumn(AddColumn { name, .. }) => {
                if let Some(taken) = by_name(name) {
                    let what = if taken.attnum < 0 { "is the name of a system column" } else { "is there already" };
                    found.refuse(
                        "catalog::name_taken",
                        format!("column \"{name}\" of {table} {what}"),
                        "choose another name",
                    );
                }
            }
            Change::DropColumn(DropColumn { column }) if by_name(column).is_none_or(|column| column.attnum < 0) => {
                found.refuse("catalog::column_missing", format!("{table} has no column \"{column}\""), missing(column));
            }
            _ => {}
        }
    }
    for add in &plan.indexes.add {
        for column in &add.columns {
            if by_name(column).is_none_or(|column| column.attnum < 0)
                && !plan.pairs().any(|(_, change)| [change.old, change.new].contains(&column))
            {
                found.refuse(
                    "catalog::column_missing",
                    format!("index \"{}\" of the plan names \"{column}\", which {table} does not have", add.name),
                    missing(column),
                );
            }
        }
    }
    olds
}
