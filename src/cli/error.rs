//! Why a command failed, as it is told: what, a stable code, and what to do.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::context::Context;
use super::exit_code;
use crate::catalog::CatalogError;
use crate::ledger::{LeaseError, LedgerError};
use crate::pg;
use crate::plan::PlanErrors;
use crate::report::{Console, human, printable, redacted};
use crate::runner::Error;
use crate::testkit::server::ServerError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// What was typed makes no sense.
    #[error("{message}")]
    Usage {
        /// Stable: `usage::<what>`.
        code: &'static str,
        message: String,
        help: String,
    },
    /// A plan file with problems.
    #[error(transparent)]
    Plan(#[from] PlanErrors),
    /// A file that cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    /// The library's error.
    #[error(transparent)]
    Tool(#[from] Error),
    /// The demo's server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The result could not be written.
    #[error("the result could not be written: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    pub(super) fn usage(code: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { code, message: message.into(), help: help.into() }
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Plan(_) => exit_code::PLAN_INVALID,
            Self::File { source, .. } if source.kind() == io::ErrorKind::InvalidData => exit_code::PLAN_INVALID,
            Self::Usage { .. } | Self::File { .. } => exit_code::USAGE,
            Self::Tool(error) => exit_code::of(error),
            Self::Server(_) => exit_code::DATABASE,
            Self::Output(_) => exit_code::INTERNAL,
        }
    }

    /// Prints the error on standard error. Returns the exit code.
    pub(super) fn report(&self, context: &Context) -> u8 {
        let text = if context.json() { json!({ "error": self.json(context) }).to_string() } else { self.text(context) };
        context.console.line(&redacted(text.trim_end()));
        self.exit_code()
    }

    /// Returns `{code, message, help}` and what belongs to the kind of error.
    pub(super) fn json(&self, context: &Context) -> Value {
        let target = context.target();
        let mut value = json!({ "code": self.code(), "message": self.message(target.as_deref()), "help": self.help(target.as_deref()) });
        let (key, detail) = match self {
            Self::Plan(problems) => ("problems", json!(problems)),
            Self::Tool(Error::Refused { findings }) => ("findings", json!(findings)),
            Self::Tool(Error::Mismatch(outcome)) => ("outcome", json!(outcome)),
            Self::Tool(Error::Drifted { facts }) => ("facts", json!(facts)),
            Self::Tool(Error::Locked { blockers, .. }) => ("blockers", json!(blockers)),
            _ => return value,
        };
        value[key] = detail;
        value
    }

    /// Returns the error for people.
    pub(super) fn text(&self, context: &Context) -> String {
        let look = context.err;
        if let Self::Plan(problems) = self {
            return problems.render(look.color);
        }
        let target = context.target();
        let mut text = format!(
            "{} {}\n",
            look.red(&format!("error[{}]:", self.code())),
            printable(&self.message(target.as_deref()))
        );
        match self {
            Self::Tool(Error::Refused { findings }) => {
                for finding in findings {
                    text.push_str(&human::one_finding(&look.red("refused"), finding));
                }
            }
            Self::Tool(Error::Mismatch(outcome)) => text.push_str(&human::keys(outcome)),
            _ => {}
        }
        let _ = writeln!(text, "  {} {}", look.bold("help:"), self.help(target.as_deref()));
        text
    }

    /// Returns what went wrong; where no connection could be made, with the place that it was to lead to.
    fn message(&self, target: Option<&str>) -> String {
        match (self, target) {
            (Self::Tool(error), Some(target)) => match error.database() {
                Some(sqlx::Error::Io(error)) => format!("{target} cannot be reached: {error}"),
                _ => self.to_string(),
            },
            _ => self.to_string(),
        }
    }

    /// Returns the stable code of the error.
    fn code(&self) -> &'static str {
        match self {
            Self::Usage { code, .. } => code,
            Self::Plan(_) => "plan::invalid",
            Self::File { .. } => "usage::file",
            Self::Output(_) => "internal::output",
            Self::Server(ServerError::NoBinaries) => "demo::no_postgres",
            Self::Server(_) => "demo::server",
            Self::Tool(error) => tool_code(error),
        }
    }

    /// Returns what to do about it.
    fn help(&self, target: Option<&str>) -> String {
        match self {
            Self::Usage { help, .. } => help.clone(),
            Self::Plan(_) => "mend the file, then crossfade check it".to_owned(),
            Self::File { source, .. } if source.kind() == io::ErrorKind::InvalidData => {
                "a plan is a text file in UTF-8".to_owned()
            }
            Self::File { .. } => "check the path; a plan is a YAML file".to_owned(),
            Self::Server(ServerError::NoBinaries) => "then run crossfade demo again".to_owned(),
            Self::Server(_) => {
                "the demo needs a PostgreSQL that can be started here, and room in the temporary directory".to_owned()
            }
            Self::Output(_) => "check what standard output is connected to".to_owned(),
            Self::Tool(error) => tool_help(error, target.unwrap_or("the database")),
        }
    }
}

fn tool_code(error: &Error) -> &'static str {
    match error {
        Error::Refused { .. } => "run::refused",
        Error::PlanEdited { .. } => "run::plan_edited",
        Error::Blocked { .. } => "run::blocked",
        Error::PointOfNoReturn { .. } => "run::point_of_no_return",
        Error::Locked { .. } => "run::locked",
        Error::Mismatch(_) => "run::mismatch",
        Error::Drifted { .. } => "run::drifted",
        Error::Interrupted => "run::interrupted",
        Error::Step { .. } => "run::step_failed",
        Error::Ledger(LedgerError::Newer { .. }) => "ledger::newer",
        Error::Ledger(LedgerError::Format { .. }) => "ledger::format",
        Error::Ledger(LedgerError::NotALedger { .. }) => "ledger::not_a_ledger",
        Error::Ledger(LedgerError::NoSuchRun { .. }) => "ledger::no_such_run",
        Error::Ledger(LedgerError::ColumnClaimed { .. }) => "ledger::column_claimed",
        Error::Ledger(LedgerError::Illegal(_)) => "ledger::illegal",
        Error::Ledger(LedgerError::Unreadable { .. }) => "ledger::unreadable",
        Error::Ledger(LedgerError::Lease(LeaseError::Held { .. })) => "lease::held",
        Error::Ledger(LedgerError::Lease(LeaseError::Lost { .. })) => "lease::lost",
        Error::Ledger(LedgerError::Lease(LeaseError::Database(error)) | LedgerError::Database(error))
        | Error::Catalog(CatalogError::Database { source: error, .. })
        | Error::Database(error) => database_code(error),
        Error::Catalog(CatalogError::Answer { .. }) => "catalog::answer",
    }
}

fn database_code(error: &sqlx::Error) -> &'static str {
    match pg::class_of(error) {
        pg::ErrorClass::Contention => "database::busy",
        pg::ErrorClass::Connection => "database::unreachable",
        pg::ErrorClass::Refused => "database::refused",
        pg::ErrorClass::Other => "database::error",
    }
}

fn tool_help(error: &Error, target: &str) -> String {
    let help = match error {
        Error::Refused { .. } => "clear the way, then look again with crossfade plan",
        Error::PlanEdited { .. } => "restore the file as it was, or crossfade rollback the run and run the new plan",
        Error::PointOfNoReturn { .. } => {
            "a plan for the opposite change leads back: rename, or change the type, the other way"
        }
        Error::Blocked { .. } => "try again when that is out of the way; crossfade status says where the run stands",
        Error::Locked { .. } => {
            "end the transaction in the way, or try again when it is over; the run goes on where it stopped"
        }
        Error::Mismatch(_) => {
            "look at these rows, then crossfade verify NAME --repair old (or new: the side that is right)"
        }
        Error::Drifted { .. } => {
            "somebody changed one of the run's objects: put it back and run again, or crossfade rollback the run"
        }
        Error::Interrupted => "run the same command again to go on",
        Error::Step { .. } => {
            "nothing of this step is left behind; clear the cause, then run again, or crossfade rollback"
        }
        Error::Ledger(error) => return ledger_help(error, target),
        Error::Catalog(CatalogError::Database { source: error, .. }) | Error::Database(error) => {
            return database_help(error, target);
        }
        Error::Catalog(CatalogError::Answer { .. }) => "this is a bug, or a server that nobody has tried: report it",
    };
    help.to_owned()
}

fn ledger_help(error: &LedgerError, target: &str) -> String {
    let help = match error {
        LedgerError::Newer { .. } => "install the newer crossfade",
        LedgerError::Format { .. } => "install the crossfade that began this run",
        LedgerError::NotALedger { .. } => "name another schema with --ledger-schema or CROSSFADE_LEDGER_SCHEMA",
        LedgerError::NoSuchRun { .. } => "crossfade status lists the runs; crossfade run PLAN begins one",
        LedgerError::ColumnClaimed { .. } => "crossfade status says where that run stands",
        LedgerError::Illegal(_) | LedgerError::Unreadable { .. } => {
            "the ledger was changed by hand, or this is a bug: keep the ledger as it is and report it"
        }
        LedgerError::Lease(LeaseError::Held { .. }) => {
            "leave it to that process, or stop it and try again; crossfade status --watch follows it"
        }
        LedgerError::Lease(LeaseError::Lost { .. }) => {
            "nothing is lost; crossfade status says who goes on with the run"
        }
        LedgerError::Lease(LeaseError::Database(error)) | LedgerError::Database(error) => {
            return database_help(error, target);
        }
    };
    help.to_owned()
}

fn database_help(error: &sqlx::Error, target: &str) -> String {
    let code = pg::sqlstate(error);
    match (code.as_deref(), pg::class_of(error)) {
        (Some("28P01" | "28000"), _) => {
            format!("{target}: check user and password (in the URL, PGPASSWORD or ~/.pgpass) and pg_hba.conf")
        }
        (Some("3D000"), _) => format!("{target}: check the database's name"),
        (Some("25006"), _) => format!("{target} is read-only, perhaps a replica: connect to the primary"),
        (Some("42501"), _) => {
            "use the role that owns the table, and let it create the ledger: GRANT CREATE ON DATABASE ... TO ..."
                .to_owned()
        }
        (Some("53300"), _) => format!("{target} has no free connection: try again later, or raise max_connections"),
        (_, pg::ErrorClass::Connection) => {
            "is the server up, and can it be reached from here? A run that had begun goes on where it stopped"
                .to_owned()
        }
        (_, pg::ErrorClass::Refused) => format!("{target}: check the connection settings, TLS among them (sslmode)"),
        (_, pg::ErrorClass::Contention) => "try again; the run goes on where it stopped".to_owned(),
        (Some(_), pg::ErrorClass::Other) => {
            "clear the cause, then run again; the run goes on where it stopped".to_owned()
        }
        (None, pg::ErrorClass::Other) => "run again; if it comes back, report it with the output of -vv".to_owned(),
    }
}

/// Prints what clap has to say: help and version as a result, anything else as an error. Returns the exit code.
pub(super) fn usage(error: &clap::Error, args: &[OsString]) -> u8 {
    let environment = super::context::Environment::read();
    let no_color = args.iter().any(|arg| arg == "--no-color");
    let text = |terminal: bool| {
        let rendered = error.render();
        if environment.color(no_color, terminal) { rendered.ansi().to_string() } else { rendered.to_string() }
    };
    if !error.use_stderr() {
        return match crate::report::result(&text(io::stdout().is_terminal())) {
            Ok(()) => exit_code::DONE,
            Err(_) => exit_code::INTERNAL,
        };
    }
    let console = Console::default();
    if wants_json(args) {
        let message = error.render().to_string();
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        let message = message.split("\n\n").next().unwrap_or_default();
        let value = json!({ "error": { "code": "usage::arguments", "message": message, "help": "crossfade --help" } });
        console.line(&redacted(&value.to_string()));
    } else {
        console.line(&redacted(text(io::stderr().is_terminal()).trim_end()));
    }
    exit_code::USAGE
}

fn wants_json(args: &[OsString]) -> bool {
    let pairs = args.iter().zip(args.iter().skip(1));
    args.iter().any(|arg| arg == "--format=json") || pairs.into_iter().any(|(a, b)| a == "--format" && b == "json")
}

/// Returns the error of a file that could not be read.
pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> CliError {
    let path = path.to_owned();
    move |source| CliError::File { path, source }
}
