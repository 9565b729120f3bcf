//! A case that fails, made as small as it can be, as a file that can be read.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::batch::{Batch, Failed};
use super::case::Case;
use super::passes::Failure;
use super::places::Places;
use crate::harness::{Version, plain_alter};

/// How often a case is tried while it gets smaller, and for how long.
const TRIES: u32 = 150;
const TIME: Duration = Duration::from_secs(90);
/// How many failures are made smaller; the others are said to have failed.
const SHRUNK: usize = 3;

/// Returns what is to be said of each failure, once it is as small as can be and written to a file.
pub(super) async fn reports(failures: &[Failed]) -> Vec<String> {
    let mut all = Vec::new();
    for (n, Failed { case, version, failure }) in failures.iter().enumerate() {
        let head = format!("case {} on PostgreSQL {}: {}", case.number, version.major, failure.stage);
        if n >= SHRUNK {
            all.push(format!("{head}\n{}", short(&failure.message)));
            continue;
        }
        let (smallest, failure, tries) = shrunk(case.clone(), version, failure.clone()).await;
        let path = write(&smallest, version, &failure);
        all.push(format!("{head}, {tries} tries, {}\n{}", path.display(), short(&failure.message)));
    }
    all
}

fn short(message: &str) -> String {
    message.chars().take(1200).collect()
}

/// Returns the failure of a case in databases of its own.
async fn fails(case: &Case, version: &Version, short: bool) -> Option<Failure> {
    let rename = case.is_rename();
    let batch = Batch { version: version.clone(), rename, cases: vec![case.clone()], short };
    let mut seen = batch.run(Places::new(version).await).await;
    seen.failures.pop().map(|failed| failed.failure)
}

/// Takes away one thing after the other, as long as the case fails in the same place.
async fn shrunk(mut case: Case, version: &Version, mut failure: Failure) -> (Case, Failure, u32) {
    let (mut tries, begun) = (0, Instant::now());
    let is_same = |found: Option<Failure>, failure: &Failure| found.filter(|found| found.stage == failure.stage);
    let short = is_same(fails(&case, version, true).await, &failure).is_some();
    loop {
        let mut smaller = false;
        let mut at = 0;
        // What can be taken away changes with each success.
        while let Some(candidate) = candidates(&case).into_iter().nth(at) {
            if tries == TRIES || begun.elapsed() > TIME {
                return (case, failure, tries);
            }
            tries += 1;
            match is_same(fails(&candidate, version, short).await, &failure) {
                Some(found) => (case, failure, smaller) = (candidate, found, true),
                None => at += 1,
            }
        }
        if !smaller {
            return (case, failure, tries);
        }
    }
}

/// Returns the case without one of its things each: first whole things, then columns, then statements that add to a thing.
fn candidates(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    let half = case.pieces.len().div_ceil(2);
    for some in case.pieces.chunks(half.max(1)).filter(|_| half > 1) {
        all.push(Case { pieces: some.to_vec(), ..case.clone() });
    }
    for at in (0..case.pieces.len()).rev() {
        let mut less = case.clone();
        less.pieces.remove(at);
        all.push(less);
    }
    for at in (0..case.columns.len()).rev().filter(|at| case.columns[*at].name != case.column) {
        let mut less = case.clone();
        less.columns.remove(at);
        all.push(less);
    }
    if case.kills.is_some() {
        all.push(Case { kills: None, ..case.clone() });
    }
    if case.grace {
        all.push(Case { grace: false, ..case.clone() });
    }
    for (at, piece) in case.pieces.iter().enumerate() {
        for statement in (1..piece.statements.len()).rev() {
            let mut less = case.clone();
            less.pieces[at].statements.remove(statement);
            all.push(less);
        }
        for write in (0..piece.writes.len()).rev() {
            let mut less = case.clone();
            less.pieces[at].writes.remove(write);
            all.push(less);
        }
    }
    for at in 0..case.columns.len() {
        let column = &case.columns[at];
        if column.not_null || !column.more.is_empty() {
            let mut less = case.clone();
            (less.columns[at].not_null, less.columns[at].more, less.columns[at].numbered) =
                (false, String::new(), false);
            less.columns[at].generated = false;
            all.push(less);
        }
    }
    all
}

/// Writes the case and its plan, and returns the path of the SQL.
fn write(case: &Case, version: &Version, failure: &Failure) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/oracle");
    std::fs::create_dir_all(&dir).unwrap();
    let kind = if case.is_rename() { "rename" } else { "retype" };
    let path = dir.join(format!("{kind}-{}-{}.sql", case.seed, case.number));
    let commented = format!("-- {}\n{}\n", failure.stage, failure.message).trim_end().replace('\n', "\n-- ");
    let text = format!(
        "-- Seed {}, case {} on PostgreSQL {}; the plan is in the file beside this one. Rolled back from {}, {}.\n{commented}\n\
         -- Before the run:\nCREATE ROLE neighbour; CREATE ROLE crossfade_viewer;\nALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO neighbour;\n\n{};\n\n\
         -- What the end is compared with:\n-- {}\n",
        case.seed,
        case.number,
        version.major,
        case.back_from,
        if case.kills.is_some() { "killed at random" } else { "not killed" },
        case.script(),
        plain_alter(&case.plan()).join("; ").replace('\n', "\n-- "),
    );
    std::fs::write(&path, text).unwrap();
    std::fs::write(path.with_extension("yaml"), case.plan_text()).unwrap();
    path
}
