//! `crossfade metrics`.

use std::path::PathBuf;

use super::context::Context;
use super::error::CliError;
use super::exit_code;
use super::file::{Readers, replace};
use crate::report;

/// Print the state of all runs in Prometheus' text format
///
/// Runs that ended more than 30 days ago are only counted. docs/monitoring.md explains the metrics, and has alert rules and a dashboard.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write them to this file instead, for the textfile collector of `node_exporter`, which reads files named *.prom
    ///
    /// The file is replaced as a whole: a reader never sees half of it. If the database cannot be read, it stays as it was.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    if context.json() {
        let help = "leave --format json out; crossfade --format json status prints the same as JSON";
        return Err(CliError::usage("usage::format", "metrics have a format of their own", help));
    }
    let metrics = context.tool()?.metrics().await?;
    let text = report::metrics(&metrics);
    match &args.output {
        None => report::result(&text)?,
        // No collector reads a file whose name does not end in `.prom`, as that of the one beside it.
        Some(path) => replace(path, &text, Readers::Everybody)?,
    }
    Ok(exit_code::DONE)
}
