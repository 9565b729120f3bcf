//! Consent to what cannot be undone: `--yes`, or the plan's name typed at a terminal.

use std::io::{self, IsTerminal as _, Write as _};

use tokio::sync::oneshot;

use super::context::{Context, Session};
use super::error::CliError;
use super::signals;
use crate::runner::{Error, NotYet};

/// Runs `call`. If it stops because nobody has agreed to what comes next, and a person is there to agree, runs it again.
pub(super) async fn asking<T>(
    context: &Context,
    yes: bool,
    call: impl AsyncFn(&Session) -> Result<T, Error>,
) -> Result<T, CliError> {
    let session = context.session(yes)?;
    let result = call(&session).await;
    drop(session);
    let (name, asked) = match result {
        Err(Error::NotYet(asked @ NotYet::Irreversible { .. })) => match &asked {
            NotYet::Irreversible { name, .. } => (name.to_string(), asked),
            _ => return Err(Error::NotYet(asked).into()),
        },
        other => return Ok(other?),
    };
    if !typed(context, &asked.to_string(), &name).await? {
        return Err(Error::NotYet(asked).into());
    }
    let session = context.session(true)?;
    let result = call(&session).await;
    drop(session);
    Ok(result?)
}

/// Returns whether a person at the terminal has typed `name`, having read `words`; false if there is no terminal.
///
/// # Errors
/// [`Error::Interrupted`] when the answer is Ctrl-C.
pub(super) async fn typed(context: &Context, words: &str, name: &str) -> Result<bool, CliError> {
    if context.json() || !context.terminal || !io::stdin().is_terminal() {
        return Ok(false);
    }
    let mut err = io::stderr().lock();
    let asked = write!(err, "{words}\nTo go on, type the name of the plan ({name}): ").and_then(|()| err.flush());
    drop(err);
    if asked.is_err() {
        return Ok(false);
    }
    // A thread of its own: the runtime would wait for it, and nobody may type anything.
    let (say, said) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line);
        let _ = say.send(read.map(|_| line));
    });
    tokio::select! {
        line = said => Ok(matches!(line, Ok(Ok(line)) if line.trim() == name)),
        () = signals::asked_to_stop() => Err(Error::Interrupted.into()),
    }
}
