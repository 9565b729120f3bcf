//! `crossfade rollback`.

use super::consent::Answer;
use super::context::{Context, run_name};
use super::error::CliError;
use super::{consent, exit_code, phase_parser};
use crate::report::human;
use crate::run::Phase;

/// Roll a run back, without losing what was written through either column
///
/// Possible until the retired column is dropped. It says first what it will drop, and asks. If it is stopped or killed, the same
/// command continues.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    name: String,
    /// Go back to the end of this phase only
    #[arg(long, value_name = "PHASE", value_parser = phase_parser())]
    to: Option<Phase>,
    /// Agree to what is dropped: without it, a rollback that drops something ends with exit code 5, or asks at a terminal
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let name = run_name(&args.name)?;
    let drops = context.tool()?.rollback_preview(name, args.to).await?;
    let words = human::drops(name, &drops, context.err);
    let answer = if args.yes || drops.is_empty() {
        Answer::Yes
    } else {
        consent::typed(context, &words, ("plan", name)).await?
    };
    if args.yes && !drops.is_empty() && !context.json() {
        context.console.line(words.trim_end());
    }
    let session = context.session(answer == Answer::Yes, None)?;
    let finish = session.tool.rollback(name, args.to).await.map_err(|error| answer.explains(error))?;
    drop(session);
    context.result(&finish, || human::finish(&finish, context.out))?;
    Ok(exit_code::DONE)
}
