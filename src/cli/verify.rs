//! `crossfade verify`.

use super::context::{Context, run_name};
use super::error::CliError;
use super::exit_code;
use crate::report::human;
use crate::run;

/// Compare the old and the new column of every row
///
/// Blocks nobody, and changes nothing without --repair. Exit code 6 if rows are not equal.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    name: String,
    /// Where the columns differ, set the other one from this one, then compare again
    #[arg(long, value_name = "SIDE")]
    repair: Option<Side>,
}

/// The side that is right.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Side {
    /// The old column is right
    Old,
    /// The new column is right
    New,
}

impl From<Side> for run::Side {
    fn from(side: Side) -> Self {
        match side {
            Side::Old => Self::Old,
            Side::New => Self::New,
        }
    }
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let name = run_name(&args.name)?;
    let session = context.session(false, None)?;
    let outcome = session.tool.verify(name, args.repair.map(Into::into)).await?;
    drop(session);
    context.result(&outcome, || human::outcome(name, &outcome, args.repair.is_some(), context.out))?;
    Ok(if outcome.is_clean() { exit_code::DONE } else { exit_code::MISMATCH })
}
