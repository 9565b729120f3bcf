//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Rows a second at which no backfill of a test ends before the test has lost its patience: it is at work, and will be for
/// as long as is needed to disturb it, however slow the machine is.
pub(crate) const CRAWL: &str = "100";

/// How long a test waits for what is bound to come: a bound for a hang, on however busy a machine. What should come soon is
/// said by a bench.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// Returns as soon as `condition` holds.
///
/// # Panics
/// When it does not hold within `timeout`, naming `what` was waited for.
pub(crate) async fn wait_for(what: &str, timeout: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + timeout;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited {timeout:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
