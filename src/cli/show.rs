//! `crossfade show`.

use super::context::{Context, run_name};
use super::error::CliError;
use super::exit_code;
use crate::report::{human, json};

/// Print the plan of a run again, as a plan file that can be run
///
/// What the plan leaves to its default is left out. With --format json the keys and values are those of a plan file, too.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    name: String,
    /// Add the steps of the run with all of their SQL, as comments
    #[arg(long)]
    program: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let (plan, program) = context.tool()?.stored(run_name(&args.name)?).await?;
    let program = args.program.then_some(&program);
    context.result(&json::stored(&plan, program), || human::stored(&plan, program))?;
    Ok(exit_code::DONE)
}
