//! Holds a plan file against its form: keys, kinds of value, words and numbers.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::LazyLock;

use serde_json::{Map as Object, Value};

use super::diagnostic::{Code, Problem};
use super::file::{self, PlanFile};
use super::form::{Form, Key, Map};
use super::settings::{SECTIONS, Setting, Settings, integer};
use super::suggest;
use super::yaml::{Entry, Kind, Node};

static FORM: LazyLock<Form> = LazyLock::new(file::form);

/// Returns the form of a whole plan.
pub(super) fn plan_form() -> &'static Form {
    &FORM
}

/// What people call changes that have another name here, and what to write.
const OTHER_NAMES: [(&str, &str); 3] = [
    ("set_not_null", "add_constraint: { not_null: column }"),
    ("add_foreign_key", "add_constraint: { name: name, foreign_key: { columns: [column], references: table } }"),
    ("create_index", "add_index: { name: name, columns: [column] }"),
];

/// Why a plan does not choose how a rename is done, as `route: alias` would.
const NO_ROUTES: &str = "leave it out: crossfade chooses the way of a change. It renames no column by a view in the table's place, \
                         which breaks statements that worked (docs/comparison.md, \"Why no view\")";

/// A plan file whose parts have the right form. Parts that have not are left out.
pub(super) struct Typed {
    pub(super) file: PlanFile,
    pub(super) settings: Settings,
    pub(super) places: Places,
}

/// Where each value stands, by JSON pointer.
#[derive(Default)]
pub(super) struct Places(HashMap<String, Place>);

struct Place {
    key: Option<Range<usize>>,
    value: Range<usize>,
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
}

/// Returns what of the plan has the right form; everything else becomes a problem.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) -> Typed {
    let mut walk = Walk { places: Places::default(), settings: Settings::default(), problems };
    let mut value = walk.read(root, None, &FORM, &mut String::new()).unwrap_or_default();
    if let Value::Object(map) = &mut value {
        map.retain(|key, _| key != file::VERSION && SECTIONS.iter().all(|(section, _)| section != key));
    } else {
        value = Value::Object(Object::new());
    }
    let Walk { places, settings, problems } = walk;
    let file = serde_json::from_value(value).unwrap_or_else(|error| {
        // Form and types are declared together, so this is only reached if they ever disagree.
        problems.push(Problem::new(Code::WrongType, root.span.start..root.span.start, error.to_string()));
        PlanFile::default()
    });
    Typed { file, settings, places }
}

struct Walk<'a> {
    places: Places,
    settings: Settings,
    problems: &'a mut Vec<Problem>,
}

impl Walk<'_> {
    /// Returns the value of `node`, or of those of its parts that have the right form.
    fn read(&mut self, node: &Node, key: Option<&Entry>, form: &Form, path: &mut String) -> Option<Value> {
        self.place(node, key, path);
        match (form, &node.kind) {
            (Form::Map(map) | Form::WordOrMap(_, map), Kind::Map { entries, flow }) => {
                Some(self.map(map, entries, *flow, path))
            }
            (Form::List { of, least }, Kind::Seq(items)) => self.list(of, *least, items, path),
            (Form::WordOrNames(_), Kind::Seq(items)) => self.list(&Form::Text, 1, items, path),
            (Form::Map(_) | Form::List { .. }, _) | (_, Kind::Seq(_) | Kind::Map { .. }) => {
                self.wrong_type(path, node, form)
            }
            _ if node.is_null() => self.wrong_type(path, node, form),
            (_, Kind::Scalar { text, plain }) => self.scalar(node, text, *plain, form, path),
        }
    }

    fn place(&mut self, node: &Node, key: Option<&Entry>, path: &str) {
        let place = Place { key: key.map(|key| key.key_span.clone()), value: node.span.clone() };
        self.places.0.insert(path.to_owned(), place);
    }

    fn map(&mut self, map: &Map, entries: &[Entry], flow: bool, path: &mut String) -> Value {
        let (mut values, mut given, mut unknown) = (Object::new(), Vec::new(), Vec::new());
        for entry in entries {
            let Some(key) = map.key(&entry.key) else {
                within(path, &escape(&entry.key), |path| self.place(&entry.value, Some(entry), path));
                unknown.push(entry);
                continue;
            };
            // A section whose keys are all commented out says nothing.
            let section = matches!(key.form, Form::Map(_) | Form::List { .. });
            if entry.value.is_null() && section && !key.required {
                continue;
            }
            given.push(key.name);
            let value = within(path, key.name, |path| self.read(&entry.value, Some(entry), &key.form, path));
            if let Some(value) = value {
                values.insert(key.name.to_owned(), value);
            }
        }
        for entry in &unknown {
            let problem = unknown_key(path, entry, map, flow);
            self.problems.push(problem);
        }
        for key in map.keys.iter().filter(|key| key.required && !given.contains(&key.name)) {
            self.missing(key, map, &unknown, path);
        }
        if map.one {
            self.one_change(given.len(), &unknown, path);
        }
        Value::Object(values)
    }

    /// Items keep their numbers: an item that should be a map becomes an empty one, any other takes the list with it.
    fn list(&mut self, of: &Form, least: usize, items: &[Node], path: &mut String) -> Option<Value> {
        if items.len() < least {
            let message = format!("`{}` is an empty list", last_key(path));
            self.problems.push(
                Problem::new(Code::EmptyValue, self.places.value(path), message).help("expected at least one item"),
            );
        }
        let mut values = Vec::new();
        let mut whole = true;
        for (index, item) in items.iter().enumerate() {
            let value = within(path, &index.to_string(), |path| self.read(item, None, of, path));
            whole &= value.is_some() || of.map().is_some();
            values.push(value.unwrap_or_else(|| Value::Object(Object::new())));
        }
        whole.then_some(Value::Array(values))
    }

    fn scalar(&mut self, node: &Node, text: &str, plain: bool, form: &Form, path: &str) -> Option<Value> {
        let number = || integer(text).filter(|_| plain);
        match form {
            Form::Map(_) | Form::List { .. } => None,
            Form::Text => Some(Value::from(text)),
            Form::Truth => match text {
                "true" | "True" | "TRUE" if plain => Some(true.into()),
                "false" | "False" | "FALSE" if plain => Some(false.into()),
                _ => self.wrong_type(path, node, form),
            },
            Form::Version => match number() {
                Some(1) => Some(1.into()),
                Some(other) => {
                    let message = format!("this crossfade does not support plan format {other}");
                    self.problems.push(
                        Problem::new(Code::UnsupportedVersion, node.span.clone(), message)
                            .help("write `version: 1`, or use a newer crossfade"),
                    );
                    None
                }
                None => self.wrong_type(path, node, form),
            },
            Form::Whole { least, most } => match number() {
                Some(number) if (*least..=*most).contains(&number) => Some(number.into()),
                Some(_) => {
                    let message = format!("{text} is out of range for `{}`", last_key(path));
                    let help = format!("expected a number from {least} to {most}");
                    self.problems.push(Problem::new(Code::OutOfRange, node.span.clone(), message).help(help));
                    None
                }
                None => self.wrong_type(path, node, form),
            },
            // A list of no names means none of them; what is left out means all.
            Form::WordOrNames(words) => match self.scalar(node, text, plain, &Form::Words(words.clone()), path)? {
                word if words.first().is_some_and(|all| word == all.word) => None,
                _ => Some(Value::Array(vec![])),
            },
            Form::Words(words) | Form::WordOrMap(words, _) => {
                if words.iter().any(|known| known.word == text) {
                    return Some(Value::from(text));
                }
                let known: Vec<_> = words.iter().map(|known| known.word).collect();
                let message = format!("unknown value `{text}`{}", inside(path));
                self.problems.push(
                    Problem::new(Code::UnknownValue, node.span.clone(), message)
                        .help(suggest::did_you_mean(text, &known)),
                );
                None
            }
            Form::Setting(setting) => {
                self.setting(setting, node, text, plain, path);
                None
            }
        }
    }

    fn setting(&mut self, setting: &'static Setting, node: &Node, text: &str, plain: bool, path: &str) {
        if setting.kind.is_number() && !plain && setting.off != Some(text) {
            self.wrong_type(path, node, &Form::Setting(setting));
            return;
        }
        match setting.read(text) {
            Ok(value) => self.settings.put(setting, &value),
            Err(wrong) => {
                let problem = Problem::new(wrong.code, node.span.clone(), wrong.message).help(wrong.help);
                self.problems.push(match wrong.code {
                    Code::WrongType => problem.label(format!("expected {}", setting.wanted())),
                    _ => problem,
                });
            }
        }
    }

    fn missing(&mut self, key: &Key, map: &Map, unknown: &[&Entry], path: &str) {
        // A key that is not known here and was meant to be this one is complained about where it stands.
        let names = map.names();
        if unknown.iter().any(|entry| suggest::nearest(&entry.key, names.iter().copied()) == Some(key.name)) {
            return;
        }
        let span = if path.is_empty() {
            let start = self.places.value("").start;
            start..start
        } else {
            self.places.key(path)
        };
        let name = key.name;
        let problem = Problem::new(Code::MissingKey, span, format!("`{name}` is missing{}", inside(path)));
        self.problems.push(match key.example {
            Some(example) => problem.help(format!("for example `{name}: {example}`")),
            None => problem.help(format!("add `{name}: ...`")),
        });
    }

    fn one_change(&mut self, known: usize, unknown: &[&Entry], path: &str) {
        let what = match known + unknown.len() {
            1 => return,
            0 => "contains no change",
            // A kind nobody knows is enough of a complaint.
            _ if unknown.is_empty() => "contains several changes",
            _ => return,
        };
        let message = format!("this item of `changes` {what}");
        self.problems.push(
            Problem::new(Code::OneChangeEach, self.places.value(path), message)
                .help("start each change with its own dash: `- rename_column: { from: a, to: b }`"),
        );
    }

    /// Complains about a value of another kind than expected, and returns none.
    fn wrong_type(&mut self, path: &str, node: &Node, form: &Form) -> Option<Value> {
        let problem = wrong_type(path, node, form);
        self.problems.push(problem);
        None
    }
}

fn within<T>(path: &mut String, segment: &str, inner: impl FnOnce(&mut String) -> T) -> T {
    let before = path.len();
    let _ = write!(path, "/{segment}");
    let result = inner(path);
    path.truncate(before);
    result
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

fn unknown_key(path: &str, entry: &Entry, map: &Map, flow: bool) -> Problem {
    let (key, span, known) = (entry.key.as_str(), entry.key_span.clone(), map.names());
    if map.one {
        return unknown_change(key, span, &known);
    }
    let nearest = suggest::nearest(key, known.iter().copied());
    if last_key(path) == "rename_column" && nearest.is_none() && change_has("change_type", key) {
        return Problem::new(Code::NotForRename, span, format!("`{key}` does not apply to a rename"))
            .help("a rename does not change values; use `change_type` to change the type");
    }
    let whose = if path.is_empty() { " at the top of a plan".to_owned() } else { inside(path) };
    let problem = Problem::new(Code::UnknownKey, span, format!("unknown key `{key}`{whose}"));
    let nothing = matches!(&entry.value.kind, Kind::Scalar { text, .. } if text.is_empty());
    if key == "route" {
        problem.help(NO_ROUTES)
    } else if let Some(word) = nearest {
        problem.help(format!("did you mean `{word}`?"))
    } else if nothing && flow {
        problem.help("inside { } a comma ends the value: put quotes around a value that contains commas")
    } else if let Some(home) = home_of(key).filter(|home| *home != last_key(path)) {
        problem.help(format!("`{key}` belongs in `{home}`"))
    } else {
        problem.help(format!("expected one of {}", suggest::listed(known)))
    }
}

fn unknown_change(key: &str, span: Range<usize>, kinds: &[&str]) -> Problem {
    let problem = Problem::new(Code::UnknownChange, span, format!("`{key}` is not a kind of change"));
    match OTHER_NAMES.iter().find(|(name, _)| *name == key) {
        Some((_, here)) => problem.help(format!("write `{here}`")),
        None => problem.help(suggest::did_you_mean(key, kinds)),
    }
}

/// Returns the section of a plan that has `key`.
fn home_of(key: &str) -> Option<&'static str> {
    let sections = FORM.map().into_iter().flat_map(|plan| &plan.keys);
    let mut homes = sections.filter(|section| section.form.map().is_some_and(|map| map.key(key).is_some()));
    homes.next().map(|section| section.name)
}

/// Returns whether the kind of change has `key`.
fn change_has(kind: &str, key: &str) -> bool {
    let changes = FORM.map().and_then(|plan| plan.key("changes"));
    let Some(Form::List { of, .. }) = changes.map(|key| &key.form) else { return false };
    let kind = of.map().and_then(|change| change.key(kind)).and_then(|kind| kind.form.map());
    kind.is_some_and(|kind| kind.key(key).is_some())
}

fn wrong_type(path: &str, node: &Node, form: &Form) -> Problem {
    let wanted = form.wanted();
    let typed = match &node.kind {
        Kind::Scalar { text, .. } => text.as_str(),
        Kind::Seq(_) | Kind::Map { .. } => "",
    };
    let found = match &node.kind {
        Kind::Seq(_) => "a list".to_owned(),
        Kind::Map { .. } => "a map".to_owned(),
        Kind::Scalar { .. } if node.is_null() && typed.is_empty() => "nothing".to_owned(),
        Kind::Scalar { .. } if node.is_null() => format!("`{typed}`, which means nothing"),
        Kind::Scalar { .. } => format!("`{typed}`"),
    };
    let item = path.rsplit('/').next().is_some_and(|last| last.parse::<usize>().is_ok());
    let what = match last_key(path) {
        key if key.is_empty() => "a plan".to_owned(),
        key if item => format!("an item of `{key}`"),
        key => format!("`{key}`"),
    };
    let message = format!("{what}: expected {wanted}, found {found}");
    let problem = Problem::new(Code::WrongType, node.span.clone(), message).label(format!("expected {wanted}"));
    match wrong_type_help(node, typed, form) {
        Some(help) => problem.help(help),
        None => problem,
    }
}

/// Returns what to write instead, where that can be seen.
fn wrong_type_help(node: &Node, typed: &str, form: &Form) -> Option<String> {
    if let Form::Map(map) = form {
        return Some(format!("expected the keys {}", suggest::listed(map.names())));
    }
    if node.is_null() {
        let text = matches!(form, Form::Text | Form::Words(_) | Form::WordOrNames(_) | Form::Setting(_));
        return (text && !typed.is_empty()).then(|| "put quotes around it if you mean the word".to_owned());
    }
    match (form, &node.kind) {
        (Form::Whole { .. } | Form::Version, Kind::Scalar { .. }) => {
            let digits: String = typed.chars().filter(|c| !matches!(c, '_' | ',' | '\'' | ' ')).collect();
            integer(&digits)
                .map(|_| if digits == typed { "remove the quotes".into() } else { format!("write `{digits}`") })
        }
        (Form::Setting(setting), Kind::Scalar { .. }) => {
            setting.read(typed).is_ok().then(|| "remove the quotes".to_owned())
        }
        (Form::Truth, Kind::Scalar { .. }) => match typed.to_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => Some("write `true`, without quotes".to_owned()),
            "no" | "off" | "n" | "false" => Some("write `false`, without quotes".to_owned()),
            _ => None,
        },
        (Form::List { .. }, Kind::Scalar { .. }) => Some(format!("write `[{typed}]`")),
        (Form::List { .. }, Kind::Map { .. }) => Some("start each item with a dash".to_owned()),
        _ => None,
    }
}

/// Returns a segment of a JSON pointer as the key it stands for.
fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// Returns `key` as a segment of a JSON pointer.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
