//! `crossfade cleanup`.

use super::consent::{self, Answer};
use super::context::Context;
use super::error::CliError;
use super::exit_code;
use crate::report::human;

/// Remove everything that crossfade has created in the database, when no run is active
///
/// That is its schema, and what runs that were cut off have left in tables. It says first what it will drop, and asks. All of it happens in one transaction, or nothing. The logs of all
/// runs go with the schema: `crossfade history NAME --format json` prints what may be wanted later.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Agree to what is dropped: without it, the command ends with exit code 5, or asks at a terminal
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let preview = context.tool()?.cleanup_preview().await?;
    if preview.drops.is_empty() {
        context.result(&preview, || human::cleaned(&preview, context.out))?;
        return Ok(exit_code::DONE);
    }
    let words = human::cleanup(&preview, context.err);
    let answer =
        if args.yes { Answer::Yes } else { consent::typed(context, &words, ("database", &preview.database)).await? };
    if args.yes && !context.json() {
        context.console.line(words.trim_end());
    }
    let session = context.session(answer == Answer::Yes, None)?;
    let done = session.tool.cleanup().await.map_err(|error| answer.explains(error))?;
    drop(session);
    context.result(&done, || human::cleaned(&done, context.out))?;
    Ok(exit_code::DONE)
}
