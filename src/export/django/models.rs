//! The models of an app, as its migrations leave them.

use super::super::NoExport;
use super::super::python::{Call, calls, keyword, list, string};
use super::plain;

/// A model.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) table: String,
    fields: Vec<Field>,
}

/// A field of a model.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    /// The class and its arguments, as code.
    pub(super) code: String,
}

impl Model {
    /// Returns the field of this name.
    pub(super) fn field_called(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Returns the field that is in `column`.
    pub(super) fn field_of(&self, column: &str) -> Result<&Field, NoExport> {
        self.fields.iter().find(|field| field.column() == column).ok_or_else(|| {
            NoExport::new(
                format!("no migration there gives the model {} a field in the column {column}", self.name),
                "name the directory of the app that has it, or write the state operations by hand",
            )
        })
    }
}

impl Field {
    /// Returns the arguments of its class.
    pub(super) fn arguments(&self) -> &str {
        let inner = self.code.split_once('(').map_or("", |(_, after)| after);
        inner.trim_end().strip_suffix(')').unwrap_or(inner)
    }

    /// Returns whether it refers to a row of another table, in a column that ends in `_id`.
    pub(super) fn refers(&self) -> bool {
        let class = self.code.split('(').next().unwrap_or_default();
        class.ends_with("ForeignKey") || class.ends_with("OneToOneField")
    }

    fn own_column(&self) -> Option<String> {
        keyword(self.arguments(), "db_column").and_then(string)
    }

    pub(super) fn column(&self) -> String {
        let own = || if self.refers() { format!("{}_id", self.name) } else { self.name.clone() };
        self.own_column().unwrap_or_else(own)
    }

    /// Returns its name once its column is called `to`.
    pub(super) fn renamed(&self, to: &str) -> Result<String, NoExport> {
        let name = if self.refers() { to.strip_suffix("_id") } else { Some(to) };
        match name.filter(|_| self.own_column().is_none()) {
            Some(name) => plain(name).map(str::to_owned),
            None => Err(NoExport::new(
                format!(
                    "the field {} is not called as its column, so its name after the rename cannot be told",
                    self.name
                ),
                format!("write the state operation by hand: AlterField with db_column=\"{to}\""),
            )),
        }
    }
}

/// The operations that change what models there are.
const OPERATIONS: [&str; 8] = [
    "CreateModel",
    "DeleteModel",
    "RenameModel",
    "AlterModelTable",
    "AddField",
    "RemoveField",
    "RenameField",
    "AlterField",
];

/// Returns the models that migrations of `app` leave, in the order of their application.
pub(super) fn models<'a>(texts: impl Iterator<Item = &'a str>, app: &str) -> Vec<Model> {
    let mut models = Vec::new();
    for call in texts.flat_map(|text| calls(text, &OPERATIONS)) {
        apply(&call, app, &mut models);
    }
    models
}

fn apply(call: &Call<'_>, app: &str, models: &mut Vec<Model>) {
    let get = |key: &str| keyword(call.arguments, key).and_then(string);
    let named = |model: &Model, name: Option<String>| name.is_some_and(|name| name.eq_ignore_ascii_case(&model.name));
    if call.name == "CreateModel" {
        models.extend(get("name").map(|name| created(call.arguments, name, app)));
        return;
    }
    let key = match call.name {
        "DeleteModel" | "AlterModelTable" => "name",
        "RenameModel" => "old_name",
        _ => "model_name",
    };
    let Some(at) = models.iter().position(|model| named(model, get(key))) else { return };
    let model = &mut models[at];
    match call.name {
        "DeleteModel" => drop(models.remove(at)),
        "AlterModelTable" => {
            model.table = get("table").unwrap_or_else(|| default_table(app, &model.name));
        }
        "RenameModel" => {
            let Some(name) = get("new_name") else { return };
            if model.table == default_table(app, &model.name) {
                model.table = default_table(app, &name);
            }
            model.name = name;
        }
        "RenameField" => {
            let (from, to) = (get("old_name"), get("new_name"));
            let field = model.fields.iter_mut().find(|field| Some(&field.name) == from.as_ref());
            if let (Some(field), Some(to)) = (field, to) {
                field.name = to;
            }
        }
        word => {
            let Some(name) = get("name") else { return };
            let place = model.fields.iter().position(|field| field.name == name);
            if word != "AddField"
                && let Some(place) = place
            {
                model.fields.remove(place);
            }
            if word != "RemoveField"
                && let Some(code) = keyword(call.arguments, "field")
            {
                model.fields.push(Field { name, code: code.to_owned() });
            }
        }
    }
}

fn created(arguments: &str, name: String, app: &str) -> Model {
    let field = |pair: &str| match list(pair).as_slice() {
        [name, code] => Some(Field { name: string(name)?, code: (*code).to_owned() }),
        _ => None,
    };
    let fields = list(keyword(arguments, "fields").unwrap_or_default()).into_iter().filter_map(field).collect();
    let option = |entry: &str| {
        let (key, value) = entry.split_once(':')?;
        (string(key.trim())? == "db_table").then(|| string(value.trim()))?
    };
    let own = list(keyword(arguments, "options").unwrap_or_default()).into_iter().find_map(option);
    // With a schema, Django's users write `schema"."table`.
    let own = own.map(|table| table.rsplit(['"', '.']).find(|part| !part.is_empty()).unwrap_or_default().to_owned());
    let table = own.unwrap_or_else(|| default_table(app, &name));
    Model { name, table, fields }
}

fn default_table(app: &str, name: &str) -> String {
    format!("{app}_{}", name.to_lowercase())
}
