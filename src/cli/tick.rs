//! What a tick led to, in one word: what a scheduler does about it depends on nothing else.

use serde::Serialize;

use super::context::Context;
use super::error::CliError;
use super::exit_code;
use crate::run::Opener;
use crate::runner::{Error, Finish, NotYet};

/// What a tick led to. In the order of urgency: the most urgent of several is that of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Tick {
    /// Nothing was due, the run is over, or another process is at work on it.
    NothingDue,
    /// A phase was finished.
    Advanced,
    /// Something must happen first that others do: a release, a server, another plan.
    Blocked,
    /// A person must decide first.
    WaitsForPerson,
    /// It failed; this is its exit code.
    #[serde(rename = "failed")]
    Failed(#[serde(skip)] u8),
}

impl Tick {
    /// Returns what a tick led to that ended without an error.
    pub(super) fn of(finish: &Finish) -> Self {
        if finish.did.is_empty() { Self::NothingDue } else { Self::Advanced }
    }

    /// Tells of an error as other commands do, and returns what it means for whoever calls again anyway.
    pub(super) fn reported(error: &CliError, context: &Context) -> Self {
        let exit_code = error.report(context);
        match error {
            CliError::Tool(error) => Self::of_error(error, exit_code),
            _ => Self::Failed(exit_code),
        }
    }

    /// Returns what an error means that other commands end with `exit_code` for.
    fn of_error(error: &Error, exit_code: u8) -> Self {
        match error {
            Error::Held { .. } => Self::NothingDue,
            Error::Paused { .. } | Error::RollingBack { .. } => Self::WaitsForPerson,
            Error::NotYet(closed) => match opener(closed) {
                Opener::Time => Self::NothingDue,
                Opener::Person => Self::WaitsForPerson,
                Opener::Others => Self::Blocked,
            },
            _ if exit_code == exit_code::BLOCKED => Self::Blocked,
            _ => Self::Failed(exit_code),
        }
    }

    /// Returns what the process exits with.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::NothingDue => exit_code::NOTHING_DUE,
            Self::Advanced => exit_code::DONE,
            Self::Blocked => exit_code::BLOCKED,
            Self::WaitsForPerson => exit_code::PERSON,
            Self::Failed(code) => code,
        }
    }

    /// Returns what the ticks of all runs led to; nothing is due where there are none.
    pub(super) fn all(ticks: &[Self]) -> Self {
        ticks.iter().copied().max().unwrap_or(Self::NothingDue)
    }
}

fn opener(closed: &NotYet) -> Opener {
    match closed {
        NotYet::Gate { reading, .. } => reading.opener(),
        NotYet::Grace { .. } => Opener::Time,
        NotYet::Irreversible { .. } | NotYet::Drops { .. } => Opener::Person,
        NotYet::Quiet { .. } | NotYet::Plans { .. } => Opener::Others,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_urgent_of_several_is_that_of_all() {
        use Tick::{Advanced, Blocked, Failed, NothingDue, WaitsForPerson};
        assert_eq!(Tick::all(&[]).exit_code(), 9);
        assert_eq!(Tick::all(&[NothingDue, Advanced, NothingDue]).exit_code(), 0);
        assert_eq!(Tick::all(&[Blocked, Advanced]).exit_code(), 5);
        assert_eq!(Tick::all(&[WaitsForPerson, Blocked]).exit_code(), 10);
        assert_eq!(Tick::all(&[Failed(6), WaitsForPerson, Advanced]).exit_code(), 6);
    }

    #[test]
    fn what_waits_for_nobody_is_not_urgent() {
        let name = crate::ident::PlanName::new("p").unwrap();
        let held = Error::Held { name: name.clone(), holder: String::new(), seconds: 1.0, filling: false };
        assert_eq!(Tick::of_error(&held, 5), Tick::NothingDue);
        assert_eq!(Tick::of_error(&Error::Paused { name, by: None }, 5), Tick::WaitsForPerson);
        assert_eq!(Tick::of_error(&Error::Pooler, 2), Tick::Failed(2));
    }
}
