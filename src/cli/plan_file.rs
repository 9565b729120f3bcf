//! Plan files from disk, or from standard input.

use std::io;
use std::path::Path;

use super::error::{self, CliError, FileKind};
use super::{ask, signals};
use crate::plan::{self, Plan};
use crate::runner::Error;

/// How standard input is named on a command line.
const STANDARD_INPUT: &str = "-";

/// Returns the plan in `path` and its text. May be cancelled by Ctrl-C while it waits for standard input.
pub(super) async fn read(path: &Path) -> Result<(Plan, String), CliError> {
    let name = name(path);
    let text = if path == Path::new(STANDARD_INPUT) {
        tokio::select! {
            text = ask::in_thread(|| io::read_to_string(io::stdin().lock())) => text,
            () = signals::asked_to_stop() => return Err(Error::Interrupted.into()),
        }
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(error::file(Path::new(&name), FileKind::Plan))?;
    let plan = plan::parse(&name, &text)?;
    Ok((plan, text))
}

/// Returns what messages call the file.
pub(super) fn name(path: &Path) -> String {
    if path == Path::new(STANDARD_INPUT) { "standard input".to_owned() } else { path.to_string_lossy().into_owned() }
}
