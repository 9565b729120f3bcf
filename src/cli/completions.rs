//! `crossfade completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::error::CliError;
use super::{Arguments, exit_code};
use crate::report;

/// Print a script for command completion in a shell
///
/// For example: crossfade completions bash > ~/.local/share/bash-completion/completions/crossfade
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<u8, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "crossfade", &mut script);
    report::result(&String::from_utf8_lossy(&script))?;
    Ok(exit_code::DONE)
}
