//! `crossfade pause`.

use serde_json::json;

use super::context::{Context, run_name};
use super::error::CliError;
use super::exit_code;

/// Pause a run after its current batch, whichever host is working on it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    name: String,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let name = run_name(&args.name)?;
    let changed = context.tool()?.pause(name).await?;
    let words = if changed { "is paused" } else { "was paused before" };
    context.result(&json!({ "name": name, "state": "paused", "changed": changed }), || {
        format!("{name} {words}; both columns are still kept equal\n  next: crossfade resume {name}\n")
    })?;
    Ok(exit_code::DONE)
}
