//! What a migration of a team's migration tool does to columns: read as text, never run. Pure. What is not understood is refused, with
//! the line it is in; nothing is left out without a word.

mod alembic;
mod django;
mod rails;
mod script;
mod sql;
#[cfg(test)]
mod tests;

use crate::export::File;
use crate::sql::quote_ident;
use crate::sql::token::tokens;

/// A migration may have so many bytes.
pub(crate) const LARGEST: u64 = 2 << 20;

/// No table has so many columns.
const MOST: usize = 2000;

/// So many problems of a file are told.
const TOLD: usize = 20;

/// Something in a file that does not become a part of a plan.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Trouble {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: String,
}

impl Trouble {
    fn new(line: usize, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { line, message: message.into(), help: help.into() }
    }
}

/// Something that the reader of a plan should know of its migration.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Note {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// What a migration does, in its order.
#[derive(Debug, Default)]
pub(crate) struct Migration {
    steps: Vec<Step>,
    notes: Vec<Note>,
}

/// One change of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    /// From 1.
    line: usize,
    table: Table,
    what: What,
}

/// The table of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Table {
    Named(Named),
    /// That of a model of Django of which nothing more is known.
    OfModel(String),
}

/// A table as a file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// Its schema, where the file names one.
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Rename {
        column: String,
        to: String,
    },
    Type {
        column: String,
        to: String,
        using: Using,
    },
    /// Another default; `None` for none.
    Default {
        column: String,
        sql: Option<String>,
    },
}

/// How values get their new type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Using {
    /// As PostgreSQL assigns them.
    Assignment,
    /// By this cast of the column alone.
    Cast(String),
    /// By an expression; in the end over the names that columns had before the file.
    Expression(String),
}

/// What a migration makes of one column, all its steps together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The line of its first step.
    pub(crate) line: usize,
    /// The column before.
    pub(crate) column: String,
    /// Its name afterwards.
    pub(crate) name: String,
    /// Its type afterwards, if it gets another one, and how.
    pub(crate) retype: Option<(String, Using)>,
    /// Its default afterwards, if the file says so.
    pub(crate) default: Option<String>,
}

/// What becomes a plan.
#[derive(Debug)]
pub(crate) struct Wishes {
    pub(crate) table: Named,
    /// One for each column.
    pub(crate) columns: Vec<Wish>,
    pub(crate) notes: Vec<Note>,
}

/// Returns what the migration `name` does. `there` are the files of its directory, and `folder` is the one that this is in.
///
/// # Errors
/// Everything in the file that is not understood or does something else, with at least one item.
pub(crate) fn read(name: &str, text: &str, there: &[File], folder: &str) -> Result<Migration, Vec<Trouble>> {
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut migration = Migration::default();
    let mut troubles = Vec::new();
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("sql") => sql::read(text, 1, &mut migration, &mut troubles),
        Some("rb") => rails::read(text, &mut migration, &mut troubles),
        Some("py") if django::is_django(text) => {
            django::read((name, text), (there, folder), &mut migration, &mut troubles);
        }
        Some("py") => alembic::read(text, &mut migration, &mut troubles),
        _ => troubles.push(Trouble::new(
            1,
            "the file's name does not tell what reads it",
            "name a file that ends in .sql (sqlx, Flyway, Prisma, Drizzle, Liquibase's formatted SQL), .py (Alembic, Django) or .rb \
             (Rails); for another tool, `crossfade new` writes a plan",
        )),
    }
    if troubles.is_empty() && migration.steps.is_empty() {
        let help = "name the migration that renames a column or changes its type";
        troubles.push(Trouble::new(1, "nothing in it renames a column or changes its type", help));
    }
    if troubles.is_empty() { Ok(migration) } else { Err(in_order(troubles)) }
}

/// Returns the first problems, by their lines.
fn in_order(mut troubles: Vec<Trouble>) -> Vec<Trouble> {
    troubles.sort_by_key(|trouble| trouble.line);
    let more = troubles.len().saturating_sub(TOLD);
    troubles.truncate(TOLD);
    if let Some(last) = troubles.last_mut().filter(|_| more > 0) {
        last.help = format!("{}. There are {more} more such lines", last.help);
    }
    troubles
}

impl Named {
    /// Returns whether both may be the same table.
    fn may_be(&self, other: &Self) -> bool {
        let one_schema = match (&self.schema, &other.schema) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        self.name == other.name && one_schema
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = |part: &str| if part.contains(['.', '"']) { quote_ident(part) } else { part.to_owned() };
        if let Some(schema) = &self.schema {
            write!(f, "{}.", part(schema))?;
        }
        f.write_str(&part(&self.name))
    }
}

impl Migration {
    /// Returns what it does to the columns of its table, or to those of `only`.
    ///
    /// # Errors
    /// There are several tables or none that is known; a column's changes that no plan can say.
    pub(crate) fn wishes(mut self, only: Option<Named>) -> Result<Wishes, Vec<Trouble>> {
        if let Some(step) = self.steps.get(MOST) {
            let message = format!("here is the change number {} of a column, and no plan has so many", MOST + 1);
            return Err(vec![Trouble::new(step.line, message, "split the file")]);
        }
        let table = match only {
            Some(only) => self.keep(only)?,
            None => self.table()?,
        };
        let mut columns: Vec<Wish> = Vec::new();
        let mut troubles = Vec::new();
        for Step { line, what, .. } in self.steps {
            if let Err(trouble) = apply(&mut columns, line, what) {
                troubles.push(trouble);
            }
        }
        for wish in columns.iter().filter(|wish| wish.retype.is_none() && wish.default.is_some()) {
            troubles.push(Trouble::new(
                wish.line,
                format!("the default of column {} changes, and not its type", wish.column),
                OTHER_HELP,
            ));
        }
        columns.retain(|wish| wish.retype.is_some() || wish.name != wish.column);
        if columns.is_empty() && troubles.is_empty() {
            let help = "a file that goes there and back again, such as one with its way back, has to be split: keep the way there";
            troubles.push(Trouble::new(1, "the file leaves every column as it was", help));
        }
        if troubles.is_empty() { Ok(Wishes { table, columns, notes: self.notes }) } else { Err(in_order(troubles)) }
    }

    /// Returns the only table.
    fn table(&self) -> Result<Named, Vec<Trouble>> {
        let mut tables: Vec<(usize, Named)> = Vec::new();
        for step in &self.steps {
            let named = match &step.table {
                Table::Named(named) => named,
                Table::OfModel(model) => {
                    return Err(vec![Trouble::new(
                        step.line,
                        format!("no migration in the directory tells the table of the model {model}"),
                        "name the table with --table SCHEMA.TABLE",
                    )]);
                }
            };
            match tables.iter_mut().find(|(_, other)| other.may_be(named)) {
                Some((_, other)) if other.schema.is_none() => *other = named.clone(),
                Some(_) => {}
                None => tables.push((step.line, named.clone())),
            }
        }
        match tables.as_slice() {
            [(_, only)] => Ok(only.clone()),
            [_, (line, second), ..] => {
                let all: Vec<_> = tables.iter().map(|(_, table)| table.to_string()).collect();
                Err(vec![Trouble::new(
                    *line,
                    format!("{second} is another table: the file changes {}, and a plan is about one", all.join(", ")),
                    "write a plan for each: --table names the table whose changes are taken",
                )])
            }
            [] => Err(vec![Trouble::new(1, "the file names no table", "name it with --table SCHEMA.TABLE")]),
        }
    }

    /// Leaves out the steps of other tables, with a note for each.
    fn keep(&mut self, only: Named) -> Result<Named, Vec<Trouble>> {
        let models: Vec<_> = self
            .steps
            .iter()
            .filter_map(|step| match &step.table {
                Table::OfModel(model) => Some((step.line, model)),
                Table::Named(_) => None,
            })
            .collect();
        if let Some((line, other)) = models.iter().find(|(_, model)| *model != models[0].1) {
            return Err(vec![Trouble::new(
                *line,
                format!("the tables of the models {} and {other} are both unknown", models[0].1),
                "keep a copy of the file in the directory of the app's migrations, which tell the tables",
            )]);
        }
        let is_it = |step: &Step| match &step.table {
            Table::Named(named) => named.may_be(&only),
            Table::OfModel(_) => true,
        };
        let (kept, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.steps).into_iter().partition(is_it);
        if kept.is_empty() {
            let all: Vec<_> = others.iter().filter_map(Step::named).map(ToString::to_string).collect();
            let line = others.first().map_or(1, |step| step.line);
            return Err(vec![Trouble::new(
                line,
                format!("the file changes {}, and not {only}", all.first().map_or("no table", |name| name)),
                "name a table that the file changes with --table",
            )]);
        }
        for step in others {
            let table = step.named().map(ToString::to_string).unwrap_or_default();
            self.notes.push(Note { line: step.line, message: format!("left out, because it is about {table}") });
        }
        let schema = kept.iter().filter_map(Step::named).find_map(|named| named.schema.clone());
        self.steps = kept;
        Ok(Named { schema: only.schema.or(schema), name: only.name })
    }
}

impl Step {
    fn named(&self) -> Option<&Named> {
        if let Table::Named(named) = &self.table { Some(named) } else { None }
    }
}

/// What to do with what is no rename and no change of type.
const OTHER_HELP: &str =
    "only renames and changes of type become a plan: take it out of the file, and keep it in a migration of its own";

fn apply(columns: &mut Vec<Wish>, line: usize, what: What) -> Result<(), Trouble> {
    // Expressions see the names of their moment, and a plan those from before.
    let renamed: Vec<(String, String)> =
        columns.iter().filter(|wish| wish.name != wish.column).map(|w| (w.name.clone(), w.column.clone())).collect();
    let (What::Rename { column, .. } | What::Type { column, .. } | What::Default { column, .. }) = &what;
    let place = columns.iter().position(|wish| wish.name == *column).unwrap_or_else(|| {
        let (column, name) = (column.clone(), column.clone());
        columns.push(Wish { line, column, name, retype: None, default: None });
        columns.len() - 1
    });
    if columns.iter().any(|wish| wish.column == *column && wish.name != *column) && columns[place].column == *column {
        let message = format!("there is no column {column} any more: the file has renamed it");
        return Err(Trouble::new(line, message, "check the names in the file"));
    }
    match what {
        What::Rename { to, .. } => columns[place].name = to,
        What::Type { to, using, column } => {
            if columns[place].retype.is_some() {
                let message = format!("the type of column {column} changes a second time");
                return Err(Trouble::new(
                    line,
                    message,
                    "keep the last of the two, with an expression from the first type",
                ));
            }
            let using = match using {
                Using::Expression(sql) => expression(&sql, (&column, &to), &renamed),
                other => other,
            };
            columns[place].retype = Some((to, using));
        }
        What::Default { sql, .. } => columns[place].default = Some(sql.unwrap_or_else(|| "NULL".to_owned())),
    }
    Ok(())
}

/// Returns how an expression of `USING` converts `column` to the type `to`, with the names that columns had before the file.
fn expression(sql: &str, (column, to): (&str, &str), renamed: &[(String, String)]) -> Using {
    let all = tokens(sql);
    let mut rest = all.as_slice();
    // In parentheses that hold all of it, it is the same. People write one pair, and `crossfade export` another.
    for _ in 0..2 {
        if rest.len() > 2 && sql::closing(rest, 0) == Some(rest.len() - 1) {
            rest = &rest[1..rest.len() - 1];
        }
    }
    let words = |text: &str| tokens(text).iter().map(|token| token.raw.to_ascii_lowercase()).collect::<Vec<_>>();
    // PostgreSQL writes a name that it casts in parentheses.
    let (name, behind) = match rest {
        [open, name, close, behind @ ..] if open.is('(') && close.is(')') => (name.name(), behind),
        [name, behind @ ..] => (name.name(), behind),
        [] => (None, rest),
    };
    let is_cast = name == Some(column)
        && matches!(behind, [first, second, of_type @ ..] if first.is(':') && second.is(':')
            && of_type.iter().map(|token| token.raw.to_ascii_lowercase()).eq(words(to)));
    let mut text = String::new();
    let mut before = None;
    for (at, token) in rest.iter().enumerate() {
        if before.is_some_and(|end| end < token.at) {
            text.push(' ');
        }
        before = Some(token.end());
        let is = |at: Option<usize>, signs: &[char]| {
            at.and_then(|at| rest.get(at)).is_some_and(|token| signs.iter().any(|sign| token.is(*sign)))
        };
        // The name of a function, a type, or a schema is none of a column.
        let is_column = !is(Some(at + 1), &['(', '.']) && !is(at.checked_sub(1), &[':']);
        match renamed.iter().find(|(name, _)| is_column && token.name() == Some(name)) {
            Some((_, column)) => text.push_str(&quote_ident(column)),
            None => text.push_str(token.raw),
        }
    }
    if is_cast { Using::Cast(text) } else { Using::Expression(text) }
}
