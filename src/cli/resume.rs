//! `crossfade resume`.

use serde_json::json;

use super::context::{Context, run_name};
use super::error::CliError;
use super::exit_code;

/// Resume a paused run
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    name: String,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let name = run_name(&args.name)?;
    context.tool()?.resume(name).await?;
    context.result(&json!({ "name": name, "state": "resumed" }), || {
        format!("{name} is resumed; if no process is waiting for it, start one\n  next: crossfade advance {name}\n")
    })?;
    Ok(exit_code::DONE)
}
