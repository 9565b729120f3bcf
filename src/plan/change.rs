//! The kinds of change that a plan can ask for, one type each.

use serde::Serialize;

use super::words::words;
use crate::ident::{ColumnName, RelationName, TableName};

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A column gets another name.
    RenameColumn(RenameColumn),
    /// A column gets another type.
    ChangeType(ChangeType),
    /// The table gets another column.
    AddColumn(AddColumn),
    /// A column goes.
    DropColumn(DropColumn),
    /// The table gets another index.
    AddIndex(NewIndex),
    /// An index goes.
    DropIndex(DropIndex),
    /// The table gets another constraint.
    AddConstraint(AddConstraint),
}

/// Gives a column another name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RenameColumn {
    /// The column's name now.
    pub from: ColumnName,
    /// Its new name.
    pub to: ColumnName,
    /// Which side wins when a statement sets both to values that do not agree.
    pub on_conflict: OnConflict,
    /// The new column is there already, made by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
}

/// Gives a column another type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangeType {
    /// The column.
    pub column: ColumnName,
    /// The new column's name until `switch` swaps the names (or for good, without `keep_name`).
    pub via: ColumnName,
    /// The new type as the plan wrote it: `varchar(10)`.
    pub to: String,
    /// Forward expression over the old column's name; `None` is a plain cast.
    pub using: Option<String>,
    /// Reverse expression over the new column's name; `None` makes the change one-way.
    pub reverse: Option<String>,
    /// The default that the column has under its new type; `None` carries the old one over.
    pub default: Option<String>,
    /// Whether the new column ends up with the old column's name.
    pub keep_name: bool,
    /// Which side wins when a statement sets both to values that do not agree.
    pub on_conflict: OnConflict,
    /// What a value that will not convert does to the application's write; `None` where the plan is silent:
    /// then it is left empty, and rows that already do not convert are refused before anything changes.
    pub on_error: Option<OnError>,
    /// The new column is there already, made by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
}

/// How a new column is taken over that somebody has made by hand.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Adopt {
    /// Triggers that crossfade's takes the place of: disabled while the run lasts, dropped at its end.
    pub replaces: Vec<RelationName>,
    /// Triggers whose functions name the new column, and which stay.
    pub keeps: Vec<RelationName>,
    /// Whether the backfill overwrites values that are not what the old column converts to. Otherwise the check finds them.
    pub overwrite: bool,
}

/// Adds a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AddColumn {
    /// The column.
    pub name: ColumnName,
    /// Its type as the plan wrote it.
    pub type_name: String,
    /// Its default, an SQL expression. Rows that exist get it too.
    pub default: Option<String>,
    /// Whether it is NOT NULL.
    pub not_null: bool,
}

/// Drops a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DropColumn {
    /// The column.
    pub column: ColumnName,
}

/// An index to be built.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NewIndex {
    /// Its name, in the table's schema.
    pub name: RelationName,
    /// What it holds.
    pub key: IndexKey,
    /// Whether it is unique.
    pub unique: bool,
    /// The access method: `btree` unless the plan says otherwise.
    pub method: String,
    /// Columns that it holds beside its key.
    pub include: Vec<ColumnName>,
    /// Which rows it holds, an SQL expression; `None` for all of them.
    pub predicate: Option<String>,
}

/// What an index holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexKey {
    /// These columns, in order; at least one.
    Columns(Vec<ColumnName>),
    /// What stands between the parentheses of CREATE INDEX, as the plan wrote it.
    Sql(String),
}

/// Drops an index.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DropIndex {
    /// Its name, in the table's schema.
    pub name: RelationName,
}

/// Adds a constraint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AddConstraint {
    /// Its name. `None` only for NOT NULL, which has had a name since PostgreSQL 18; then PostgreSQL chooses it.
    pub name: Option<RelationName>,
    /// What it says.
    pub rule: Rule,
}

/// What a constraint says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// An SQL expression is true, or NULL, of every row.
    Check(String),
    /// The columns' values stand in another table.
    ForeignKey(ForeignKey),
    /// No two rows have the same values.
    Unique {
        /// The columns, in order; at least one.
        columns: Vec<ColumnName>,
        /// Whether NULLs count as equal (PostgreSQL 15 and later).
        nulls_not_distinct: bool,
        /// When it is checked.
        deferrable: Deferrable,
    },
    /// The column is not NULL.
    NotNull(ColumnName),
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForeignKey {
    /// The columns of the plan's table.
    pub columns: Vec<ColumnName>,
    /// The table that they refer to.
    pub references: TableName,
    /// Its columns; empty for its primary key.
    pub referenced_columns: Vec<ColumnName>,
    /// What happens when a referenced row is deleted.
    pub on_delete: ReferentialAction,
    /// What happens when a referenced key changes.
    pub on_update: ReferentialAction,
    /// Whether a key of which a part is NULL fails, unless all of it is.
    pub match_full: bool,
    /// When it is checked.
    pub deferrable: Deferrable,
}

words! {
    /// What happens to rows when the row that they refer to changes.
    pub enum ReferentialAction {
        /// The statement fails, if it has not mended it by its end.
        NoAction = "no_action" (default),
        /// The statement fails at once.
        Restrict = "restrict",
        /// They are deleted, or follow.
        Cascade = "cascade",
        /// Their columns become NULL.
        SetNull = "set_null",
        /// Their columns get their defaults.
        SetDefault = "set_default",
    }
}

impl ReferentialAction {
    /// Returns the words of SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Self::NoAction => "NO ACTION",
            Self::Restrict => "RESTRICT",
            Self::Cascade => "CASCADE",
            Self::SetNull => "SET NULL",
            Self::SetDefault => "SET DEFAULT",
        }
    }
}

words! {
    /// When a constraint is checked.
    pub enum Deferrable {
        /// At the end of each statement.
        NotDeferrable = "not_deferrable" (default),
        /// At the end of each statement, unless a transaction says otherwise.
        Deferrable = "deferrable",
        /// At the end of the transaction.
        InitiallyDeferred = "initially_deferred",
    }
}

impl Deferrable {
    /// Returns the clause with a leading space, or nothing.
    pub fn sql(self) -> &'static str {
        match self {
            Self::NotDeferrable => "",
            Self::Deferrable => " DEFERRABLE",
            Self::InitiallyDeferred => " DEFERRABLE INITIALLY DEFERRED",
        }
    }
}

/// What one run has for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim<'a> {
    /// A column.
    Column(&'a ColumnName),
    /// The name of an index or a constraint.
    Name(&'a RelationName),
}

impl Claim<'_> {
    /// Returns the claim as the ledger keeps it: a column by its name alone, any other name so that no column has it.
    pub fn key(&self) -> String {
        match self {
            Self::Column(column) => column.to_string(),
            // No name is longer than 63 bytes.
            Self::Name(name) => format!("{:>64}", name.as_str()),
        }
    }
}

impl std::fmt::Display for Claim<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Column(column) => write!(f, "column {column}"),
            Self::Name(name) => write!(f, "index or constraint {name}"),
        }
    }
}

/// The old and the new column of a change that keeps both in step for a while.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// The old column.
    pub old: &'a ColumnName,
    /// The new column's first name.
    pub new: &'a ColumnName,
    /// The type change; `None` for a rename.
    pub retype: Option<&'a ChangeType>,
    /// Which side wins when a statement sets both to values that do not agree.
    pub on_conflict: OnConflict,
    /// What a value that will not convert does to the application's write.
    pub on_error: Option<OnError>,
    /// How the new column is taken over, if it is there already.
    pub adopt: Option<&'a Adopt>,
    /// Whether the new column gets the old one's name when that gets the new one, until it goes: subscribers of the table know
    /// both names, and no third.
    pub trades_names: bool,
}

impl<'a> Pair<'a> {
    /// Returns whether `switch` swaps the two names, so that the new column ends up under the old name.
    pub fn keeps_name(&self) -> bool {
        self.retype.is_some_and(|retype| retype.keep_name)
    }

    /// Returns the name the column has when the run is done.
    pub fn final_name(&self) -> &'a ColumnName {
        if self.keeps_name() { self.old } else { self.new }
    }

    /// Returns whether values are the same on both sides.
    pub fn renames(&self) -> bool {
        self.retype.is_none()
    }

    /// Returns whether the old column stays, with everything that hangs on it, and the new one only lends it the new name for
    /// a while: `contract` gives the old column that name, and the new one goes.
    pub fn borrows(&self) -> bool {
        self.renames() && self.adopt.is_none()
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RenameColumn(RenameColumn { from, to, adopt: Some(_), .. }) => {
                write!(f, "rename column {from} to {to}, which is taken over")
            }
            Self::RenameColumn(RenameColumn { from, to, .. }) => write!(f, "rename column {from} to {to}"),
            Self::ChangeType(ChangeType { column, via, to, using, default, keep_name, .. }) => {
                write!(f, "change the type of column {column} to {to}")?;
                if let Some(using) = using {
                    write!(f, " using {using}")?;
                }
                if let Some(default) = default {
                    write!(f, ", with default {default}")?;
                }
                if *keep_name { Ok(()) } else { write!(f, ", called {via}") }
            }
            Self::AddColumn(AddColumn { name, type_name, default, not_null }) => {
                write!(f, "add column {name} {type_name}")?;
                if let Some(default) = default {
                    write!(f, " with default {default}")?;
                }
                f.write_str(if *not_null { ", NOT NULL" } else { "" })
            }
            Self::DropColumn(DropColumn { column }) => write!(f, "drop column {column}"),
            Self::AddIndex(NewIndex { name, .. }) => write!(f, "add index {name}"),
            Self::DropIndex(DropIndex { name }) => write!(f, "drop index {name}"),
            Self::AddConstraint(AddConstraint { name: Some(name), .. }) => write!(f, "add constraint {name}"),
            Self::AddConstraint(AddConstraint { rule: Rule::NotNull(column), .. }) => {
                write!(f, "make column {column} NOT NULL")
            }
            Self::AddConstraint(_) => f.write_str("add a constraint"),
        }
    }
}

impl Change {
    /// Returns the two columns; `None` for a change that has no two.
    pub fn pair(&self) -> Option<Pair<'_>> {
        match self {
            Self::RenameColumn(RenameColumn { from, to, on_conflict, adopt }) => Some(Pair {
                old: from,
                new: to,
                retype: None,
                on_conflict: *on_conflict,
                on_error: None,
                adopt: adopt.as_ref(),
                trades_names: false,
            }),
            Self::ChangeType(retype) => Some(Pair {
                old: &retype.column,
                new: &retype.via,
                retype: Some(retype),
                on_conflict: retype.on_conflict,
                on_error: retype.on_error,
                adopt: retype.adopt.as_ref(),
                trades_names: false,
            }),
            Self::AddColumn(_)
            | Self::DropColumn(_)
            | Self::AddIndex(_)
            | Self::DropIndex(_)
            | Self::AddConstraint(_) => None,
        }
    }

    /// Returns what the change takes for itself while it runs, columns and names of indexes and constraints: no other run
    /// may have them.
    pub fn claims(&self) -> Vec<Claim<'_>> {
        let columns: Vec<&ColumnName> = match self {
            Self::RenameColumn(RenameColumn { from, to, .. }) => vec![from, to],
            Self::ChangeType(ChangeType { column, via, .. }) => vec![column, via],
            Self::AddColumn(AddColumn { name, .. }) => vec![name],
            Self::DropColumn(DropColumn { column }) => vec![column],
            Self::AddIndex(NewIndex { key: IndexKey::Columns(columns), include, .. }) => {
                columns.iter().chain(include).collect()
            }
            Self::AddIndex(NewIndex { include, .. }) => include.iter().collect(),
            Self::DropIndex(_) => vec![],
            Self::AddConstraint(AddConstraint { rule, .. }) => match rule {
                Rule::Check(_) => vec![],
                Rule::Unique { columns, .. } | Rule::ForeignKey(ForeignKey { columns, .. }) => columns.iter().collect(),
                Rule::NotNull(column) => vec![column],
            },
        };
        let name = match self {
            Self::AddIndex(NewIndex { name, .. }) | Self::DropIndex(DropIndex { name }) => Some(name),
            Self::AddConstraint(AddConstraint { name, .. }) => name.as_ref(),
            _ => None,
        };
        columns.into_iter().map(Claim::Column).chain(name.map(Claim::Name)).collect()
    }
}

words! {
    /// Who wins an inconsistent pair.
    pub enum OnConflict {
        /// The value written to the new column.
        NewWins = "new_wins" (default),
        /// The value written to the old column.
        OldWins = "old_wins",
        /// Nobody: the statement fails.
        Error = "error",
    }
}

words! {
    /// What a conversion that raises does to the application's write.
    pub enum OnError {
        /// The other side is left empty and the row counts as unconverted.
        Leave = "leave",
        /// The statement fails with the conversion's own error.
        Reject = "reject",
    }
}
