//! The one file that makes a team's migration tool agree with the database: the plain ALTER for databases that crossfade never
//! sees, behind a guard that does nothing where a run has ended and fails where one is under way. Pure: files come in as text and go
//! out as text.

mod alembic;
pub(crate) mod django;
mod drizzle;
mod guard;
mod literal;
mod numbered;
mod python;

use chrono::{DateTime, Utc};

use crate::plan::{Bytes, Change, ColumnName, Plan, PlanName, TableName};
use crate::run::{ChangeFacts, Conversion, Facts};

/// The migration tools that files are written for, as they are typed.
pub(crate) const TOOLS: [(&str, MigrationTool); 8] = [
    ("alembic", MigrationTool::Alembic),
    ("sqlx", MigrationTool::Sqlx),
    ("flyway", MigrationTool::Flyway),
    ("liquibase", MigrationTool::Liquibase),
    ("django", MigrationTool::Django),
    ("rails", MigrationTool::Rails),
    ("prisma", MigrationTool::Prisma),
    ("drizzle", MigrationTool::Drizzle),
];

/// A migration tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MigrationTool {
    Alembic,
    Sqlx,
    Flyway,
    Liquibase,
    Django,
    Rails,
    Prisma,
    Drizzle,
}

/// A file in the directory of a migration tool, by its path from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Returns whether a file is one that all migrations of the directory share, and that a new one adds itself to.
pub(crate) fn is_shared(path: &str) -> bool {
    path == drizzle::JOURNAL
}

/// Why no migration can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoExport {
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: String,
}

impl NoExport {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// What a run does to its table, as a migration has to say it.
#[derive(Debug, Clone)]
pub(crate) struct Migration {
    plan: PlanName,
    table: TableName,
    /// When the run was registered: what comes from the clock in names of files comes from here.
    at: DateTime<Utc>,
    alters: Vec<Alter>,
    /// A table of more bytes is not altered.
    max_size: Bytes,
    /// The schema of the ledger, which knows of runs under way.
    ledger: String,
    /// What the run's parts do to their tables, in the order in which they are done.
    parts: Vec<Self>,
}

/// One change of a column, with types as `format_type` writes them with an empty `search_path`.
#[derive(Debug, Clone)]
enum Alter {
    Rename {
        from: String,
        to: String,
    },
    Retype {
        column: String,
        from: String,
        to: String,
        /// `COLLATE` clause with a leading space, or empty.
        collate: String,
        /// An expression over the column.
        using: String,
        /// A default that the plan names.
        default: Option<String>,
        not_null: bool,
        /// Its name in the end.
        name: String,
    },
    Add {
        name: String,
        type_name: String,
        collate: String,
        default: Option<String>,
        not_null: bool,
    },
    Drop {
        name: String,
    },
}

impl Migration {
    /// Returns what the run of `plan` does, by what its ledger knows.
    ///
    /// # Errors
    /// A change that is not one of a column, or whose column was made by hand.
    pub(crate) fn of(
        plan: &Plan,
        facts: &Facts,
        at: DateTime<Utc>,
        max_size: Bytes,
        ledger: &str,
    ) -> Result<Self, NoExport> {
        if let Some(index) = plan.indexes.add.first() {
            return Err(no_column(&format!("add index {}", index.name)));
        }
        let alters = plan.changes.iter().zip(&facts.changes).map(|(change, facts)| alter(change, facts));
        Ok(Self {
            plan: plan.name.clone(),
            table: plan.table.clone(),
            at,
            alters: alters.collect::<Result<_, _>>()?,
            max_size,
            ledger: ledger.to_owned(),
            parts: vec![],
        })
    }

    /// Returns the migration of a run and of its parts, in the order in which they are done.
    pub(crate) fn with_parts(self, parts: Vec<Self>) -> Self {
        Self { parts, ..self }
    }

    /// Returns what is done to each table: those that refer to the key first, the key's last.
    fn all(&self) -> impl Iterator<Item = &Self> {
        self.parts.iter().chain([self])
    }

    /// Returns the files to write for `tool`, by what is in its directory, which is in `folder`. Repeated with those files there, they
    /// are the same.
    ///
    /// # Errors
    /// What is in the directory does not say where the migration belongs, or the tool's own state cannot be told.
    pub(crate) fn files(&self, tool: MigrationTool, there: &[File], folder: &str) -> Result<Vec<File>, NoExport> {
        Ok(match tool {
            MigrationTool::Alembic => vec![alembic::file(self, there)?],
            MigrationTool::Sqlx => vec![numbered::sqlx(self, there)],
            MigrationTool::Flyway => vec![numbered::flyway(self, there)],
            MigrationTool::Liquibase => vec![numbered::liquibase(self, there)],
            MigrationTool::Rails => vec![numbered::rails(self, there)],
            MigrationTool::Prisma => vec![numbered::prisma(self, there)],
            MigrationTool::Django => vec![django::file(self, there, folder)?],
            MigrationTool::Drizzle => drizzle::files(self, there)?,
        })
    }

    /// Returns what the names of its files contain: letters, digits and underscores.
    fn slug(&self) -> String {
        format!("crossfade_{}", self.plan.as_str().replace('-', "_"))
    }
}

fn alter(change: &Change, facts: &ChangeFacts) -> Result<Alter, NoExport> {
    match (change, facts) {
        (_, ChangeFacts::Pair(pair)) if pair.adopted.is_some() => Err(NoExport::new(
            format!("cannot export `{change}`: the run takes over a column that somebody made by hand"),
            "the migrations that made that column come first on every database; write the rest of it by hand",
        )),
        (Change::RenameColumn(rename), _) => {
            Ok(Alter::Rename { from: rename.from.to_string(), to: rename.to.to_string() })
        }
        (Change::ChangeType(retype), ChangeFacts::Pair(pair)) => {
            let using = match &pair.forward {
                Conversion::Expression { sql, .. } => sql.clone(),
                _ => format!("CAST({} AS {})", retype.column.sql(), pair.new_base_type),
            };
            let name = if retype.keep_name { &retype.column } else { &retype.via };
            Ok(Alter::Retype {
                column: retype.column.to_string(),
                from: pair.old.type_name.clone(),
                to: pair.new_type.clone(),
                collate: pair.new_collate.clone(),
                using,
                default: retype.default.as_ref().and(pair.new_default.clone()),
                not_null: pair.old.not_null,
                name: ColumnName::to_string(name),
            })
        }
        (Change::AddColumn(add), ChangeFacts::AddColumn(added)) => Ok(Alter::Add {
            name: add.name.to_string(),
            type_name: added.type_name.clone(),
            collate: added.collate.clone(),
            default: added.default.clone(),
            not_null: add.not_null,
        }),
        (Change::DropColumn(drop), _) => Ok(Alter::Drop { name: drop.column.to_string() }),
        _ => Err(no_column(&change.to_string())),
    }
}

fn no_column(change: &str) -> NoExport {
    NoExport::new(
        format!("cannot export `{change}`: only changes of columns are written"),
        "write it with your migration tool: PostgreSQL has IF NOT EXISTS for indexes, and nothing else has to wait",
    )
}

#[cfg(test)]
mod tests;
