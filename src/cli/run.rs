//! `crossfade run`.

use std::path::PathBuf;

use super::approve::Bypass;
use super::context::{Context, Session};
use super::error::CliError;
use super::{consent, exit_code, phase_parser, plan_file};
use crate::report::human;
use crate::run::Phase;
use crate::runner::Finish;

/// Run the phases of a plan now, to the end or to the end of a phase
///
/// A run that was stopped or killed continues where it was. Before the old name goes, nobody may
/// have written it for a while (`quiet`), it is kept for a while (`grace`, 7 days unless the plan says otherwise), and you are
/// asked. If it is still written, or if `grace` has more than a minute left, the command ends with exit code 5: run it again later.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plan file, or - for standard input
    plan: PathBuf,
    /// Stop when this phase is done
    #[arg(long, value_name = "PHASE", value_parser = phase_parser())]
    to: Option<Phase>,
    /// Help to fill the rows of a run that another process leads, for example on another host, until its backfill is done
    #[arg(long, conflicts_with = "to")]
    join: bool,
    /// Agree to what cannot be undone: without it, the run stops before its point of no return with exit code 5, or asks
    /// at a terminal
    #[arg(long)]
    yes: bool,
    /// Go on although the old column may still be used, for this reason: it is recorded with what was seen
    #[arg(long, value_name = "REASON", value_parser = clap::builder::NonEmptyStringValueParser::new(), conflicts_with = "join")]
    accept_evidence: Option<String>,
    #[command(flatten)]
    bypass: Bypass,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let (plan, text) = plan_file::read(&args.plan).await?;
    if args.join {
        let session = context.session(false, None)?;
        let joined = session.tool.join(&plan).await?;
        drop(session);
        context.result(&joined, || human::joined(&joined, context.out))?;
        return Ok(exit_code::DONE);
    }
    let call =
        async |session: &Session| session.accepting(args.accept_evidence.as_deref()).run(&plan, &text, args.to).await;
    let finish = consent::asking(context, (args.yes, args.bypass.given()), call).await?;
    context.result(&finish, || human::finish(&finish, context.out))?;
    Ok(if short_of(&finish, args.to) { exit_code::BLOCKED } else { exit_code::DONE })
}

/// Returns whether the run waits for something before the end of `to`, or before its own end.
fn short_of(finish: &Finish, to: Option<Phase>) -> bool {
    let reached = to.is_some_and(|to| finish.did.contains(&to) || finish.phase > to);
    finish.waiting_for.is_some() && !finish.state.is_over() && !reached
}
