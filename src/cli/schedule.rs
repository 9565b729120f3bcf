//! `crossfade schedule`.

use super::context::{Context, run_name};
use super::error::CliError;
use super::exit_code;
use crate::report::{self, calendar_file, human};

/// Show the dates of a run: past ones, and those that its schedule has in store
///
/// A date to come is the earliest at which a tick (`crossfade advance`) may do the phase, if the phases before it are done as
/// soon as they may be.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    name: String,
    /// Print a calendar file (iCalendar, RFC 5545) that calendar programs import; a later one replaces it
    #[arg(long)]
    ics: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let dates = context.tool()?.timetable(run_name(&args.name)?).await?;
    if args.ics {
        report::result(&calendar_file(&dates))?;
    } else {
        context.result(&dates, || human::timetable(&dates, context.out))?;
    }
    Ok(exit_code::DONE)
}
