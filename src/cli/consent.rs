//! Consent to what cannot be undone: `--yes`, or the plan's name typed at a terminal.

use super::ask;
use super::context::{Context, Session};
use super::error::CliError;
use crate::runner::{Error, NoCleanup, NotYet};

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
    match typed(context, &words, ("plan", &name)).await? {
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
            Error::NotYet(_) | Error::NotCleaned { why: NoCleanup::Consent { .. } } if self == Self::No => {
                CliError::Declined(error)
            }
            error => error.into(),
        }
    }
}

/// Asks for the name of something (`what`, `name`) at the terminal, after `words`, which are lines.
///
/// # Errors
/// [`Error::Interrupted`] when the answer is Ctrl-C.
pub(super) async fn typed(context: &Context, words: &str, (what, name): (&str, &str)) -> Result<Answer, CliError> {
    let question = format!("To continue, type the name of the {what} ({name}): ");
    let Some(line) = ask::line(context, words, &question).await? else { return Ok(Answer::NotAsked) };
    Ok(if line.trim() == name { Answer::Yes } else { Answer::No })
}
