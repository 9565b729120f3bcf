//! The JSON Schema of plan files.

use serde_json::{Map as Object, Value, json};

use super::Word;
use super::form::{Form, Key, Map};
use super::settings::{Kind, Setting};
use super::structure::plan_form;

/// Returns the JSON Schema of plan files, made from the description that [`super::parse`] follows. Editors complete plans
/// with it.
pub fn json_schema() -> Value {
    let mut schema = Object::new();
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".to_owned(), "crossfade plan".into());
    let about = "A plan for crossfade: changes of one table that are made while the table is in use.";
    schema.insert("description".to_owned(), about.into());
    schema.append(&mut form(plan_form()));
    Value::Object(schema)
}

fn form(form: &Form) -> Object<String, Value> {
    let schema = match form {
        Form::Map(map) => return object(map),
        Form::List { of, least } => {
            let mut list = from(json!({ "type": "array", "items": self::form(of) }));
            if *least > 0 {
                list.insert("minItems".to_owned(), (*least).into());
            }
            return list;
        }
        Form::Text => json!({ "type": "string" }),
        Form::Whole { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Form::Truth => json!({ "type": "boolean" }),
        Form::Version => json!({ "type": "integer", "const": 1 }),
        Form::Words(known) => words(known),
        Form::WordOrNames(known) => {
            let mut schema = words(known);
            if let Some(Value::Array(all)) = schema.get_mut("oneOf") {
                all.push(json!({ "type": "array", "minItems": 1, "items": { "type": "string" }, "description": "Those of these names." }));
            }
            schema
        }
        Form::WordOrMap(known, map) => {
            let mut schema = words(known);
            if let Some(Value::Array(all)) = schema.get_mut("oneOf") {
                all.push(Value::Object(object(map)));
            }
            schema
        }
        Form::Setting(setting) => self::setting(setting),
    };
    from(schema)
}

fn object(map: &Map) -> Object<String, Value> {
    let properties: Object<String, Value> =
        map.keys.iter().map(|key| (key.name.to_owned(), Value::Object(property(key)))).collect();
    let required: Vec<_> = map.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = from(json!({ "type": "object", "additionalProperties": false, "properties": properties }));
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    if map.one {
        schema.append(&mut from(json!({ "minProperties": 1, "maxProperties": 1 })));
    }
    schema
}

fn property(key: &Key) -> Object<String, Value> {
    let mut schema = from(json!({ "description": key.about }));
    schema.append(&mut form(&key.form));
    if let Some(default) = key.default {
        schema.insert("default".to_owned(), typed(&key.form, default));
    }
    if let Some(example) = key.example {
        schema.insert("examples".to_owned(), json!([typed(&key.form, example)]));
    }
    schema
}

/// Returns a text of the description as the value that stands in a plan.
fn typed(form: &Form, text: &str) -> Value {
    match form {
        Form::Truth => (text == "true").into(),
        Form::Whole { .. } => text.parse::<i64>().map_or(text.into(), Value::from),
        Form::Setting(setting) if setting.kind == Kind::Truth => (text == "true").into(),
        Form::Setting(setting) if setting.kind.is_number() => text.parse::<i64>().map_or(text.into(), Value::from),
        _ => text.into(),
    }
}

fn words(words: &[Word]) -> Value {
    let one = |word: &Word| json!({ "type": "string", "const": word.word, "description": word.about });
    json!({ "oneOf": words.iter().map(one).collect::<Vec<_>>() })
}

fn setting(setting: &Setting) -> Value {
    let mut schema = match setting.kind {
        Kind::Time { .. } | Kind::Data | Kind::Sql => json!({ "type": "string" }),
        Kind::Whole { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Number => json!({ "type": "number" }),
        Kind::Truth => json!({ "type": "boolean" }),
        Kind::Words(known) => words(known),
    };
    if let (true, Some(off)) = (setting.kind.is_number(), setting.off) {
        // The bounds are for numbers, the pattern is for text.
        schema["type"] = json!([schema["type"], "string"]);
        schema["pattern"] = format!("^{off}$").into();
    }
    schema
}

fn from(value: Value) -> Object<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Object::new(),
    }
}
