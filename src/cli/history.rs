//! `crossfade history`.

use super::context::{Context, run_name};
use super::error::CliError;
use super::exit_code;
use crate::report::{human, json};

/// Show the log of a run: who did what, and when by the database's clock
///
/// If a plan was rolled back and run again, its earlier runs come first.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    name: String,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let attempts = context.tool()?.attempts(run_name(&args.name)?).await?;
    context.result(&json::history(&attempts), || human::history(&attempts, context.out))?;
    Ok(exit_code::DONE)
}
