//! The JSON Schema of plan files, and the ways to look things up in it.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::file::PlanFile;

/// The schema, made once.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = schemars::schema_for!(PlanFile).to_value();
    tidy(&mut schema);
    schema
});

/// Returns the JSON Schema of plan files, made from the types that are parsed. Editors complete plans with it, and
/// [`super::parse`] finds all the problems of structure with it.
pub fn json_schema() -> Value {
    SCHEMA.clone()
}

/// Removes what schemars says about `Option` (a key may be left out, but not be null) and about integer sizes.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(kept) = only_alternative(map) {
                map.remove("anyOf");
                map.extend(kept);
            }
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if map.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                map.remove("format");
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Returns what is left of `anyOf: [X, null]`.
fn only_alternative(map: &Map<String, Value>) -> Option<Map<String, Value>> {
    let [Value::Object(kept), null] = map.get("anyOf")?.as_array()?.as_slice() else { return None };
    (null.get("type")? == "null").then(|| kept.clone())
}

/// A part of the schema: what is expected at one place of a plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a>(Option<&'a Value>);

impl Expected<'static> {
    pub(super) fn plan() -> Self {
        Self(Some(&SCHEMA))
    }

    /// Returns what is expected at the JSON pointer `path`.
    pub(super) fn at(path: &str) -> Self {
        path.split('/').skip(1).fold(Self::plan(), |at, segment| match at.kind() {
            Some("array") => at.item(),
            _ => at.key(&unescape(segment)),
        })
    }
}

impl<'a> Expected<'a> {
    /// Returns what is expected under `key` of this map.
    pub(super) fn key(self, key: &str) -> Self {
        Self(self.properties().and_then(|map| map.get(key))).resolved()
    }

    /// Returns what is expected in this list.
    pub(super) fn item(self) -> Self {
        Self(self.0.and_then(|schema| schema.get("items"))).resolved()
    }

    fn resolved(self) -> Self {
        let target = || {
            let name = self.0?.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?;
            SCHEMA.get("$defs")?.get(name)
        };
        target().map_or(self, |schema| Self(Some(schema)))
    }

    fn properties(self) -> Option<&'a Map<String, Value>> {
        self.0?.get("properties")?.as_object()
    }

    /// Returns the keys this map may have.
    pub(super) fn keys(self) -> Vec<&'a str> {
        self.properties().map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    /// Returns whether this map must have `key`.
    pub(super) fn requires(self, key: &str) -> bool {
        let required = self.0.and_then(|schema| schema.get("required")).and_then(Value::as_array);
        required.is_some_and(|keys| keys.iter().any(|required| required == key))
    }

    /// Returns the words allowed here, where only some are.
    pub(super) fn words(self) -> Vec<&'a str> {
        let list = |schema: &'a Value| schema.get("enum").and_then(Value::as_array).into_iter().flatten();
        let alternatives = |schema: &'a Value| {
            let each = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
            each.flat_map(move |one| list(one).chain(one.get("const")))
        };
        self.0
            .into_iter()
            .flat_map(|schema| list(schema).chain(alternatives(schema)))
            .filter_map(Value::as_str)
            .collect()
    }

    /// Returns the JSON type expected here.
    pub(super) fn kind(self) -> Option<&'a str> {
        self.0?.get("type").and_then(Value::as_str).or_else(|| (!self.words().is_empty()).then_some("string"))
    }

    /// Returns the schema keyword's value.
    pub(super) fn keyword(self, keyword: &str) -> Option<&'a Value> {
        self.0?.get(keyword)
    }
}

/// Returns a segment of a JSON pointer as the key it stands for.
pub(super) fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// Returns `key` as a segment of a JSON pointer.
pub(super) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
