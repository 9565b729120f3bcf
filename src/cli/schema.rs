//! `crossfade schema`.

use super::error::CliError;
use super::exit_code;
use crate::plan;
use crate::report::{self, json};

/// Print the JSON Schema of plan files, for editors
///
/// The first line `# yaml-language-server: $schema=plan.schema.json` in a plan gives most editors key completion.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args) -> Result<u8, CliError> {
    report::result(&json::result(&plan::json_schema()))?;
    Ok(exit_code::DONE)
}
