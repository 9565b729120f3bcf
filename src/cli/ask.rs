//! Questions to the person at the terminal.

use std::io::{self, IsTerminal as _, Write as _};

use rustix::termios::{QueueSelector, tcflush};
use tokio::sync::oneshot;

use super::context::Context;
use super::error::CliError;
use super::signals;
use crate::runner::Error;

/// Asks `question` at the terminal, after `words`, which are lines. Returns what was typed, with its line break if it has one, or
/// `None` where there is nobody to ask. What was typed before the question is no answer, and is thrown away.
///
/// # Errors
/// [`Error::Interrupted`] when the answer is Ctrl-C.
pub(super) async fn line(context: &Context, words: &str, question: &str) -> Result<Option<String>, CliError> {
    if !is_possible(context) || !write(words, question) {
        return Ok(None);
    }
    let read = || {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    };
    let line = tokio::select! {
        line = in_thread(read) => line.unwrap_or_default(),
        () = signals::asked_to_stop() => {
            context.console.line("");
            return Err(Error::Interrupted.into());
        }
    };
    if !line.ends_with('\n') {
        context.console.line("");
    }
    Ok(Some(line))
}

/// Returns what `read` reads from standard input. In a thread of its own: the runtime would wait for it when the command ends, and
/// nobody may type anything.
pub(super) async fn in_thread(read: impl FnOnce() -> io::Result<String> + Send + 'static) -> io::Result<String> {
    let (say, said) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = say.send(read());
    });
    said.await.unwrap_or_else(|_| Err(io::ErrorKind::UnexpectedEof.into()))
}

/// Returns whether there is a person to ask.
pub(super) fn is_possible(context: &Context) -> bool {
    !context.json() && context.terminal && io::stdin().is_terminal()
}

/// Writes the question. Returns whether it could be asked.
fn write(words: &str, question: &str) -> bool {
    let mut err = io::stderr().lock();
    let told = err.write_all(words.as_bytes()).and_then(|()| err.flush());
    if told.is_err() || tcflush(io::stdin(), QueueSelector::IFlush).is_err() {
        return false;
    }
    write!(err, "{question}").and_then(|()| err.flush()).is_ok()
}
