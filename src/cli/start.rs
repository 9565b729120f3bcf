//! `crossfade start`.

use std::path::PathBuf;

use super::approve::Bypass;
use super::context::{Context, Session};
use super::error::CliError;
use super::tick::Tick;
use super::{consent, plan_file};
use crate::report::human;

/// Register the run of a plan and do its first phase
///
/// After that, `crossfade advance` moves it forward, one phase at a time.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plan file, or - for standard input
    plan: PathBuf,
    /// Agree to what cannot be undone: without it, the run stops before its point of no return with exit code 5, or asks
    /// at a terminal
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    bypass: Bypass,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let (plan, text) = plan_file::read(&args.plan).await?;
    let call = async |session: &Session| session.tool.start(&plan, &text).await;
    let finish = match consent::asking(context, (args.yes, args.bypass.given()), call).await {
        Ok(finish) => finish,
        Err(error) => return Ok(Tick::reported(&error, context).exit_code()),
    };
    context.result(&finish, || human::finish(&finish, context.out))?;
    Ok(Tick::of(&finish).exit_code())
}
