//! Django: a migration above the only leaf of the app, whose state operations say to Django what the block does to the table.

mod fields;
mod models;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use self::models::{Model, models};
use super::numbered::{indented, leading_digits};
use super::python::{assigned, list, string};
use super::{Alter, File, Migration, NoExport, guard};

/// How many digits the number of a migration has.
const DIGITS: usize = 4;

pub(super) fn file(migration: &Migration, there: &[File], folder: &str) -> Result<File, NoExport> {
    let slug = migration.slug();
    let rest = format!("_{slug}");
    let mut files: Vec<(&str, &File)> =
        there.iter().filter_map(|file| Some((file.path.strip_suffix(".py")?, file))).collect();
    files.retain(|(name, _)| !name.contains('/') && *name != "__init__");
    files.sort_unstable_by_key(|(name, _)| *name);
    let own = files.iter().find(|(name, _)| name[leading_digits(name).len()..] == *rest).copied();
    files.retain(|(name, _)| own.is_none_or(|(own, _)| *name != own));
    let names: BTreeSet<&str> = files.iter().map(|(name, _)| *name).collect();
    let dependencies: Vec<_> = files.iter().flat_map(|(_, file)| dependencies(&file.text)).collect();
    let (app, below) = match own {
        Some((_, file)) => match self::dependencies(&file.text).into_iter().find(|(_, name)| names.contains(&**name)) {
            Some(dependency) => dependency,
            None => return Err(no_table(migration)),
        },
        None => leaf(&names, &dependencies)?,
    };
    let before = files.iter().map(|(_, file)| file.text.as_str());
    // An app is called as its directory, unless a dependency says another name.
    let app = app.unwrap_or_else(|| folder.to_owned());
    let models = models(before, &app);
    let model = |of: &Migration| models.iter().find(|model| model.table == of.table.name).ok_or_else(|| no_table(of));
    let tables = migration.all().map(|of| Ok((of, model(of)?))).collect::<Result<Vec<_>, _>>()?;
    let number = || {
        let last = names.iter().filter_map(|name| leading_digits(name).parse::<u64>().ok()).max();
        format!("{:0DIGITS$}{rest}", last.unwrap_or_default() + 1)
    };
    let name = own.map_or_else(number, |(name, _)| name.to_owned());
    text(migration, &tables, &app, &below).map(|text| File { path: format!("{name}.py"), text })
}

/// A field of a model, as migrations leave it.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// The column that it is in.
    pub(crate) column: String,
    /// Its class and arguments, as code.
    pub(crate) code: String,
}

/// Returns the table of a model that the migrations of `app` in `before` leave, and its field of this name.
pub(crate) fn stored<'a>(
    before: impl Iterator<Item = &'a str>,
    app: &str,
    (model, field): (&str, &str),
) -> Option<(String, Option<Stored>)> {
    let model = models(before, app).into_iter().find(|other| other.name.eq_ignore_ascii_case(model))?;
    let stored = model.field_called(field).map(|field| Stored { column: field.column(), code: field.code.clone() });
    Some((model.table, stored))
}

/// Returns the app that the migration `text` says it is of: that of a dependency on one of `names`.
pub(crate) fn app_of(text: &str, names: &BTreeSet<&str>) -> Option<String> {
    dependencies(text).into_iter().find(|(_, name)| names.contains(&**name)).and_then(|(app, _)| app)
}

fn no_table(migration: &Migration) -> NoExport {
    NoExport::new(
        format!("no migration there creates a model with the table {}", migration.table.name),
        "name the directory `migrations` of the app whose model it is; the export needs the model's name",
    )
}

/// Returns the dependencies of a migration on others, as app and name.
fn dependencies(text: &str) -> Vec<(Option<String>, String)> {
    let pairs = list(assigned(text, "dependencies").unwrap_or_default());
    pairs
        .into_iter()
        .filter_map(|pair| match list(pair).as_slice() {
            [app, name] => Some((Some(string(app)?), string(name)?)),
            _ => None,
        })
        .collect()
}

/// Returns the app, where a dependency tells it, and the migration that no other is above.
fn leaf(
    names: &BTreeSet<&str>,
    dependencies: &[(Option<String>, String)],
) -> Result<(Option<String>, String), NoExport> {
    let own: Vec<_> = dependencies.iter().filter(|(_, name)| names.contains(&**name)).collect();
    let leaves: Vec<_> = names.iter().filter(|name| !own.iter().any(|(_, below)| below == *name)).collect();
    match leaves.as_slice() {
        [] => Err(NoExport::new("there are no migrations of Django", "name the directory `migrations` of an app")),
        [leaf] => Ok((own.first().and_then(|(app, _)| app.clone()), (**leaf).to_owned())),
        several => {
            let several: Vec<_> = several.iter().map(|name| **name).collect();
            let message = format!("the migrations there have {} leaves: {}", several.len(), several.join(", "));
            Err(NoExport::new(message, "join them first: python manage.py makemigrations --merge"))
        }
    }
}

fn text(migration: &Migration, tables: &[(&Migration, &Model)], app: &str, below: &str) -> Result<String, NoExport> {
    let mut operations = String::new();
    let mut uses_models = false;
    for (of, model) in tables {
        for alter in &of.alters {
            // The type of a ForeignKey follows that of the key, which changes with it.
            let follows = |column: &str| model.field_of(column).is_ok_and(models::Field::refers);
            if tables.len() > 1
                && matches!(alter, Alter::Retype { column, name, .. } if column == name && follows(column))
            {
                continue;
            }
            for operation in state(alter, model)? {
                uses_models |= operation.contains("models.");
                let _ = writeln!(operations, "                {operation},");
            }
        }
    }
    let import = if uses_models { "migrations, models" } else { "migrations" };
    let block = indented(&guard::sql(migration), 20);
    Ok(format!(
        "from django.db import {import}\n\n\nclass Migration(migrations.Migration):\n    dependencies = [(\"{app}\", \"{below}\")]\n\n    operations = [\n        \
         migrations.SeparateDatabaseAndState(\n            database_operations=[\n                migrations.RunSQL(\n                    \"\"\"\n{block}\
         {:20}\"\"\"\n                ),\n            ],\n            state_operations=[\n{operations}            ],\n        ),\n    ]\n",
        ""
    ))
}

/// Returns what Django has to know of a change, as code.
fn state(alter: &Alter, model: &Model) -> Result<Vec<String>, NoExport> {
    let of = format!("model_name=\"{}\"", model.name.to_lowercase());
    match alter {
        Alter::Rename { from, to } => {
            let field = model.field_of(from)?;
            Ok(vec![rename(&of, &field.name, &field.renamed(to)?)])
        }
        Alter::Retype { column, to, not_null, name, .. } => {
            let field = model.field_of(column)?;
            let code = fields::field(to, *not_null, Some(field))?;
            let mut operations =
                vec![format!("migrations.AlterField({of}, name=\"{}\", field={code})", plain(&field.name)?)];
            if name != column {
                operations.push(rename(&of, &field.name, &field.renamed(name)?));
            }
            Ok(operations)
        }
        Alter::Add { name, type_name, default, not_null, .. } => {
            if default.is_some() {
                return Err(NoExport::new(
                    format!("cannot export column {name} to Django: what its default is called there cannot be told"),
                    "let `makemigrations` write the migration, and put its operation beside the block of another export",
                ));
            }
            let code = fields::field(type_name, *not_null, None)?;
            Ok(vec![format!("migrations.AddField({of}, name=\"{}\", field={code})", plain(name)?)])
        }
        Alter::Drop { name } => {
            let field = &model.field_of(name)?.name;
            Ok(vec![format!("migrations.RemoveField({of}, name=\"{field}\")")])
        }
    }
}

fn rename(of: &str, from: &str, to: &str) -> String {
    format!("migrations.RenameField({of}, old_name=\"{from}\", new_name=\"{to}\")")
}

/// Returns the name if it can be that of a field.
fn plain(name: &str) -> Result<&str, NoExport> {
    let fits = |c: char| c.is_alphanumeric() || c == '_';
    if name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit() || c == '_') && !name.contains("__") {
        return Ok(name);
    }
    Err(NoExport::new(
        format!("cannot export column {name} to Django: no field can have this name"),
        "write the state operations by hand, with db_column",
    ))
}
