//! Consent to what cannot be undone: `--yes`, or the plan's name typed at a terminal.

use std::io::{self, IsTerminal as _, Write as _};

use rustix::termios::{QueueSelector, tcflush};
use tokio::sync::oneshot;

use super::context::{Context, Session};
use super::error::CliError;
use super::signals;
use crate::runner::{Error, NotYet};

/// Runs `call`. If it stops because nobody has agreed to what comes next, and a person is there to agree, runs it again.
pub(super) async fn asking<T>(
    context: &Context,
    (yes, bypass): (bool, Option<(&str, &str)>),
    call: impl AsyncFn(&Session) -> Result<T, Error>,
) -> Result<T, CliError> {
    let session = context.session(yes, bypass)?;
    let result = call(&session).await;
    drop(session);
    let (name, asked) = match result {
        Err(Error::NotYet(asked @ NotYet::Irreversible { .. })) => match &asked {
            NotYet::Irreversible { name, .. } => (name.to_string(), asked),
            _ => return Err(Error::NotYet(asked).into()),
        },
        other => return Ok(other?),
    };
    let mut words = String::new();
    context.err.wrap(&mut words, ("", ""), &asked.to_string());
    match typed(context, &words, &name).await? {
        Answer::Yes => {}
        answer => return Err(answer.explains(Error::NotYet(asked))),
    }
    let session = context.session(true, bypass)?;
    let result = call(&session).await;
    drop(session);
    Ok(result?)
}

/// What a person says to what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The name was typed.
    Yes,
    /// Something else was typed.
    No,
    /// There is nobody to ask.
    NotAsked,
}

impl Answer {
    /// Returns the error of a call that went without consent. Who was asked has just read what would be done.
    pub(super) fn explains(self, error: Error) -> CliError {
        match error {
            Error::NotYet(_) if self == Self::No => CliError::Declined(error),
            error => error.into(),
        }
    }
}

/// Asks for `name` at the terminal, after `words`, which are lines.
///
/// # Errors
/// [`Error::Interrupted`] when the answer is Ctrl-C.
pub(super) async fn typed(context: &Context, words: &str, name: &str) -> Result<Answer, CliError> {
    if context.json() || !context.terminal || !io::stdin().is_terminal() {
        return Ok(Answer::NotAsked);
    }
    if !ask(words, name) {
        return Ok(Answer::NotAsked);
    }
    // A thread of its own: the runtime would wait for it, and nobody may type anything.
    let (say, said) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line);
        let _ = say.send(read.map(|_| line));
    });
    let line = tokio::select! {
        line = said => line.ok().and_then(Result::ok).unwrap_or_default(),
        () = signals::asked_to_stop() => {
            context.console.line("");
            return Err(Error::Interrupted.into());
        }
    };
    if !line.ends_with('\n') {
        context.console.line("");
    }
    Ok(if line.trim() == name { Answer::Yes } else { Answer::No })
}

/// Writes the question. Returns whether it could be asked: what was typed before it is no answer, and is thrown away.
fn ask(words: &str, name: &str) -> bool {
    let mut err = io::stderr().lock();
    let told = err.write_all(words.as_bytes()).and_then(|()| err.flush());
    if told.is_err() || tcflush(io::stdin(), QueueSelector::IFlush).is_err() {
        return false;
    }
    write!(err, "To continue, type the name of the plan ({name}): ").and_then(|()| err.flush()).is_ok()
}
