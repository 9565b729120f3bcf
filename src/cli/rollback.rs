//! `crossfade rollback`.

use super::context::{Context, run_name};
use super::error::CliError;
use super::{exit_code, phase_parser};
use crate::report::human;
use crate::run::Phase;

/// Roll a run back, without losing what was written through either column
///
/// Possible until the old column is dropped. If it is stopped or killed, the same command continues.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    name: String,
    /// Go back to the end of this phase only
    #[arg(long, value_name = "PHASE", value_parser = phase_parser())]
    to: Option<Phase>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let name = run_name(&args.name)?;
    let session = context.session()?;
    let finish = session.tool.rollback(name, args.to).await?;
    drop(session);
    context.result(&finish, || human::finish(&finish, context.out))?;
    Ok(exit_code::DONE)
}
