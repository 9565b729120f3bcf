//! `crossfade resume`.

use serde_json::json;

use super::context::{Context, run_name};
use super::error::CliError;
use super::exit_code;
use crate::report::{human, printable};

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
    context.result(&json!({ "name": name, "state": "resumed", "changed": changed, "holder": holder }), || {
        let (who, then) = match &holder {
            Some(holder) => (printable(holder), format!("crossfade status {name} --watch")),
            None => ("no process".to_owned(), format!("crossfade advance {name}")),
        };
        human::said(&format!("{name}: {words}; {who} is at work on it"), &then, context.out)
    })?;
    Ok(exit_code::DONE)
}
