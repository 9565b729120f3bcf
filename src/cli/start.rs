//! `crossfade start`.

use std::path::PathBuf;

use super::context::Context;
use super::error::CliError;
use super::{exit_code, plan_file};
use crate::report::human;

/// Register the run of a plan and do its first phase
///
/// After that, `crossfade advance` moves it forward, one phase at a time.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plan file
    plan: PathBuf,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let (plan, text) = plan_file::read(&args.plan)?;
    let session = context.session()?;
    let finish = session.tool.start(&plan, &text).await?;
    drop(session);
    context.result(&finish, || human::finish(&finish, context.out))?;
    let blocked = finish.did.is_empty() && finish.waiting_for.is_some();
    Ok(if blocked { exit_code::BLOCKED } else { exit_code::DONE })
}
