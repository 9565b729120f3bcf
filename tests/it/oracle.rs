//! Random tables with random dependants, and a random change of a column: writes work as beside plain ALTER TABLE, the way back ends where
//! the run began, its end cannot be told from plain ALTER TABLE, and what is refused is refused for a reason that is known.
//!
//! `CASES=2000 CROSSFADE_SEED=7 cargo test --test it -- oracle::` runs so many cases of a seed, `CASE=12 CROSSFADE_SEED=7` one of
//! them. A case that fails is made smaller, and what is left is written to `target/oracle`.

mod batch;
mod case;
mod dependants;
mod generate;
mod passes;
mod places;
mod shrink;
mod types;

use self::batch::{Batch, Seen};
pub(crate) use self::passes::chain;
use self::places::Places;
pub(crate) use self::places::{difference, with_sorted_statistics};
use crate::harness::{versions, whole};

/// Cases of one database.
const BATCH: u64 = 16;

/// Returns the number in a variable of the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Tests that share the cases of a kind and run at the same time.
const TESTS: u64 = 4;

/// Runs a part of 250 random cases, renames or type changes (of 1000, in all tests), and says what it saw.
async fn all_end_like_alter(rename: bool, part: u64) {
    let seed = number("CROSSFADE_SEED").unwrap_or_else(|| if whole() { rand::random_range(0..1_000_000) } else { 1 });
    let cases = number("CASES").unwrap_or(if whole() { 1000 } else { 250 });
    let only = number("CASE");
    let (first, last) = only.map_or((0, cases), |only| (only, only + 1));
    let (all_versions, mut found) = (versions(), Seen::default());
    let batches = (first..last).step_by(usize::try_from(BATCH).unwrap()).zip(0..);
    for (first, turn) in batches.filter(|(_, turn)| turn % TESTS == part) {
        let version = all_versions[usize::try_from(turn).unwrap() % all_versions.len()].clone();
        let places = Places::new(&version).await;
        let cases = (first..last.min(first + BATCH)).map(|number| generate::case(seed, number, rename)).collect();
        found.add(Batch { version, rename, cases, short: false }.run(places).await);
    }
    assert!(found.cases > 0 || only.is_some() || number("CASES").is_some(), "no case has run");
    found.say(seed, rename);
    let failed = shrink::reports(&found.failures).await;
    assert!(
        failed.is_empty(),
        "seed {seed}: {} of {} cases failed\n\n{}",
        found.failures.len(),
        found.cases,
        failed.join("\n\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_of_random_tables_end_like_alter_table_first_part() {
    all_end_like_alter(true, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_of_random_tables_end_like_alter_table_second_part() {
    all_end_like_alter(true, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_of_random_tables_end_like_alter_table_third_part() {
    all_end_like_alter(true, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_of_random_tables_end_like_alter_table_last_part() {
    all_end_like_alter(true, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn type_changes_of_random_tables_end_like_alter_table_first_part() {
    all_end_like_alter(false, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn type_changes_of_random_tables_end_like_alter_table_second_part() {
    all_end_like_alter(false, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn type_changes_of_random_tables_end_like_alter_table_third_part() {
    all_end_like_alter(false, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn type_changes_of_random_tables_end_like_alter_table_last_part() {
    all_end_like_alter(false, 3).await;
}
