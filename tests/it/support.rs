//! docs/support.md: what becomes of each kind of thing that can hang on a column, on each version. A row is what came out when the change
//! was made in a copy of the kind's table, rolled back, made again, and compared with plain ALTER TABLE.
//!
//! `CROSSFADE_TEST_ALL=1 UPDATE_BOOK=1 cargo test --test it -- support:: schemas::` writes the page. `make test` takes some kinds, each on
//! one version, `make test-all` all on all; both compare them with the page.

mod kinds;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crossfade::plan::TableName;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::kinds::{KINDS, Kind};
use crate::harness::{Version, versions, whole};
use crate::schemas::{AT_ONCE, Change, Ground, Turn};

/// Of so many kinds a short test takes one.
const EVERY: usize = 5;

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/support.md")
}

/// Returns the lines of the page between two marks.
fn listed(text: &str, mark: &str) -> Vec<String> {
    let begin = format!("<!-- {mark} -->\n");
    let (_, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("docs/support.md has no mark {mark}"));
    let (table, _) = rest.split_once("<!-- end -->").expect("a table of docs/support.md ends");
    table.lines().map(str::to_owned).collect()
}

/// Puts `rows`, whose first cell begins with `name`, into the page's table in place of those that it has for the same first cells, or
/// compares both, as `UPDATE_BOOK` says. Rows of versions that were not tried stay.
pub(crate) fn write_or_check(mark: &str, name: &str, rows: &[String]) {
    static PAGE: Mutex<()> = Mutex::new(());
    let _alone = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = std::fs::read_to_string(page()).unwrap();
    let before = listed(&text, mark);
    let key = |row: &str| row.split(" | ").take(2).collect::<Vec<_>>().join(" | ");
    if std::env::var_os("UPDATE_BOOK").is_none() {
        // A version that the page has nothing of cannot make it wrong.
        let keys: Vec<_> = before.iter().map(|row| key(row)).collect();
        let known: Vec<_> = rows.iter().filter(|row| keys.contains(&key(row))).collect();
        assert!(!known.is_empty(), "docs/support.md has nothing of {name}");
        for row in known {
            assert!(before.contains(row), "docs/support.md is stale (see tests/it/support.rs); it should have\n{row}");
        }
        return;
    }
    let (head, mut kept) = (before[..2].to_vec(), before[2..].to_vec());
    let keys: Vec<_> = rows.iter().map(|row| key(row)).collect();
    kept.retain(|row| !keys.contains(&key(row)));
    kept.extend(rows.iter().cloned());
    kept.sort_by_key(|row| !row.starts_with("| orders"));
    let table = [head, kept].concat().join("\n");
    std::fs::write(page(), text.replace(&before.join("\n"), &table)).unwrap();
}

/// Says at once what went wrong in a long test, not by a macro, whose output is shown at its end.
pub(crate) fn said(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Returns what becomes of a kind's column on `version`: renamed, and with another type.
async fn found(version: &Version, kind: &Kind) -> (String, String) {
    let (from, to, using) = kind.types;
    let values = kind.value.replace("{g}", "g");
    let partition = if kind.partitioned.is_empty() { "" } else { "CREATE TABLE t_1 PARTITION OF t DEFAULT;\n" };
    let sql = format!(
        "CREATE TABLE t (\n    id integer,\n    a {from},\n    note text\n){};\n{partition}INSERT INTO t (id, a, note) SELECT g, {values}, 'n' FROM generate_series(1, 20) g;\n{}",
        kind.partitioned, kind.more
    );
    let ground = Ground::new(version, &sql, &["public"]).await;
    let change = |rename| {
        let (from, to, using) = (from.to_owned(), to.to_owned(), using.map(str::to_owned));
        if rename { Change::Rename } else { Change::Retype { from, to, using } }
    };
    let table = TableName::new("public", "t").unwrap();
    let mut cells = Vec::new();
    for rename in [true, false] {
        let functions = kind.functions.iter().filter(|_| rename).map(|function| (0, *function)).collect();
        let turn = Turn { table: table.clone(), columns: vec![("a".to_owned(), change(rename))], functions };
        let end = Box::pin(ground.take(&turn)).await;
        cells.push(match end {
            Ok(end) => end.to_string(),
            Err(error) => {
                said(&format!("{} on {}: {turn}: {error}", kind.name, version.major));
                "wrong".to_owned()
            }
        });
    }
    (cells.remove(0), cells.remove(0))
}

/// Returns what a cell says of several versions: one word where all are the same.
fn cell(by_version: &BTreeMap<u32, String>) -> String {
    let mut of_word: Vec<(&String, Vec<u32>)> = Vec::new();
    for (version, word) in by_version {
        match of_word.iter_mut().find(|(known, _)| *known == word) {
            Some((_, versions)) => versions.push(*version),
            None => of_word.push((word, vec![*version])),
        }
    }
    if let [(word, _)] = &of_word[..] {
        return (*word).clone();
    }
    let spoken = |(word, versions): &(&String, Vec<u32>)| {
        let versions: Vec<_> = versions.iter().map(u32::to_string).collect();
        format!("{}: {word}", versions.join(", "))
    };
    of_word.iter().map(spoken).collect::<Vec<_>>().join("; ")
}

/// Returns whether a cell of the page says this of the version.
fn says(cell: &str, version: u32, word: &str) -> bool {
    if cell == word {
        return true;
    }
    cell.split("; ").any(|part| {
        part.split_once(": ").is_some_and(|(versions, known)| {
            known == word && versions.split(", ").any(|one| one == version.to_string())
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_support_says_what_becomes_of_each_kind() {
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let (mut all, mut versions) = (JoinSet::new(), versions());
    if let Ok(major) = std::env::var("VERSION") {
        versions.retain(|version| version.major.to_string() == major);
    }
    let one = std::env::var("KIND").ok();
    for (n, kind) in KINDS.iter().enumerate() {
        let chosen = one.as_ref().map_or(whole() || n % EVERY == 0, |one| kind.name.contains(one));
        for version in versions.iter().filter(|version| version.major >= kind.since) {
            let turn = whole() || one.is_some() || versions[n / EVERY % versions.len()] == *version;
            if chosen && turn {
                let (at_once, version) = (Arc::clone(&at_once), version.clone());
                all.spawn(async move {
                    let _permit = at_once.acquire_owned().await.unwrap();
                    (n, version.major, Box::pin(found(&version, kind)).await)
                });
            }
        }
    }
    let mut cells: Vec<(BTreeMap<u32, String>, BTreeMap<u32, String>)> = vec![Default::default(); KINDS.len()];
    let mut failed = Vec::new();
    while let Some(done) = all.join_next().await {
        match done {
            Ok((n, version, (rename, retype))) => {
                cells[n].0.insert(version, rename);
                cells[n].1.insert(version, retype);
            }
            Err(error) => failed.push(error.to_string()),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let text = std::fs::read_to_string(page()).unwrap();
    let before = listed(&text, "kinds");
    if std::env::var_os("UPDATE_BOOK").is_some() && whole() && one.is_none() {
        let mut rows = before[..2].to_vec();
        rows.extend(KINDS.iter().zip(&cells).map(|(kind, (rename, retype))| {
            let tried: Vec<_> = rename.keys().map(u32::to_string).collect();
            format!("| {} | {} | {} | {} |", kind.name, cell(rename), cell(retype), tried.join(", "))
        }));
        std::fs::write(page(), text.replace(&before.join("\n"), &rows.join("\n"))).unwrap();
        return;
    }
    let names: Vec<_> =
        before[2..].iter().map(|row| row.trim_start_matches("| ").split(" | ").next().unwrap()).collect();
    assert_eq!(names, KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>(), "the kinds of docs/support.md");
    for (row, (rename, retype)) in before[2..].iter().zip(&cells) {
        let row: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        for (cell, found) in [(row[1], rename), (row[2], retype)] {
            for (version, word) in found {
                // A version that the page has nothing of cannot make it wrong.
                let listed = row[3].split(", ").any(|one| one == version.to_string());
                assert!(!listed || says(cell, *version, word), "{} on {version}: {word}; the page has {cell}", row[0]);
            }
        }
    }
}
