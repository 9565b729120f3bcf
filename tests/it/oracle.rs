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

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::batch::{Batch, Seen};
pub(crate) use self::passes::chain;
use self::places::Places;
pub(crate) use self::places::difference;
use crate::harness::{versions, whole};

/// Cases of one database.
const BATCH: u64 = 20;

/// Returns the number in a variable of the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Runs `cases` random cases, renames or type changes, and says what it saw.
async fn all_end_like_alter(rename: bool, cases: u64) {
    let seed = number("CROSSFADE_SEED").unwrap_or_else(|| if whole() { rand::random_range(0..1_000_000) } else { 1 });
    let cases = number("CASES").unwrap_or(cases);
    let only = number("CASE");
    let (first, last) = only.map_or((0, cases), |only| (only, only + 1));
    let mut all = JoinSet::new();
    // The servers share the machine's cores with the other tests.
    let places_at_once = Arc::new(Semaphore::new(3));
    let (all_versions, mut found) = (versions(), Seen::default());
    for (turn, first) in (first..last).step_by(usize::try_from(BATCH).unwrap()).enumerate() {
        let permit = Arc::clone(&places_at_once).acquire_owned().await.unwrap();
        let version = all_versions[turn % all_versions.len()].clone();
        let places = Places::new(&version).await;
        let cases = (first..last.min(first + BATCH)).map(|number| generate::case(seed, number, rename)).collect();
        let batch = Batch { version, rename, cases, short: false };
        all.spawn(async move {
            let found = batch.run(places).await;
            drop(permit);
            found
        });
        while let Some(done) = all.try_join_next() {
            found.add(done.unwrap());
        }
    }
    while let Some(done) = all.join_next().await {
        found.add(done.unwrap());
    }
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
async fn renames_of_random_tables_end_like_alter_table() {
    all_end_like_alter(true, if whole() { 250 } else { 40 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn type_changes_of_random_tables_end_like_alter_table() {
    all_end_like_alter(false, if whole() { 300 } else { 40 }).await;
}
