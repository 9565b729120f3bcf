//! `crossfade serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::error::{CliError, FileKind, file};
use super::{described, exit_code, signals};
use crate::event::{self, Event};
use crate::report::Reporter;
use crate::runner::Error;
use crate::serve::{Settings, Token};

/// Fewer characters are too easily guessed.
const SHORTEST: usize = 20;
const HOW_TO_CHOOSE: &str = "choose one and keep it in a file that only you can read: openssl rand -hex 32 > FILE; then --token-file FILE, or set \
     CROSSFADE_SERVE_TOKEN";

/// Show all runs in a browser, and decide there: approve, pause, resume, compare, tune
///
/// The address that it prints has a token in it, and opens the pages; without the token nothing is shown. Whoever has it reads plans,
/// SQL and the log of every run, and can do what the database role may do: with a role that only reads, nobody can change anything
/// (docs/roles.md). What cannot be undone stays on the command line. docs/serve.md says how to put it behind a proxy.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to listen; port 0 is any that is free. Other machines are let in with a token of your own only
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A name under which browsers reach it, besides addresses and localhost; behind a proxy, the proxy's
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// The file with the token, instead of a random one; or set `CROSSFADE_SERVE_TOKEN`
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The file with a token that opens /metrics alone, for Prometheus
    #[arg(long, value_name = "FILE")]
    metrics_token_file: Option<PathBuf>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let chosen = match &args.token_file {
        Some(path) => Some(from_file(path)?),
        None => context.serve_token().map(|text| checked(&text, "CROSSFADE_SERVE_TOKEN")).transpose()?,
    };
    let numbers = args.metrics_token_file.as_deref().map(from_file).transpose()?;
    if chosen.is_none() && !args.listen.ip().is_loopback() {
        let message = format!("other machines reach {}, and there is no token for them", args.listen);
        return Err(CliError::usage("usage::token", message, HOW_TO_CHOOSE));
    }
    let stop = CancellationToken::new();
    let tool = context.tool_with(event::silent(), stop.clone())?;
    // Whoever has typed the wrong database should not have to open a browser to see it.
    tool.names().await?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        let message = format!("cannot listen on {}: {error}", args.listen);
        CliError::usage("usage::listen", message, "name another port with --listen 127.0.0.1:PORT")
    })?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        let message =
            format!("{address} is no HTTPS: put a proxy in front of it that is, or the network can read the token");
        Reporter::new(context.telling(), &context.console).sink()(Event::Warning { message });
    }
    // A token that somebody has chosen is not written to the log of the service.
    let mut url = format!("http://{address}/");
    let token = chosen.unwrap_or_else(|| {
        let token = Token::random();
        url = format!("{url}?token={}", token.text());
        token
    });
    context.result(&json!({ "url": url }), || {
        let mut text = String::new();
        context.out.wrap(&mut text, ("", "  "), &format!("{url} shows the runs; Ctrl-C ends it"));
        text
    })?;
    let asked = stop.clone();
    tokio::spawn(async move {
        signals::asked_to_stop().await;
        asked.cancel();
    });
    let settings = Settings { token, numbers, hosts: args.host.clone(), advise };
    crate::serve::serve(listener, tool, settings, stop).await?;
    Ok(exit_code::DONE)
}

/// Returns what the command line says to do about an error.
fn advise(error: &Error) -> Vec<String> {
    described::tool(error, "the database").hints
}

fn from_file(path: &Path) -> Result<Token, CliError> {
    checked(&std::fs::read_to_string(path).map_err(file(path, FileKind::Token))?, &path.display().to_string())
}

/// Returns the token that `text`, from `place`, is.
fn checked(text: &str, place: &str) -> Result<Token, CliError> {
    let text = text.trim();
    if text.len() < SHORTEST || !text.chars().all(|c| c.is_ascii_graphic()) {
        let message =
            format!("{place}: a token has at least {SHORTEST} characters, letters, digits and signs without blanks");
        return Err(CliError::usage("usage::token", message, HOW_TO_CHOOSE));
    }
    Ok(Token::chosen(text.to_owned()))
}
