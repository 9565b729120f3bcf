//! Holds a plan file against the schema: keys, kinds of value, words and numbers.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::LazyLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value};

use super::diagnostic::{Code, Problem};
use super::file::PlanFile;
use super::schema::{Expected, escape, json_schema, unescape};
use super::suggest;
use super::yaml::{Entry, Kind, Node};

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(&json_schema()).expect("the schema of plan files is a valid schema"));

/// Kinds of change that are known by name but not built yet.
const LATER: [&str; 5] = ["add_column", "drop_column", "add_index", "set_not_null", "add_constraint"];

/// A plan file whose parts have the right form. Parts that have not are left out.
pub(super) struct Typed {
    pub(super) file: PlanFile,
    pub(super) places: Places,
}

/// Where each value stands, by JSON pointer.
#[derive(Default)]
pub(super) struct Places(HashMap<String, Place>);

struct Place {
    key: Option<Range<usize>>,
    value: Range<usize>,
    /// The text as it was written, of a scalar.
    text: Option<String>,
    /// Whether the value stands between `{` and `}`.
    flow: bool,
}

impl Places {
    /// Returns the place of the value at `path`, or of the nearest one around it.
    pub(super) fn value(&self, path: &str) -> Range<usize> {
        self.around(path).map(|place| place.value.clone()).unwrap_or_default()
    }

    /// Returns the place of the key whose value is at `path`; of the value, where it is an item of a list.
    pub(super) fn key(&self, path: &str) -> Range<usize> {
        self.around(path).map(|place| place.key.clone().unwrap_or(place.value.clone())).unwrap_or_default()
    }

    /// Returns the place of the value at `path`, if there is one.
    pub(super) fn exact(&self, path: &str) -> Option<Range<usize>> {
        self.0.get(path).map(|place| place.value.clone())
    }

    fn around(&self, path: &str) -> Option<&Place> {
        let mut path = path;
        loop {
            match self.0.get(path) {
                Some(place) => return Some(place),
                None => path = &path[..path.rfind('/')?],
            }
        }
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.0.get(path)?.text.as_deref()
    }
}

/// Returns what of the plan has the right form; everything else becomes a problem.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) -> Typed {
    let mut places = Places::default();
    let mut value = convert(root, None, Expected::plan(), &mut String::new(), &mut places);
    let mut wrong = Vec::new();
    for error in VALIDATOR.iter_errors(&value) {
        let path = error.instance_path().as_str().to_owned();
        explain(&error, &path, &places, problems);
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                wrong.extend(unexpected.iter().map(|key| format!("{path}/{}", escape(key))));
            }
            // What is there may still be looked at.
            ValidationErrorKind::Required { .. }
            | ValidationErrorKind::MinItems { .. }
            | ValidationErrorKind::MinProperties { .. }
            | ValidationErrorKind::MaxProperties { .. } => {}
            _ => wrong.push(path),
        }
    }
    for path in &wrong {
        remove(&mut value, path);
    }
    let file = serde_json::from_value(value).unwrap_or_else(|error| {
        // The schema is made from the types, so this is only reached if they ever disagree.
        problems.push(Problem::new(Code::WrongType, root.span.start..root.span.start, error.to_string()));
        PlanFile::default()
    });
    Typed { file, places }
}

/// Turns the tree into JSON: plain text becomes a number or a truth value only where one is expected.
fn convert(node: &Node, key: Option<&Entry>, expected: Expected, path: &mut String, places: &mut Places) -> Value {
    let mut place =
        Place { key: key.map(|key| key.key_span.clone()), value: node.span.clone(), text: None, flow: false };
    let value = match &node.kind {
        Kind::Scalar { text, plain } => {
            place.text = Some(text.clone());
            scalar(text, *plain, node.is_null(), expected)
        }
        Kind::Seq(items) => Value::Array(
            items
                .iter()
                .enumerate()
                .map(|(index, item)| {
                    within(path, &index.to_string(), |path| convert(item, None, expected.item(), path, places))
                })
                .collect(),
        ),
        Kind::Map { entries, flow } => {
            place.flow = *flow;
            let mut map = Map::new();
            for entry in entries {
                let expected_here = expected.key(&entry.key);
                // A section whose keys are all commented out says nothing.
                let section = matches!(expected_here.kind(), Some("object" | "array"));
                if entry.value.is_null() && section && !expected.requires(&entry.key) {
                    continue;
                }
                let value = within(path, &escape(&entry.key), |path| {
                    convert(&entry.value, Some(entry), expected_here, path, places)
                });
                map.insert(entry.key.clone(), value);
            }
            Value::Object(map)
        }
    };
    places.0.insert(path.clone(), place);
    value
}

fn within<T>(path: &mut String, segment: &str, inner: impl FnOnce(&mut String) -> T) -> T {
    let before = path.len();
    let _ = write!(path, "/{segment}");
    let result = inner(path);
    path.truncate(before);
    result
}

fn scalar(text: &str, plain: bool, null: bool, expected: Expected) -> Value {
    if null {
        return Value::Null;
    }
    let typed = match expected.kind() {
        Some("integer") if plain => integer(text).map(Value::from),
        Some("number") if plain => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        Some("boolean") if plain => match text {
            "true" | "True" | "TRUE" => Some(Value::Bool(true)),
            "false" | "False" | "FALSE" => Some(Value::Bool(false)),
            _ => None,
        },
        _ => None,
    };
    typed.unwrap_or_else(|| Value::from(text))
}

/// Returns the whole number that YAML 1.2 reads in `text`.
fn integer(text: &str) -> Option<i64> {
    if let Some(digits) = text.strip_prefix("0x") {
        i64::from_str_radix(digits, 16).ok()
    } else if let Some(digits) = text.strip_prefix("0o") {
        i64::from_str_radix(digits, 8).ok()
    } else {
        text.parse().ok()
    }
}

/// Removes the value at `path`, so that the rest can be read. Items of lists keep their numbers: an item that should
/// be a map becomes an empty one, any other takes the list with it.
fn remove(root: &mut Value, path: &str) {
    let Some((parent, last)) = path.rsplit_once('/') else {
        *root = Value::Object(Map::new());
        return;
    };
    match root.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.shift_remove(&unescape(last));
        }
        Some(Value::Array(items)) if Expected::at(parent).item().kind() == Some("object") => {
            if let Some(item) = last.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                *item = Value::Object(Map::new());
            }
        }
        Some(Value::Array(_)) => remove(root, parent),
        _ => {}
    }
}

/// Adds the problems that one violation of the schema stands for.
fn explain(error: &ValidationError, path: &str, places: &Places, problems: &mut Vec<Problem>) {
    let expected = Expected::at(path);
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            problems.extend(unexpected.iter().map(|key| unknown_key(path, key, expected, places)));
        }
        ValidationErrorKind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            if misspelt(key, error.instance(), expected) {
                return;
            }
            let span = if path.is_empty() { first_line(places) } else { places.key(path) };
            let help = expected.key(key).keyword("examples").and_then(|examples| examples.get(0)?.as_str());
            let problem = Problem::new(Code::MissingKey, span, format!("`{key}` is missing{}", inside(path)));
            problems.push(match help {
                Some(example) => problem.help(format!("for example `{key}: {example}`")),
                None => problem.help(format!("add `{key}: ...`")),
            });
        }
        ValidationErrorKind::Type { .. } => problems.push(wrong_type(path, error.instance(), expected, places)),
        ValidationErrorKind::Enum { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
            let typed = places.text(path).unwrap_or_default();
            let problem = match error.instance().as_ref() {
                Value::String(_) => Problem::new(
                    Code::UnknownValue,
                    places.value(path),
                    format!("`{typed}` is not known{}", inside(path)),
                )
                .help(suggest::did_you_mean(typed, &expected.words())),
                other => wrong_type(path, other, expected, places),
            };
            problems.push(problem);
        }
        // Says the same as the type does, unless it is a number.
        ValidationErrorKind::Constant { expected_value } if error.instance().is_number() => {
            let message = format!("plan format {} is not one this crossfade reads", error.instance());
            problems.push(
                Problem::new(Code::UnsupportedVersion, places.value(path), message)
                    .help(format!("write `version: {expected_value}`, or use a newer crossfade")),
            );
        }
        ValidationErrorKind::Constant { .. } => {}
        ValidationErrorKind::Minimum { limit } => {
            problems.push(out_of_range(path, places, &format!("expected {limit} or more")));
        }
        ValidationErrorKind::Maximum { limit } => {
            problems.push(out_of_range(path, places, &format!("expected {limit} or less")));
        }
        ValidationErrorKind::MinItems { .. } => {
            problems.push(
                Problem::new(Code::EmptyValue, places.value(path), format!("`{}` is an empty list", last_key(path)))
                    .help("expected at least one item"),
            );
        }
        ValidationErrorKind::MinProperties { .. } => problems.push(one_change(path, places, "holds no change")),
        ValidationErrorKind::MaxProperties { .. } => {
            // A kind nobody knows is enough of a complaint.
            let known = expected.keys();
            let keys = error.instance().as_object().into_iter().flat_map(Map::keys);
            if keys.clone().all(|key| known.contains(&key.as_str()) || LATER.contains(&key.as_str())) {
                problems.push(one_change(path, places, "holds several changes"));
            }
        }
        _ => problems.push(Problem::new(Code::WrongType, places.value(path), error.to_string())),
    }
}

/// Returns whether a key that is not known here was meant to be `missing`, which is said where it stands.
fn misspelt(missing: &str, map: &Value, expected: Expected) -> bool {
    let known = expected.keys();
    let unknown = map.as_object().into_iter().flat_map(Map::keys).filter(|key| !known.contains(&key.as_str()));
    unknown.into_iter().any(|key| suggest::nearest(key, known.iter().copied()) == Some(missing))
}

fn first_line(places: &Places) -> Range<usize> {
    let start = places.value("").start;
    start..start
}

/// Returns the name of the nearest key at or above `path`.
pub(super) fn last_key(path: &str) -> String {
    let segments = path.rsplit('/').map(unescape);
    segments.into_iter().find(|segment| segment.parse::<usize>().is_err() && !segment.is_empty()).unwrap_or_default()
}

fn inside(path: &str) -> String {
    match last_key(path) {
        key if key.is_empty() => String::new(),
        key => format!(" in `{key}`"),
    }
}

fn one_change(path: &str, places: &Places, what: &str) -> Problem {
    Problem::new(Code::OneChangeEach, places.value(path), format!("this item of `changes` {what}"))
        .help("begin each change with a dash of its own: `- rename_column: { from: a, to: b }`")
}

fn out_of_range(path: &str, places: &Places, expected: &str) -> Problem {
    let typed = places.text(path).unwrap_or_default();
    let message = format!("{typed} is out of range for `{}`", last_key(path));
    let problem = Problem::new(Code::OutOfRange, places.value(path), message);
    if path.ends_with("/max_rows_per_second") && typed == "0" {
        return problem.help("leave the key out for no bound");
    }
    problem.help(expected)
}

fn unknown_key(path: &str, key: &str, expected: Expected, places: &Places) -> Problem {
    let at = format!("{path}/{}", escape(key));
    let span = places.key(&at);
    let known = expected.keys();
    let kinds = Expected::at("/changes/0").keys();
    if known == kinds {
        return unknown_change(key, span, &kinds);
    }
    let rename = last_key(path) == "rename_column";
    let nearest = suggest::nearest(key, known.iter().copied());
    if rename && nearest.is_none() && Expected::at("/changes/0/change_type").keys().contains(&key) {
        return Problem::new(Code::NotForRename, span, format!("`{key}` has no meaning for a rename"))
            .help("a rename changes no value; use `change_type` for another type");
    }
    let whose = if path.is_empty() { " at the top of a plan".to_owned() } else { inside(path) };
    let problem = Problem::new(Code::UnknownKey, span, format!("unknown key `{key}`{whose}"));
    if let Some(word) = nearest {
        problem.help(format!("did you mean `{word}`?"))
    } else if places.text(&at) == Some("") && places.around(path).is_some_and(|place| place.flow) {
        problem.help("inside { } a comma ends the value: put quotes around a value that holds commas")
    } else if let Some(home) = home_of(key).filter(|home| *home != last_key(path)) {
        problem.help(format!("`{key}` belongs in `{home}`"))
    } else {
        problem.help(format!("expected one of {}", suggest::listed(known)))
    }
}

fn unknown_change(key: &str, span: Range<usize>, kinds: &[&str]) -> Problem {
    if LATER.contains(&key) {
        return Problem::new(Code::UnsupportedChange, span, format!("`{key}` is not supported yet"))
            .help(format!("this version has {}", suggest::listed(kinds.iter().copied())));
    }
    Problem::new(Code::UnknownChange, span, format!("`{key}` is no kind of change"))
        .help(suggest::did_you_mean(key, kinds))
}

/// Returns the section of a plan that has `key`.
fn home_of(key: &str) -> Option<&'static str> {
    let plan = Expected::plan();
    plan.keys().into_iter().find(|section| plan.key(section).keys().contains(&key))
}

fn wrong_type(path: &str, found: &Value, expected: Expected, places: &Places) -> Problem {
    let typed = places.text(path).unwrap_or_default();
    let wanted = match expected.kind() {
        Some("object") => "a map",
        Some("array") => "a list",
        Some("integer") => "a whole number",
        Some("number") => "a number",
        Some("boolean") => "true or false",
        _ => "text",
    };
    let found_text = match found {
        Value::Null if typed.is_empty() => "nothing".to_owned(),
        Value::Null => format!("`{typed}`, which means nothing"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        _ => format!("`{typed}`"),
    };
    let item = path.rsplit('/').next().is_some_and(|last| last.parse::<usize>().is_ok());
    let what = match last_key(path) {
        key if key.is_empty() => "a plan".to_owned(),
        key if item => format!("an item of `{key}`"),
        key => format!("`{key}`"),
    };
    let message = format!("{what}: expected {wanted}, found {found_text}");
    let problem = Problem::new(Code::WrongType, places.value(path), message).label(format!("expected {wanted}"));
    let digits: String = typed.chars().filter(|c| !matches!(c, '_' | ',' | '\'' | ' ')).collect();
    match (expected.kind(), found) {
        (Some("integer"), Value::String(_)) if digits == typed && integer(typed).is_some() => {
            problem.help("remove the quotes")
        }
        (Some("number"), Value::String(_)) if typed.parse::<f64>().is_ok_and(f64::is_finite) => {
            problem.help("remove the quotes")
        }
        (Some("integer"), Value::String(_)) if integer(&digits).is_some() => problem.help(format!("write `{digits}`")),
        (Some("boolean"), Value::String(_)) => match typed.to_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => problem.help("write `true`, without quotes"),
            "no" | "off" | "n" | "false" => problem.help("write `false`, without quotes"),
            _ => problem,
        },
        (Some("array"), Value::String(_)) => problem.help(format!("write `[{typed}]`")),
        (Some("array"), Value::Object(_)) => problem.help("begin each item with a dash"),
        (Some("object"), _) => problem.help(format!("expected the keys {}", suggest::listed(expected.keys()))),
        (Some("string") | None, Value::Null) if !typed.is_empty() => {
            problem.help("put quotes around it to mean the word")
        }
        _ => problem,
    }
}
