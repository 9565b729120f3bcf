//! `crossfade man`, for `make man`.

use std::path::PathBuf;

use clap::CommandFactory as _;

use super::error::CliError;
use super::{Arguments, exit_code};
use crate::report;

/// Write man pages, one for each command, into a directory
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(super) struct Args {
    /// The directory; it is made if it is not there
    directory: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<u8, CliError> {
    let written = |source| CliError::Written { path: args.directory.clone(), source };
    std::fs::create_dir_all(&args.directory).map_err(written)?;
    clap_mangen::generate_to(Arguments::command(), &args.directory).map_err(written)?;
    report::result(&format!("the pages are in {0}: man -l {0}/crossfade.1\n", args.directory.display()))?;
    Ok(exit_code::DONE)
}
