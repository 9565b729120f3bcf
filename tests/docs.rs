//! What the documents and comments refer to is there. Needs no server.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::BTreeSet;
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
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "benches/README.md",
        "docs/inventory.md",
        "docs/postgres.md",
        "docs/recipes/README.md",
        "docs/monitoring.md",
        "docs/roles.md",
    ] {
        let text = read(document);
        let base = root().join(document);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            let file = target.split('#').next().unwrap_or_default();
            if target.contains("://") || file.is_empty() {
                continue;
            }
            assert!(base.parent().unwrap().join(file).exists(), "{document} links to {file}, which is not there");
        }
    }
}
