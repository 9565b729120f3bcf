//! The command line: what can be typed, and which library call it becomes. The only module that knows clap, reads the
//! environment and picks exit codes.

mod advance;
mod approve;
mod ask;
mod check;
mod cleanup;
mod complete_names;
mod completions;
mod config;
mod consent;
mod context;
mod database;
mod demo;
mod described;
mod error;
pub mod exit_code;
mod export;
mod file;
mod history;
mod import;
mod inventory;
mod man;
mod metrics;
mod new;
#[cfg(feature = "notify")]
mod notify;
mod pause;
mod plan;
mod plan_file;
mod report;
mod reported;
mod resume;
mod rollback;
mod run;
mod schedule;
mod schema;
#[cfg(feature = "serve")]
mod serve;
mod show;
mod signals;
mod start;
mod status;
mod tick;
#[cfg(feature = "otlp")]
mod traces;
mod tune;
mod verify;
mod watchdog;
#[cfg(test)]
mod written;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::run::Phase;
use config::Config;
use context::Context;
use error::CliError;

/// Change the columns, indexes and constraints of a live PostgreSQL table: in phases, under traffic, with proof and a way back.
#[derive(Debug, Parser)]
#[command(name = "crossfade", version = version(), max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = AFTER_HELP)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
The database: --database-url, or DATABASE_URL, or, as for psql, PGHOST, PGPORT,
PGUSER, PGDATABASE, PGSSLMODE and PGPASSWORD or ~/.pgpass; or the same in .env,
or database_url in crossfade.toml.

Exit codes: 0 done, 1 internal error, 2 usage, 3 plan invalid, 4 database refused
or unreachable, 5 blocked or not due, 6 rows not equal, 7 the database differs
from the ledger, 8 stopped by its watchdog, 130 interrupted.

To see it work: crossfade demo";

/// Returns the version, with the commit where the build was told of it (`make dist`).
fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let commit = option_env!("CROSSFADE_COMMIT").filter(|commit| !commit.is_empty());
        env!("CARGO_PKG_VERSION").to_owned() + &commit.map(|commit| format!(" ({commit})")).unwrap_or_default()
    });
    &VERSION
}

/// What every command understands.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// The database, as postgres://user@host:port/database
    #[arg(long, global = true, value_name = "URL", env = "DATABASE_URL", hide_env = true, hide_env_values = true)]
    database_url: Option<String>,
    /// The schema that holds the ledger [default: crossfade]
    #[arg(long, global = true, value_name = "SCHEMA", env = "CROSSFADE_LEDGER_SCHEMA", hide_env = true)]
    ledger_schema: Option<String>,
    /// The role that may own crossfade's schema, besides your own and superusers; it gets your rights
    #[arg(long, global = true, value_name = "ROLE", env = "CROSSFADE_LEDGER_OWNER", hide_env = true)]
    ledger_owner: Option<String>,
    /// The directory of the hooks that plans may name; its executables are run with your rights
    #[arg(long, global = true, value_name = "DIR", env = "CROSSFADE_HOOKS", hide_env = true)]
    hooks: Option<PathBuf>,
    /// How to print results, events and errors
    #[arg(long, global = true, default_value = "text", value_parser = PossibleValuesParser::new(["text", "json"]).map(format))]
    format: Format,
    /// Report every step; repeat it (-vv, -vvv) for the program's log
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Print only the result and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    #[arg(long, global = true, help = "Print without colours, as with the environment variable NO_COLOR")]
    no_color: bool,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
    /// Only `plan` has it.
    Sql,
    /// Only `plan` has it.
    Markdown,
}

/// Reads what clap has already compared with the words allowed.
#[expect(clippy::needless_pass_by_value, reason = "clap passes a String")]
fn format(word: String) -> Format {
    match word.as_str() {
        "json" => Format::Json,
        "sql" => Format::Sql,
        "markdown" => Format::Markdown,
        _ => Format::Text,
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    New(new::Args),
    Import(import::Args),
    Check(check::Args),
    Plan(plan::Args),
    Inventory(inventory::Args),
    Run(run::Args),
    Start(start::Args),
    Advance(advance::Args),
    Approve(approve::Args),
    Status(status::Args),
    Schedule(schedule::Args),
    Verify(verify::Args),
    Pause(pause::Args),
    Resume(resume::Args),
    Tune(tune::Args),
    Rollback(rollback::Args),
    History(history::Args),
    Report(report::Args),
    #[cfg(feature = "serve")]
    Serve(serve::Args),
    Metrics(metrics::Args),
    #[cfg(feature = "notify")]
    Notify(notify::Args),
    Show(show::Args),
    Export(export::Args),
    Cleanup(cleanup::Args),
    Demo(demo::Args),
    Schema(schema::Args),
    Completions(completions::Args),
    CompleteNames(complete_names::Args),
    Man(man::Args),
}

/// `[--to PHASE]`.
fn phase_parser() -> impl clap::builder::TypedValueParser<Value = Phase> {
    PossibleValuesParser::new(Phase::ALL.map(Phase::as_str)).try_map(|word| word.parse::<Phase>())
}

/// Runs the command that `args` (with the program's name first) ask for, on a runtime of its own. Returns what the process is to exit
/// with; see [`exit_code`].
///
/// It waits here and not in the binary, because the code of an `async fn` is generated where somebody waits for it: all of it was
/// compiled a second time there.
pub fn main(args: Vec<OsString>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run_command(args)),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "crossfade: cannot start: {error}");
            ExitCode::from(exit_code::INTERNAL)
        }
    }
}

async fn run_command(args: Vec<OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(&args) {
        Ok(arguments) => arguments,
        Err(error) => return ExitCode::from(reported::usage(&with_usage(error, &args), &args)),
    };
    // These are called where nobody works on a database, when a shell starts for example.
    let offline = matches!(arguments.command, Command::Schema(_) | Command::Completions(_) | Command::Demo(_));
    let config = if offline { Ok(Config::default()) } else { Config::load() };
    let (config, read) = match config {
        Ok(config) => (config, Ok(())),
        Err(error) => (Config::default(), Err(error)),
    };
    let context = Context::new(&arguments.global, config);
    #[cfg(feature = "failpoints")]
    if let Ok(name) = std::env::var("CROSSFADE_FAILPOINT") {
        crate::failpoint::arm(name);
    }
    let done = match read.and_then(|()| context.check()) {
        Ok(()) => Box::pin(dispatch(arguments.command, &context)).await,
        Err(error) => Err(error),
    };
    let code = done.unwrap_or_else(|error| error.report(&context));
    #[cfg(feature = "otlp")]
    context.end();
    ExitCode::from(code)
}

/// Shows what is missing in the usage of the whole command. By itself clap would show options as required that are only set: in
/// the environment, for example.
fn with_usage(mut error: clap::Error, args: &[OsString]) -> clap::Error {
    if error.kind() == ErrorKind::MissingRequiredArgument {
        let mut whole = Arguments::command();
        whole.build();
        let name = args.iter().skip(1).find(|arg| whole.find_subcommand(arg).is_some());
        if let Some(command) = name.and_then(|name| whole.find_subcommand_mut(name)) {
            error.insert(ContextKind::Usage, ContextValue::StyledStr(command.render_usage()));
        }
    }
    error
}

async fn dispatch(command: Command, context: &Context) -> Result<u8, CliError> {
    match command {
        Command::New(args) => Box::pin(new::run(&args, context)).await,
        Command::Import(args) => Box::pin(import::run(&args, context)).await,
        Command::Check(args) => check::run(&args, context).await,
        Command::Plan(args) => plan::run(&args, context).await,
        Command::Inventory(args) => Box::pin(inventory::run(&args, context)).await,
        Command::Run(args) => run::run(&args, context).await,
        Command::Start(args) => start::run(&args, context).await,
        Command::Advance(args) => advance::run(&args, context).await,
        Command::Approve(args) => approve::run(&args, context).await,
        Command::Status(args) => status::run(&args, context).await,
        Command::Verify(args) => verify::run(&args, context).await,
        Command::Pause(args) => pause::run(&args, context).await,
        Command::Resume(args) => resume::run(&args, context).await,
        Command::Tune(args) => tune::run(&args, context).await,
        Command::Rollback(args) => rollback::run(&args, context).await,
        Command::Schedule(args) => schedule::run(&args, context).await,
        Command::History(args) => history::run(&args, context).await,
        Command::Report(args) => report::run(&args, context).await,
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(&args, context).await,
        Command::Metrics(args) => metrics::run(&args, context).await,
        #[cfg(feature = "notify")]
        Command::Notify(args) => notify::run(&args, context).await,
        Command::Show(args) => show::run(&args, context).await,
        Command::Export(args) => export::run(&args, context).await,
        Command::Cleanup(args) => cleanup::run(&args, context).await,
        Command::Demo(args) => Box::pin(demo::run(&args, context)).await,
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::CompleteNames(args) => complete_names::run(&args, context).await,
        Command::Man(args) => man::run(&args),
    }
}
