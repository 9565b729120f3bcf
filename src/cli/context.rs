//! What all commands share: settings, resolved from flags and environment.

#[cfg(feature = "notify")]
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use super::config::Config;
use super::error::CliError;
#[cfg(feature = "otlp")]
use super::traces::Traces;
use super::{Format, Global, database, signals, watchdog};
use crate::event;
use crate::ident::{PlanName, RelationName};
use crate::ledger::called;
use crate::names::LedgerSchema;
#[cfg(feature = "notify")]
use crate::notify::Destinations;
use crate::pg::Connector;
use crate::pulse::Watchdog;
use crate::report::{self, Console, Look, Reporter, Telling, json};
use crate::run::Actor;
use crate::runner::Tool;

/// What the environment says about the terminal.
pub(super) struct Environment {
    no_color: bool,
    unicode: bool,
}

impl Environment {
    pub(super) fn read() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let locale = locale.map(|locale| locale.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        Self {
            no_color: set("NO_COLOR").is_some() || set("TERM").is_none_or(|term| term == "dumb"),
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    pub(super) fn color(&self, no_color: bool, terminal: bool) -> bool {
        terminal && !no_color && !self.no_color
    }
}

/// Sentences of more columns are hard to read.
const WIDEST: usize = 100;
/// Below this, lines would consist of their indentation.
const NARROWEST: usize = 40;

/// Returns how many columns `stream` has for sentences; where it is no terminal, lines do not end.
fn columns(stream: &(impl io::IsTerminal + AsFd)) -> usize {
    if !stream.is_terminal() {
        return Look::ENDLESS;
    }
    size(stream).0.clamp(NARROWEST, WIDEST)
}

/// Returns columns and rows of the terminal `stream`.
pub(super) fn size(stream: &impl AsFd) -> (usize, usize) {
    match rustix::termios::tcgetwinsize(stream) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (report::COLUMNS, report::ROWS),
    }
}

/// Settings of this invocation.
pub(super) struct Context {
    pub(super) format: Format,
    pub(super) quiet: bool,
    verbose: u8,
    /// How standard output looks.
    pub(super) out: Look,
    /// How standard error looks.
    pub(super) err: Look,
    /// Whether standard error is a terminal.
    pub(super) terminal: bool,
    /// Standard error.
    pub(super) console: Console,
    database_url: Option<String>,
    ledger_schema: String,
    ledger_owner: Option<String>,
    hooks: Option<PathBuf>,
    config: Config,
    #[cfg(feature = "otlp")]
    traces: Option<Traces>,
}

/// What a long-running command needs: a tool that reports its events and that a signal stops.
pub(super) struct Session {
    pub(super) tool: Tool,
    _watchdog: Option<Watchdog>,
    /// Reports events until it is dropped.
    _reporter: Reporter,
    _signals: signals::Guard,
}

impl Session {
    /// Returns the tool; one that goes on in spite of evidence of use, where there is a reason for that.
    pub(super) fn accepting(&self, evidence: Option<&str>) -> Tool {
        let tool = self.tool.clone();
        match evidence {
            Some(reason) => tool.accepting_evidence(reason),
            None => tool,
        }
    }
}

impl Context {
    pub(super) fn new(global: &Global, config: Config) -> Self {
        let environment = Environment::read();
        let look = |terminal, columns| Look {
            color: global.format == Format::Text && environment.color(global.no_color, terminal),
            unicode: environment.unicode,
            columns,
        };
        let terminal = io::stderr().is_terminal();
        #[cfg(feature = "otlp")]
        let (traces, no_traces) = match Traces::from_env() {
            Ok(traces) => (traces, None),
            Err(why) => (None, Some(why)),
        };
        let context = Self {
            format: global.format,
            quiet: global.quiet,
            verbose: global.verbose,
            out: look(io::stdout().is_terminal(), columns(&io::stdout())),
            err: look(terminal, columns(&io::stderr())),
            terminal,
            console: Console::default(),
            database_url: global.database_url.clone().or(config.database_url()).filter(|url| !url.is_empty()),
            ledger_schema: global
                .ledger_schema
                .clone()
                .or(config.ledger_schema())
                .unwrap_or_else(|| LedgerSchema::default().as_str().to_owned()),
            ledger_owner: global.ledger_owner.clone().or(config.ledger_owner()).filter(|role| !role.is_empty()),
            hooks: global.hooks.clone().or(config.hooks()).filter(|path| !path.as_os_str().is_empty()),
            config,
            #[cfg(feature = "otlp")]
            traces,
        };
        context.log();
        #[cfg(feature = "otlp")]
        if let Some(why) = no_traces {
            tracing::warn!("no spans are sent: {why}; look at the variables OTEL_EXPORTER_OTLP_*");
        }
        for warning in &context.config.warnings {
            tracing::warn!("{warning}");
        }
        context
    }

    /// Checks what clap cannot.
    pub(super) fn check(&self) -> Result<(), CliError> {
        let wrong = |what: String| {
            let help = "name a schema that crossfade may create, such as crossfade";
            Err(CliError::usage("usage::ledger_schema", format!("--ledger-schema: {what}"), help))
        };
        match RelationName::new(&self.ledger_schema) {
            Err(error) => wrong(error.to_string()),
            Ok(name) if name.as_str().starts_with("pg_") => {
                wrong("PostgreSQL reserves names that begin with pg_".to_owned())
            }
            Ok(_) => self.check_hooks(),
        }
    }

    /// Refuses a directory of hooks that is none, or in which anybody could put one.
    fn check_hooks(&self) -> Result<(), CliError> {
        let Some(directory) = &self.hooks else { return Ok(()) };
        let wrong = |what: &str, help: &str| {
            Err(CliError::usage("usage::hooks", format!("--hooks {}: {what}", directory.display()), help))
        };
        match std::fs::metadata(directory) {
            Err(error) => wrong(&error.to_string(), "name a directory with the executables that plans may name"),
            Ok(found) if !found.is_dir() => {
                wrong("it is not a directory", "name the directory that the executables are in")
            }
            Ok(found) if found.permissions().mode() & 0o002 != 0 => {
                wrong("everybody may write to it, and so choose what is run", "chmod o-w")
            }
            Ok(_) => Ok(()),
        }
    }

    /// Returns the name of the ledger's schema.
    pub(super) fn ledger_schema(&self) -> &str {
        &self.ledger_schema
    }

    pub(super) fn json(&self) -> bool {
        self.format == Format::Json
    }

    /// Returns the target of the connection, without the password, if it is known.
    pub(super) fn target(&self) -> Option<String> {
        database::connector(self.database_url.as_deref()).ok().map(|connector| connector.target())
    }

    /// Returns a tool that reports nothing, for commands that take no time.
    pub(super) fn tool(&self) -> Result<Tool, CliError> {
        self.tool_with(event::silent(), CancellationToken::new())
    }

    /// Returns a tool that reports its events and that the first Ctrl-C asks to stop; with the consent to what cannot be
    /// undone, if the person has said `yes`, and without an approval, if a person answers for that with a reason.
    pub(super) fn session(&self, yes: bool, bypass: Option<(&str, &str)>) -> Result<Session, CliError> {
        let stop = CancellationToken::new();
        let reporter = Reporter::new(self.telling(), &self.console);
        let tool = self.tool_with(reporter.sink(), stop.clone())?;
        let tool = if yes { tool.with_consent() } else { tool };
        let tool = bypass.iter().fold(tool, |tool, (person, reason)| tool.bypassing_approval(person, reason));
        let watchdog = watchdog::start(&tool, self.json());
        let signals = signals::stop_politely(stop, self.console.clone(), self.json(), Some(tool.clone()));
        Ok(Session { tool, _watchdog: watchdog, _reporter: reporter, _signals: signals })
    }

    pub(super) fn telling(&self) -> Telling {
        match self.format {
            _ if self.quiet => Telling::Nothing,
            Format::Json => Telling::Json,
            Format::Text | Format::Sql | Format::Markdown => {
                Telling::Words { look: self.err, terminal: self.terminal, verbose: self.verbose > 0 }
            }
        }
    }

    /// Returns the token of `crossfade serve` that somebody has chosen in the environment, or else in a file.
    #[cfg(feature = "serve")]
    pub(super) fn serve_token(&self) -> Option<String> {
        let set = std::env::var("CROSSFADE_SERVE_TOKEN").ok().or_else(|| self.config.serve_token());
        set.filter(|token| !token.is_empty())
    }

    pub(super) fn tool_with(&self, sink: event::EventSink, stop: CancellationToken) -> Result<Tool, CliError> {
        let connector = database::connector(self.database_url.as_deref())?;
        Ok(self.tool_on(connector, sink, stop))
    }

    /// Returns a tool for a database other than the one on the command line.
    pub(super) fn tool_on(&self, connector: Connector, sink: event::EventSink, stop: CancellationToken) -> Tool {
        let actor = actor(connector.role());
        let tool = Tool::new(connector, LedgerSchema::new(&self.ledger_schema), actor, sink, stop);
        #[cfg(feature = "notify")]
        let tool = tool.with_destinations(self.destinations());
        let tool = self.hooks.iter().fold(tool, |tool, directory| tool.with_hooks(directory.clone()));
        self.ledger_owner.iter().fold(tool, |tool, role| tool.trusting(role))
    }

    /// Returns the destinations of announcements that the environment names, or else a file.
    #[cfg(feature = "notify")]
    pub(super) fn destinations(&self) -> Destinations {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Destinations::from_env(self.config.destinations().into_iter().chain(std::env::vars_os().filter_map(text)))
    }

    /// Prints a result: as JSON, or as the text that `text` makes.
    pub(super) fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), CliError> {
        Ok(report::result(&if self.json() { json::result(value) } else { text() })?)
    }

    /// Sends the library's log to standard error. Of sqlx's log only the warning about an ignored password file passes: the
    /// rest would show statements, and parts of a URL that sqlx does not know.
    fn log(&self) {
        let level = match self.verbose {
            0 => "warn",
            1 => "info",
            2 => "debug",
            _ => "trace",
        };
        let filter = format!("off,crossfade={level},sqlx_postgres::options::pgpass=warn");
        let console = self.console.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(self.err.color)
            .with_target(false)
            .with_writer(move || LogLine { console: console.clone(), bytes: Vec::new() })
            .with_filter(tracing_subscriber::EnvFilter::new(filter));
        let subscriber = tracing_subscriber::registry().with((!self.quiet).then_some(lines));
        #[cfg(feature = "otlp")]
        let subscriber = subscriber.with(self.traces.as_ref().map(Traces::layer));
        // Somebody may have set another one already: then that one is to be kept.
        let _ = tracing::subscriber::set_global_default(subscriber);
    }

    /// Ends what has a thread of its own. Takes two seconds at the most.
    #[cfg(feature = "otlp")]
    pub(super) fn end(&self) {
        if let Some(traces) = &self.traces {
            traces.end();
        }
    }
}

/// One line of the log, written above the bar when it is complete.
struct LogLine {
    console: Console,
    bytes: Vec<u8>,
}

impl io::Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.bytes);
        self.console.line(&report::redacted(text.trim_end()));
    }
}

/// Returns this process, as the ledger knows it.
fn actor(role: &str) -> Actor {
    let id = nix::unistd::Uid::effective();
    let user = nix::unistd::User::from_uid(id).ok().flatten().map(|user| user.name);
    let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok());
    let (user, host) = (user.unwrap_or_else(|| format!("uid {id}")), host.unwrap_or_else(|| "an unnamed host".into()));
    Actor::new(user, host, role)
}

/// Returns `name` if a run can be called so: the name of its plan, or that and a number.
pub(super) fn run_name(name: &str) -> Result<&str, CliError> {
    match PlanName::new(called(name).0) {
        Ok(_) => Ok(name),
        Err(error) => {
            let help =
                "a run has the name of its plan, NAME, or NAME@1 for its first run; `crossfade status` lists the runs";
            Err(CliError::usage("usage::run_name", format!("`{name}` is not a valid run name: {error}"), help))
        }
    }
}
