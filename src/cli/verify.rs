//! `crossfade verify`.

use serde_json::json;

use super::context::{Context, run_name};
use super::error::CliError;
use super::exit_code;
use crate::report::human;
use crate::run::{self, Outcome};

/// Compare the old and the new column of every row
///
/// Blocks nobody, and changes nothing without --repair. Exit code 6 if rows are not equal. Of a run with parts, all tables are compared that have both
/// columns now.
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
    let all = session.tool.verify_with_parts(name, args.repair.map(Into::into)).await?;
    drop(session);
    let outcomes = || all.iter().filter_map(|compared| compared.outcome.as_ref());
    // A run without parts is its own result.
    let alone = if all.len() == 1 { outcomes().next() } else { None };
    let value = alone.map_or_else(|| json!({ "name": name, "runs": all }), |outcome| json!(outcome));
    context.result(&value, || human::outcomes(&all, args.repair.is_some(), context.out))?;
    Ok(if outcomes().all(Outcome::is_clean) { exit_code::DONE } else { exit_code::MISMATCH })
}
