//! Reports what happens to people and scripts. Consumes events and results, decides nothing.
//!
//! Results go to standard output, everything else to standard error. `human`, `json`, `metrics` and `html` turn values into text,
//! `narrator` turns events into lines, `progress` puts them on the terminal.

mod calendar_file;
pub(crate) mod html;
pub(crate) mod human;
pub(crate) mod json;
mod look;
pub(crate) mod markdown;
mod metrics;
mod narrator;
mod progress;
mod screen;
mod statement;
mod words;

pub(crate) use calendar_file::calendar_file;
pub(crate) use look::{COLUMNS, Look, ROWS, printable, redacted};
pub(crate) use metrics::metrics;
pub(crate) use progress::{Console, Reporter, Telling, bar};
pub(crate) use screen::Screen;

use std::io::{self, Write as _};

/// Writes a result to standard output. A reader that has gone away (`| head`) is no error.
pub(crate) fn result(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
