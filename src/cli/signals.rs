//! Ctrl-C: once to finish the current unit of work, twice to end now. SIGTERM counts as the first.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::exit_code;
use crate::report::Console;
use crate::runner::Tool;

/// Watches for signals until it is dropped.
pub(super) struct Guard(JoinHandle<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// For how long the end of the process waits until it is in the log.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Cancels `stop` at the first signal and ends the process at the second Ctrl-C, which the runs of `tool` note in their logs.
/// After either, the run can continue.
pub(super) fn stop_politely(stop: CancellationToken, console: Console, json: bool, tool: Option<Tool>) -> Guard {
    Guard(tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            tracing::warn!("signals cannot be caught; Ctrl-C stops at once");
            return;
        };
        loop {
            let asked_by_hand = tokio::select! {
                _ = interrupt.recv() => true,
                _ = terminate.recv() => false,
            };
            if stop.is_cancelled() {
                if asked_by_hand {
                    if let Some(tool) = &tool {
                        let _ = tokio::time::timeout(LAST_WORDS, tool.note_cut_short()).await;
                    }
                    console.end();
                    std::process::exit(i32::from(exit_code::INTERRUPTED));
                }
                continue;
            }
            stop.cancel();
            console.line(match (json, asked_by_hand) {
                (true, _) => r#"{"event":"stopping"}"#,
                (false, true) => "finishing the current batch; press Ctrl-C again to stop at once",
                (false, false) => "finishing the current batch, as SIGTERM asks",
            });
        }
    }))
}

/// Returns when Ctrl-C or SIGTERM comes; never if signals cannot be caught.
pub(super) async fn asked_to_stop() {
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}
