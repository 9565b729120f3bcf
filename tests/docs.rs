//! What the documents and comments refer to is there. Needs no server.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file with one of these extensions below `directory`.
fn files(directory: &Path, extensions: &[&str], into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, extensions, into);
        } else if path.extension().is_some_and(|e| extensions.iter().any(|extension| e == *extension)) {
            into.push(path);
        }
    }
}

/// A text without line breaks and the comment signs that follow them.
fn joined(text: &str) -> String {
    let line = |line: &str| line.trim_start().trim_start_matches(['/', '!', '-']).trim().to_owned();
    text.lines().map(line).collect::<Vec<_>>().join(" ")
}

/// The titles cited as `docs/postgres.md, "One", "Two"`.
fn cited(text: &str) -> Vec<String> {
    let mut titles = Vec::new();
    for (at, citation) in text.match_indices("docs/postgres.md, \"") {
        let mut rest = &text[at + citation.len()..];
        while let Some((title, after)) = rest.split_once('"') {
            titles.push(title.to_owned());
            let Some(more) = after.strip_prefix(", \"") else { break };
            rest = more;
        }
    }
    titles
}

#[test]
fn every_section_of_docs_postgres_that_is_cited_is_there() {
    let text = read("docs/postgres.md");
    let titles: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let mut sources = Vec::new();
    for directory in ["src", "tests", "benches", "examples"] {
        files(&root().join(directory), &["rs", "sql"], &mut sources);
    }
    let (mut count, mut wrong) = (0, Vec::new());
    for path in sources.iter().filter(|path| !path.ends_with("tests/docs.rs")) {
        for title in cited(&joined(&std::fs::read_to_string(path).unwrap())) {
            count += 1;
            if !titles.contains(title.as_str()) {
                wrong.push(format!("{}: {title}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "no section of docs/postgres.md has this title:\n{}", wrong.join("\n"));
    assert!(count >= 20, "only {count} citations were found");
}

#[test]
fn every_test_module_that_docs_postgres_names_is_there() {
    let text = joined(&read("docs/postgres.md"));
    let mut count = 0;
    for (at, found) in text.match_indices("Tests: ") {
        let rest = &text[at + found.len()..];
        let sentence = rest.split_once(". ").map_or(rest, |(sentence, _)| sentence);
        // Between backticks stand names; every second part is one.
        for name in sentence.split('`').skip(1).step_by(2) {
            let path = root().join("tests/it").join(format!("{}.rs", name.replace("::", "/")));
            assert!(path.is_file(), "docs/postgres.md names `{name}`, but there is no {}", path.display());
            count += 1;
        }
    }
    assert!(count >= 30, "only {count} names were found");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "benches/README.md"].map(PathBuf::from).to_vec();
    files(&root().join("docs"), &["md"], &mut documents);
    assert!(documents.len() >= 20, "only {} documents were found", documents.len());
    for document in documents {
        let text = std::fs::read_to_string(root().join(&document)).unwrap();
        let base = root().join(&document);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            let file = target.split('#').next().unwrap_or_default();
            if target.contains("://") || file.is_empty() {
                continue;
            }
            assert!(
                base.parent().unwrap().join(file).exists(),
                "{} links to {file}, which is not there",
                document.display()
            );
        }
    }
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let contents = read("docs/README.md");
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_page = path.extension().is_some_and(|extension| extension == "md") && name != "README.md";
        assert!(!is_page || contents.contains(&format!("]({name})")), "docs/README.md does not list {name}");
    }
}

/// Every code in brackets that a message can have, as the sources write it.
fn codes() -> BTreeSet<String> {
    let mut sources = Vec::new();
    files(&root().join("src"), &["rs"], &mut sources);
    let mut codes = BTreeSet::new();
    for path in sources.iter().filter(|path| !path.ends_with("tests.rs")) {
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        codes.extend(text.split('"').filter(|word| is_code(word)).map(str::to_owned));
    }
    // Those of plan files are in a table without their area.
    let table = read("src/plan/diagnostic.rs");
    let rows = table.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(" = \"")?.1.split_once("\", \""));
    codes.extend(rows.map(|(code, _)| format!("plan::{code}")));
    codes
}

/// Whether a text is `area::what`.
fn is_code(text: &str) -> bool {
    let letters = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    text.split_once("::").is_some_and(|(area, what)| letters(area) && letters(what))
}

#[test]
fn the_list_of_codes_is_whole_and_has_no_other() {
    let text = read("docs/messages.md");
    let listed: BTreeSet<_> =
        text.split('`').skip(1).step_by(2).filter(|word| is_code(word)).map(str::to_owned).collect();
    let codes = codes();
    let missing: Vec<_> = codes.difference(&listed).collect();
    let made_up: Vec<_> = listed.difference(&codes).collect();
    assert!(
        missing.is_empty() && made_up.is_empty(),
        "docs/messages.md lacks {missing:?}, and has made up {made_up:?}"
    );
    assert!(codes.len() > 200, "only {} codes were found", codes.len());
}

/// The comment above each line of a source that `name` knows, as rows of a table.
fn rows(source: &str, name: impl Fn(&str) -> Option<String>) -> String {
    let (mut comment, mut rows) = (Vec::new(), String::new());
    for line in source.lines() {
        if let Some(text) = line.trim_start().strip_prefix("/// ") {
            comment.push(text);
            continue;
        }
        if let (Some(name), false) = (name(line), comment.is_empty()) {
            let _ = writeln!(rows, "| `{name}` | {} |", comment.join(" ").replace('|', "\\|"));
        }
        if !line.trim_start().starts_with('#') {
            comment.clear();
        }
    }
    rows
}

/// The variant that a line of an enum declares, as JSON writes it.
fn variant(line: &str) -> Option<String> {
    let name = line.strip_prefix("    ")?.trim_end_matches(['{', ',', ' ']);
    let name = name.split('(').next()?;
    let mut out = String::new();
    for (at, c) in name.chars().enumerate() {
        match c {
            'A'..='Z' if at == 0 => out.push(c.to_ascii_lowercase()),
            'A'..='Z' => out.extend(['_', c.to_ascii_lowercase()]),
            'a'..='z' if at > 0 => out.push(c),
            _ => return None,
        }
    }
    Some(out)
}

/// The declaration that begins with `head`.
fn declared(path: &str, head: &str) -> String {
    let text = read(path);
    let (_, rest) = text.split_once(head).unwrap_or_else(|| panic!("{path} has no {head}"));
    rest.split("\n}\n").next().unwrap().to_owned()
}

#[test]
fn states_events_and_exit_codes_are_those_of_the_source() {
    let exit_code =
        |line: &str| line.strip_prefix("pub const ")?.split_once(" = ")?.1.strip_suffix(';').map(str::to_owned);
    let tables = [
        ("exit codes", rows(&read("src/cli/exit_code.rs"), exit_code)),
        ("states", rows(&declared("src/run/standing.rs", "pub enum Standing {\n"), variant)),
        ("events", rows(&declared("src/event.rs", "pub enum Event {\n"), variant)),
        ("waits", rows(&declared("src/event.rs", "pub enum Wait {\n"), variant)),
    ];
    let mut text = read("docs/scripts.md");
    let before = text.clone();
    for (name, rows) in tables {
        assert!(rows.lines().count() >= 8, "{name}: {rows}");
        let (mark, end) = (format!("<!-- {name}: from the source -->\n"), format!("<!-- end of {name} -->"));
        let (head, rest) = text.split_once(&mark).unwrap_or_else(|| panic!("docs/scripts.md has no mark for {name}"));
        let (_, tail) = rest.split_once(&end).unwrap();
        let what = if name == "exit codes" { "code" } else { "word" };
        text = format!("{head}{mark}| {what} | meaning |\n|---|---|\n{rows}{end}{tail}");
    }
    if std::env::var_os("UPDATE_BOOK").is_some() {
        std::fs::write(root().join("docs/scripts.md"), text).unwrap();
        return;
    }
    assert!(text == before, "docs/scripts.md is stale: UPDATE_BOOK=1 cargo test --test docs");
}
