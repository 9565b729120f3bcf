//! Places where a test makes the tool misbehave. Without the feature `failpoints` there are none.

#[cfg(feature = "failpoints")]
static ARMED: std::sync::OnceLock<String> = std::sync::OnceLock::new();

/// Makes the place called `name` block its thread for ever, in this process. For tests only.
#[cfg(feature = "failpoints")]
pub(crate) fn arm(name: String) {
    // The first one counts.
    let _ = ARMED.set(name);
}

/// Does what a test has asked for at this place.
#[cfg(feature = "failpoints")]
pub(crate) fn hit(name: &str) {
    if ARMED.get().is_some_and(|armed| armed == name) {
        tracing::debug!(name, "failpoint");
        loop {
            std::thread::park();
        }
    }
}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn hit(_name: &str) {}
