//! `crossfade complete-names`, for the scripts of `crossfade completions`.

use std::time::Duration;

use clap::ValueEnum;

use super::context::{Context, run_name};
use super::error::CliError;
use super::exit_code;
use crate::plan::settings;
use crate::report;

/// Nobody waits longer for a name after a press of the tab key.
const PATIENCE: Duration = Duration::from_secs(1);

/// Print names, a line each, for command completion; nothing if they cannot be had within a second
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(super) struct Args {
    /// Of what
    #[arg(value_enum)]
    of: Names,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Names {
    /// Runs
    Runs,
    /// Settings that `crossfade tune` changes
    Settings,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let names = match args.of {
        Names::Settings => settings::tunable().map(|setting| setting.name().to_owned()).collect(),
        Names::Runs => {
            let read = async { context.tool().ok()?.names().await.ok() };
            match tokio::time::timeout(PATIENCE, read).await {
                Ok(names) => names.unwrap_or_default(),
                // A host name that nobody resolves keeps a thread, and with it the runtime, for longer.
                Err(_) => std::process::exit(i32::from(exit_code::DONE)),
            }
        }
    };
    // A shell expands what it gets. What is no name is none of crossfade's making.
    for name in names.iter().filter(|name| run_name(name).is_ok()) {
        report::result(&format!("{name}\n"))?;
    }
    Ok(exit_code::DONE)
}
