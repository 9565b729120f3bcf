//! Django: the operations of a migration. The table and the columns of its models come from the migrations before it.

use std::collections::BTreeSet;

use super::alembic::{Arguments, lines, texts};
use super::script::{Argument, Call, Language, Token, call, list, number, shown, text, tokens};
use super::{Migration, Named, Note, OTHER_HELP, Step, Table, Trouble, Using, What, sql};
use crate::export::File;
use crate::export::django::{Stored, app_of, stored};

/// Operations in operations are read to this depth.
const DEEPEST: usize = 4;

/// Arguments of a field that change more in the database than its type.
const OTHERS: [&str; 9] = [
    "null",
    "unique",
    "db_index",
    "primary_key",
    "db_column",
    "db_default",
    "db_collation",
    "db_comment",
    "db_tablespace",
];

/// Returns whether a file of Python is a migration of Django.
pub(super) fn is_django(text: &str) -> bool {
    text.contains("migrations.Migration")
}

pub(super) fn read(
    (name, text): (&str, &str),
    (there, folder): (&[File], &str),
    migration: &mut Migration,
    troubles: &mut Vec<Trouble>,
) {
    let all = match tokens(text, Language::Python) {
        Ok(all) => all,
        Err(trouble) => return troubles.push(trouble),
    };
    let lines = lines(&all);
    let about = |line: &&[Token<'_>]| line.iter().any(|token| token.is_word("operations"));
    let mut found = lines.iter().map(|line| line.tokens).filter(about);
    let operations = match (found.next(), found.next()) {
        (Some([name, equals, value @ ..]), None) if name.is_word("operations") && equals.is('=') => list(value),
        _ => None,
    };
    let Some(operations) = operations else {
        let help = "write `operations = [...]` once, as `makemigrations` does";
        return troubles.push(Trouble::new(1, "the operations of the migration are not one list", help));
    };
    let is_before =
        |file: &&File| file.path.strip_suffix(".py").is_some() && !file.path.contains('/') && file.path.as_str() < name;
    let before: Vec<&File> = there.iter().filter(is_before).collect();
    let names: BTreeSet<&str> = before.iter().filter_map(|file| file.path.strip_suffix(".py")).collect();
    let app = app_of(text, &names).unwrap_or_else(|| folder.to_owned());
    let mut reader = Reader { before, app, renamed: Vec::new(), migration, troubles };
    reader.operations(operations, 1);
}

struct Reader<'m> {
    /// The migrations that come before.
    before: Vec<&'m File>,
    app: String,
    /// What the file has renamed so far: model, new and old name of a field.
    renamed: Vec<(String, String, String)>,
    migration: &'m mut Migration,
    troubles: &'m mut Vec<Trouble>,
}

impl Reader<'_> {
    fn operations(&mut self, operations: Vec<&[Token<'_>]>, depth: usize) {
        for operation in operations {
            if let Err(trouble) = self.operation(operation, depth) {
                self.troubles.push(trouble);
            }
        }
    }

    fn operation(&mut self, operation: &[Token<'_>], depth: usize) -> Result<(), Trouble> {
        let line = operation[0].line;
        let other = || {
            Trouble::new(
                line,
                format!("{} neither renames a column nor changes its type", shown(operation)),
                OTHER_HELP,
            )
        };
        let call = call(operation, Language::Python).ok_or_else(other)?;
        match call.name.rsplit('.').next().unwrap_or_default() {
            "RenameField" => self.rename(&Arguments::of(&call, &["model_name", "old_name", "new_name"])?),
            "AlterField" => self.alter(&Arguments::of(&call, &["model_name", "name", "field", "preserve_default"])?),
            "RunSQL" => self.run_sql(&Arguments::of(&call, &["sql", "reverse_sql", "state_operations", "hints"])?),
            "SeparateDatabaseAndState" if depth < DEEPEST => {
                let arguments = Arguments::of(&call, &["database_operations", "state_operations"])?;
                // What is said of the state alone changes nothing in the database.
                let Some(value) = arguments.value("database_operations") else { return Ok(()) };
                let inner = list(value).ok_or_else(other)?;
                self.operations(inner, depth + 1);
                Ok(())
            }
            _ => Err(other()),
        }
    }

    fn run_sql(&mut self, arguments: &Arguments<'_, '_, '_>) -> Result<(), Trouble> {
        let line = arguments.call.line;
        let sql = arguments.value("sql").and_then(texts).ok_or_else(|| {
            Trouble::new(line, "the text of the statement is computed", "write it as one text, without parameters")
        })?;
        for (sql, first) in sql {
            sql::read(sql, first, self.migration, self.troubles);
        }
        Ok(())
    }

    /// Returns the table of a model, and one of its fields as it was before the file.
    fn stored(&self, model: &str, field: &str) -> (Table, Option<Stored>) {
        let before = self.before.iter().map(|file| file.text.as_str());
        match stored(before, &self.app, (model, field)) {
            Some((name, stored)) => (Table::Named(Named { schema: None, name }), stored),
            None => (Table::OfModel(model.to_ascii_lowercase()), None),
        }
    }

    fn note(&mut self, line: usize, message: String) {
        self.migration.notes.push(Note { line, message });
    }

    fn rename(&mut self, arguments: &Arguments<'_, '_, '_>) -> Result<(), Trouble> {
        let line = arguments.call.line;
        let [model, from, to] = ["model_name", "old_name", "new_name"].map(|key| arguments.text(key));
        let (model, from, to) = (model?.to_ascii_lowercase(), from?, to?);
        let original = self.original(&model, &from);
        let (table, stored) = self.stored(&model, &original);
        self.renamed.retain(|(other, name, _)| *other != model || *name != from);
        self.renamed.push((model, to.clone(), original.clone()));
        let (column, new) = if let Some(stored) = stored {
            let code = tokens(&stored.code, Language::Python)?;
            let field = call(&code, Language::Python);
            let own = field.as_ref().and_then(|field| of(field, "db_column")).is_some();
            if own {
                self.note(
                    line,
                    format!("the field {from} gets another name, and its column {} keeps its own", stored.column),
                );
                return Ok(());
            }
            let end = if stored.column == format!("{original}_id") { "_id" } else { "" };
            (format!("{from}{end}"), format!("{to}{end}"))
        } else {
            self.note(line, format!("the field {from} is taken to be in the column {from}: no migration before tells"));
            (from, to)
        };
        self.migration.steps.push(Step { line, table, what: What::Rename { column, to: new } });
        Ok(())
    }

    /// Returns the name that a field had before the file.
    fn original(&self, model: &str, field: &str) -> String {
        let found = self.renamed.iter().find(|(other, name, _)| other == model && name == field);
        found.map_or(field, |(_, _, original)| original).to_owned()
    }

    fn alter(&mut self, arguments: &Arguments<'_, '_, '_>) -> Result<(), Trouble> {
        let line = arguments.call.line;
        let (model, name) = (arguments.text("model_name")?.to_ascii_lowercase(), arguments.text("name")?);
        let value = arguments.value("field").unwrap_or_default();
        let unknown = || {
            Trouble::new(
                line,
                format!("which type of PostgreSQL {} has cannot be told", shown(value)),
                "write the plan with `crossfade new type TABLE.COLUMN TYPE`, with the type as in CREATE TABLE",
            )
        };
        let field = call(value, Language::Python).ok_or_else(unknown)?;
        let to = type_of(&field).ok_or_else(unknown)?;
        let original = self.original(&model, &name);
        let (table, stored) = self.stored(&model, &original);
        let Some(stored) = stored else {
            let given: Vec<_> = OTHERS.into_iter().filter(|key| of(&field, key).is_some()).collect();
            let also = if given.is_empty() {
                String::new()
            } else {
                format!(", nor whether {} changes too", given.join(", "))
            };
            let column =
                of(&field, "db_column").and_then(|value| text(value)).map_or_else(|| name.clone(), str::to_owned);
            self.note(
                line,
                format!(
                    "no migration before tells what the field {name} was{also}; its column is taken to be {column}"
                ),
            );
            let using = if class_of(&field) == "CharField" { Using::Assignment } else { cast(&column, &to) };
            self.migration.steps.push(Step { line, table, what: What::Type { column, to, using } });
            return Ok(());
        };
        let code = tokens(&stored.code, Language::Python)?;
        let was = call(&code, Language::Python).ok_or_else(unknown)?;
        if let Some(key) = OTHERS.into_iter().find(|key| !same(of(&was, key), of(&field, key))) {
            let message = format!("the field {name} changes `{key}`, and not its type alone");
            return Err(Trouble::new(
                line,
                message,
                "only its type becomes a plan: make the other change in a migration of its own",
            ));
        }
        if type_of(&was).as_ref() == Some(&to) {
            self.note(line, format!("the change of the field {name} changes nothing in the database"));
            return Ok(());
        }
        if type_of(&was).is_none() {
            let message =
                format!("which type of PostgreSQL the field {name} had, models.{}, cannot be told", class_of(&was));
            return Err(Trouble::new(line, message, "write the plan with `crossfade new type TABLE.COLUMN TYPE`"));
        }
        // As the file calls it at this moment.
        let column = if stored.column == original { name } else { stored.column };
        let using = if class_of(&was) == class_of(&field) { Using::Assignment } else { cast(&column, &to) };
        self.migration.steps.push(Step { line, table, what: What::Type { column, to, using } });
        Ok(())
    }
}

/// Returns how Django converts a column where the class of the field changes.
fn cast(column: &str, to: &str) -> Using {
    Using::Expression(format!("{}::{to}", crate::sql::quote_ident(column)))
}

/// Returns an argument of a field.
fn of<'a, 't>(field: &Call<'a, 't>, key: &str) -> Option<&'a [Token<'t>]> {
    field.arguments.iter().find(|argument| argument.key.as_deref() == Some(key)).map(|argument| argument.value)
}

/// Returns whether two values are written alike. What is left out is False.
fn same(one: Option<&[Token<'_>]>, other: Option<&[Token<'_>]>) -> bool {
    let given = |value: Option<&[Token<'_>]>| {
        let value = value.unwrap_or_default();
        if matches!(value, [no] if no.is_word("False")) {
            String::new()
        } else {
            format!("{:?}", value.iter().map(|token| &token.what).collect::<Vec<_>>())
        }
    };
    let none = given(Some(&[]));
    let filled = |text: String| if text.is_empty() { none.clone() } else { text };
    filled(given(one)) == filled(given(other))
}

fn class_of(field: &Call<'_, '_>) -> String {
    field.name.rsplit('.').next().unwrap_or_default().to_owned()
}

/// Returns the type that the column of a field has.
fn type_of(field: &Call<'_, '_>) -> Option<String> {
    let numbered = |key: &str, default: Option<u32>| match of(field, key) {
        Some(value) => number(value),
        None => default,
    };
    let has_places = field.arguments.iter().any(|Argument { key, .. }| key.is_none());
    let varchar = |length: Option<u32>| length.map(|length| format!("varchar({length})"));
    Some(match class_of(field).as_str() {
        // A name for people may stand first.
        _ if has_places && field.arguments.first().is_none_or(|first| text(first.value).is_none()) => return None,
        "CharField" if of(field, "max_length").is_none() => "varchar".to_owned(),
        "CharField" => varchar(numbered("max_length", None))?,
        "EmailField" => varchar(numbered("max_length", Some(254)))?,
        "URLField" => varchar(numbered("max_length", Some(200)))?,
        "FileField" | "FilePathField" | "ImageField" => varchar(numbered("max_length", Some(100)))?,
        "DecimalField" => {
            format!("numeric({}, {})", numbered("max_digits", None)?, numbered("decimal_places", None)?)
        }
        "BigIntegerField" => "bigint".to_owned(),
        "BinaryField" => "bytea".to_owned(),
        "BooleanField" => "boolean".to_owned(),
        "DateField" => "date".to_owned(),
        "DateTimeField" => "timestamp with time zone".to_owned(),
        "DurationField" => "interval".to_owned(),
        "FloatField" => "double precision".to_owned(),
        "GenericIPAddressField" => "inet".to_owned(),
        "IntegerField" => "integer".to_owned(),
        "JSONField" => "jsonb".to_owned(),
        "SmallIntegerField" => "smallint".to_owned(),
        "TextField" => "text".to_owned(),
        "TimeField" => "time".to_owned(),
        "UUIDField" => "uuid".to_owned(),
        _ => return None,
    })
}
