//! docs/reference.md, written from the form of plans and the table of settings: `UPDATE_BOOK=1 cargo test --lib reference`.

use std::fmt::Write as _;
use std::path::Path;

use super::form::{Form, Key, Map};
use super::settings::{self, Kind};
use super::structure::plan_form;

const HEAD: &str = "# Reference: keys of a plan, and settings

<!-- Written by `UPDATE_BOOK=1 cargo test --lib reference`. Do not edit. -->

A plan is a YAML file. `crossfade check FILE` names every mistake with its place; `crossfade schema` prints the JSON Schema that gives
editors key completion. The keys below are all that there are: any other is refused. `[]` stands for an item of a list.
What a key needs besides (a change that has no reverse, an index on a dropped column) is said by `crossfade check`, and under its
code in [messages.md](messages.md).

";

/// Returns the whole page.
fn page() -> String {
    let mut text = HEAD.to_owned();
    let Form::Map(top) = plan_form() else { panic!("a plan is a map") };
    let (sections, plain): (Vec<_>, Vec<_>) =
        top.keys.iter().partition(|key| inside(&key.form).is_some() && !matches!(key.form, Form::WordOrMap(..)));
    text.push_str("## The plan itself\n\n");
    table(&mut text, &rows("", &plain));
    for key in sections {
        let (map, list) = inside(&key.form).expect("it was chosen for that");
        let path = format!("{}{}", key.name, if list { "[]" } else { "" });
        let _ = write!(text, "\n## `{}`\n\n{}{}\n\n", key.name, key.about, needed(key));
        if map.one {
            for kind in &map.keys {
                let (map, _) = inside(&kind.form).expect("a kind of change is a map");
                let path = format!("{path}.{}", kind.name);
                let _ = write!(text, "### `{path}`\n\n{}\n\n", kind.about);
                table(&mut text, &rows(&path, &map.keys.iter().collect::<Vec<_>>()));
                text.push('\n');
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        } else {
            table(&mut text, &rows(&path, &map.keys.iter().collect::<Vec<_>>()));
        }
    }
    text.push_str("\n## Settings that can be tuned\n\n`crossfade tune NAME KEY=VALUE` changes those marked with *yes* or *only there* while a run continues, within a second.\n\n");
    text + &settings::markdown()
}

/// Returns the map that stands here, or of which a list stands here.
fn inside(form: &Form) -> Option<(&Map, bool)> {
    match form {
        Form::Map(map) | Form::WordOrMap(_, map) => Some((map, false)),
        Form::List { of, .. } => inside(of).map(|(map, _)| (map, true)),
        _ => None,
    }
}

fn needed(key: &Key) -> &'static str {
    if key.required { " Must be given." } else { "" }
}

fn table(text: &mut String, rows: &[String]) {
    text.push_str("| key | takes | default | what it is |\n|---|---|---|---|\n");
    for row in rows {
        text.push_str(row);
    }
}

/// Returns a row for each key, and for those of maps within.
fn rows(path: &str, keys: &[&Key]) -> Vec<String> {
    let mut rows = Vec::new();
    for key in keys {
        let place = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        let default = match (key.required, key.default) {
            (true, _) => "must be given",
            (false, Some(default)) => default,
            (false, None) => "none",
        };
        let about = key.about.replace('|', "\\|");
        rows.push(format!("| `{place}` | {} | {default} | {about}{} |\n", takes(key), words(&key.form)));
        if let Some((map, list)) = inside(&key.form) {
            let place = format!("{place}{}", if list { "[]" } else { "" });
            rows.extend(self::rows(&place, &map.keys.iter().collect::<Vec<_>>()));
        }
    }
    rows
}

fn takes(key: &Key) -> String {
    let example = key.example.map(|example| format!(", such as `{}`", example.replace('|', "\\|"))).unwrap_or_default();
    let what = match &key.form {
        Form::Setting(setting) => return setting.takes(),
        Form::List { of, .. } => match &**of {
            Form::Map(_) => "a list of maps".to_owned(),
            Form::Words(known) => format!("a list of {}", any_of(known)),
            _ => "a list".to_owned(),
        },
        Form::Words(known) => any_of(known),
        Form::WordOrMap(known, _) => format!("{}, or a map", any_of(known)),
        Form::Whole { least, most } => format!("a number from {least} to {most}"),
        Form::Version => "1".to_owned(),
        form => form.wanted(),
    };
    what + &example
}

fn any_of(known: &[super::Word]) -> String {
    known.iter().map(|word| format!("`{}`", word.word)).collect::<Vec<_>>().join(", ")
}

/// Returns what each of the words means that a key takes.
fn words(form: &Form) -> String {
    let known: &[super::Word] = match form {
        Form::Words(known) | Form::WordOrMap(known, _) => known,
        Form::Setting(setting) => match &setting.kind {
            Kind::Words(known) => known,
            _ => &[],
        },
        _ => &[],
    };
    known.iter().fold(String::new(), |text, word| format!("{text} `{}`: {}", word.word, word.about.replace('|', "\\|")))
}

#[test]
fn docs_reference_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
    if std::env::var_os("UPDATE_BOOK").is_some() {
        std::fs::write(&path, page()).unwrap();
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "docs/reference.md is stale: UPDATE_BOOK=1 cargo test --lib reference");
}
