//! `crossfade pause`.

use serde_json::json;

use super::context::{Context, run_name};
use super::error::CliError;
use super::exit_code;
use crate::report::human;

/// Pause a run after its current batch, whichever host is working on it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    name: String,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let name = run_name(&args.name)?;
    let tool = context.tool()?;
    let changed = tool.pause(name).await?;
    let status = tool.status(name).await?;
    context.result(&json!({ "name": name, "state": "paused", "changed": changed }), || {
        let words = if changed { "is paused" } else { "was already paused" };
        // Only columns that are there are kept equal.
        let kept = status.compares && status.old_quiet_seconds.is_some();
        let kept = if kept { "; both columns are still kept equal" } else { "" };
        human::said(&format!("{name} {words}{kept}"), &format!("crossfade resume {name}"), context.out)
    })?;
    Ok(exit_code::DONE)
}
