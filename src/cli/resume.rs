//! `crossfade resume`.

use serde_json::json;

use super::context::{Context, run_name};
use super::error::CliError;
use super::exit_code;
use crate::report::printable;

/// Resume a paused run
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    name: String,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let name = run_name(&args.name)?;
    let tool = context.tool()?;
    let changed = tool.resume(name).await?;
    let holder = tool.status(name).await?.holder;
    let words = if changed { "resumed" } else { "was not paused" };
    context.result(
        &json!({ "name": name, "state": "resumed", "changed": changed, "holder": holder }),
        || match &holder {
            Some(holder) => {
                let holder = printable(holder);
                format!("{name}: {words}; {holder} is at work on it\n  next: crossfade status {name} --watch\n")
            }
            None => format!("{name}: {words}; no process is at work on it\n  next: crossfade advance {name}\n"),
        },
    )?;
    Ok(exit_code::DONE)
}
