//! Long matrices: `make test-all` runs them whole. `make test` runs a part that leaves out no row and no column, only
//! combinations of them.

use super::postgres::{Version, versions};

/// Whether everything is tested that there is: `CROSSFADE_TEST_ALL` is set.
pub(crate) fn whole() -> bool {
    std::env::var_os("CROSSFADE_TEST_ALL").is_some()
}

/// Returns the versions for a test that is long and whose subject shorter tests try on every version: all or, in a part, the
/// default one.
pub(crate) fn long_versions() -> Vec<Version> {
    let mut all = versions();
    if !whole() {
        all.truncate(1);
    }
    all
}

/// Returns the versions for the `n`th of several cases, or of several tests with one subject: all or, in a part, one of them, so
/// that all have their turn.
pub(crate) fn versions_of(n: usize) -> Vec<Version> {
    let mut all = versions();
    if whole() {
        return all;
    }
    let one = n % all.len();
    vec![all.swap_remove(one)]
}

/// Returns how many of the places of one long case are skipped to reach the next that is tried: 1, or in a part 3.
pub(crate) fn stride() -> i64 {
    if whole() { 1 } else { 3 }
}
