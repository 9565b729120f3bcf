//! Ends the process when a loop that keeps a run going has not moved for as long as a lease lasts. By then another process
//! may take the run over, and this one would hold on to nothing, for ever.

use std::io::{self, Write as _};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::exit_code;
use crate::ledger::lease_time;
use crate::pulse::{Stalled, Watchdog};
use crate::runner::Tool;

/// For how long standard error may keep the last words waiting: what blocks the process may be its terminal.
const LAST_WORDS: Duration = Duration::from_secs(2);
const HELP: &str = "everything done so far is recorded: run the same command again to continue. \
                    This is a bug: please report it, with what the process was doing";

/// Watches over what `tool` works on until the value is dropped. Its last words are JSON if asked for.
pub(super) fn start(tool: &Tool, json: bool) -> Option<Watchdog> {
    let watchdog = tool.pulse().watch(lease_time(), move |stalled| {
        let (said, hear) = mpsc::channel();
        thread::spawn(move || {
            // Not through the console: whoever is blocked may have it.
            let _ = writeln!(io::stderr(), "{}", text(stalled, json));
            let _ = said.send(());
        });
        let _ = hear.recv_timeout(LAST_WORDS);
        std::process::exit(i32::from(exit_code::STALLED));
    });
    watchdog.inspect_err(|error| tracing::warn!(%error, "the watchdog could not be started")).ok()
}

fn text(stalled: Stalled, json: bool) -> String {
    let message = format!(
        "{} has not moved for {} s, longer than a lease lasts; the watchdog ends this process",
        stalled.what,
        stalled.time.as_secs()
    );
    if json {
        return json!({ "error": { "code": "internal::stalled", "message": message, "help": HELP } }).to_string();
    }
    format!("error[internal::stalled]: {message}\n  help: {HELP}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_say_what_stands_still_and_what_to_do() {
        let stalled = Stalled { what: "the heartbeat", time: Duration::from_millis(15_500) };
        let said = text(stalled, false);
        assert!(said.starts_with("error[internal::stalled]: the heartbeat has not moved for 15 s"), "{said}");
        assert!(said.contains("run the same command again"), "{said}");
        let said: serde_json::Value = serde_json::from_str(&text(stalled, true)).unwrap();
        assert_eq!(said["error"]["code"], "internal::stalled");
    }
}
