//! `crossfade history`.

use super::context::{Context, run_name};
use super::error::CliError;
use super::exit_code;
use crate::report::human;

/// Show the log of a run: who did what, and when by the database's clock
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    name: String,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let log = context.tool()?.history(run_name(&args.name)?).await?;
    context.result(&log, || human::history(&log, context.out))?;
    Ok(exit_code::DONE)
}
