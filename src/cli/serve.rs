//! `crossfade serve`.

use std::net::SocketAddr;

use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::error::CliError;
use super::{exit_code, signals};
use crate::event::Event;
use crate::report::Reporter;

/// Show all runs in a browser, and the report of each, updated while it lasts
///
/// The pages only show. They need the rights of `crossfade status`: a role that only reads is enough (docs/roles.md). There is no
/// login: whoever reaches the address reads plans, SQL and the log of every run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to listen; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A name under which browsers reach it, besides addresses and localhost; behind a proxy, the proxy's
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let tool = context.tool()?;
    // Whoever has typed the wrong database should not have to open a browser to see it.
    tool.names().await?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        let message = format!("cannot listen on {}: {error}", args.listen);
        CliError::usage("usage::listen", message, "name another port with --listen 127.0.0.1:PORT")
    })?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        let message =
            format!("whoever reaches {address} can read plans, SQL and the log of every run: there is no login");
        Reporter::new(context.telling(), &context.console).sink()(Event::Warning { message });
    }
    let url = format!("http://{address}/");
    context.result(&json!({ "url": url }), || format!("{url} shows the runs; Ctrl-C ends it\n"))?;
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        signals::asked_to_stop().await;
        asked.cancel();
    });
    crate::serve::serve(listener, tool, args.host.clone(), stop).await?;
    Ok(exit_code::DONE)
}
