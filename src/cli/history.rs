//! `crossfade history`.

use super::context::{Context, run_name};
use super::error::CliError;
use super::exit_code;
use crate::ledger::Record;
use crate::report::{self, human, json};
use crate::run::SHORT_HEAD;

/// Show the log of a run (who did what, and when), or list the runs
///
/// Times are by the server's clock, in the zone of the plan's schedule, or UTC. Without a name it lists the latest runs, newest first, each in a line or two. If a plan was rolled back and run again, its
/// earlier runs come first in its log. The logs of its parts (runs of other tables, docs/widen-a-key.md) come last.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run; without it, a list of runs
    name: Option<String>,
    /// List at most this many runs
    #[arg(long, value_name = "RUNS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000), conflicts_with = "name")]
    limit: u32,
    /// Check that the log is what was recorded: each entry carries the hash of the one before
    ///
    /// Whoever may write the ledger's tables could also compute all hashes anew. That, and entries cut off at the end, is
    /// only noticed by comparing with a head that was noted elsewhere: --head. Exit code 7 if the log is not intact.
    #[arg(long, requires = "name")]
    check: bool,
    /// With --check: a head noted earlier, which must still be in the log
    #[arg(long, value_name = "HASH", requires = "check", value_parser = digits)]
    head: Option<String>,
}

/// Reads the first digits of a head, or all of them.
fn digits(text: &str) -> Result<String, String> {
    if (SHORT_HEAD..=64).contains(&text.len()) && text.chars().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(format!("a head has {SHORT_HEAD} to 64 hex digits, as `crossfade status` and `crossfade history` print it"))
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let tool = context.tool()?;
    let Some(name) = &args.name else {
        let listed = tool.runs(args.limit).await?;
        context.result(&listed, || human::listed(&listed, context.out))?;
        return Ok(exit_code::DONE);
    };
    let name = run_name(name)?;
    if args.check {
        let checked = tool.check_log(name, args.head.as_deref()).await?;
        context.result(&checked, || human::checked(&checked, context.out))?;
        return Ok(if checked.is_intact() { exit_code::DONE } else { exit_code::DRIFTED });
    }
    let runs = tool.attempts(name).await?;
    let parts = tool.attempts_of_parts(&runs).await?;
    if context.json() {
        report::result(&json::history(name, &runs, &parts))?;
        return Ok(exit_code::DONE);
    }
    let told = |record: &Record| record.log().map(|log| (log, record.zone()));
    let logs = runs.iter().map(told).collect::<Result<Vec<_>, _>>().map_err(crate::runner::Error::from)?;
    // One of several runs has its number behind its name, as everywhere.
    let is_last = |part: &Record| parts.iter().all(|other| other.name != part.name || other.number <= part.number);
    let called = |part: &Record| {
        if is_last(part) { part.name.clone() } else { format!("{}@{}", part.name, part.number) }
    };
    let of_part = |part: &Record| told(part).map(|log| (called(part), log));
    let of_parts = parts.iter().map(of_part).collect::<Result<Vec<_>, _>>().map_err(crate::runner::Error::from)?;
    report::result(&human::history(&logs, &of_parts, context.out))?;
    Ok(exit_code::DONE)
}
