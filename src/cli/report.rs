//! `crossfade report`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::context::{Context, run_name};
use super::error::CliError;
use super::exit_code;
use super::file::{Readers, replace};
use crate::report::{self, html, human};

/// What stands for standard output.
const STANDARD_OUTPUT: &str = "-";

/// Write a report of a run as an HTML file: what was asked, done, measured and decided
///
/// The file is whole in itself: nothing is loaded from elsewhere, and no script is in it, so it can be mailed, kept and printed.
/// It can be written at any time of a run. Whoever reads it reads plans, SQL and who did what: treat it as confidentially as
/// the ledger.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    name: String,
    /// The file, replaced if it is there; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let name = run_name(&args.name)?;
    let view = context.tool()?.report(name).await?;
    let page = html::report(&view);
    if args.output == Path::new(STANDARD_OUTPUT) {
        report::result(&page)?;
        return Ok(exit_code::DONE);
    }
    replace(&args.output, &page, Readers::AsUsual)?;
    let said = json!({ "name": view.run.name, "file": args.output, "bytes": page.len() });
    context.result(&said, || human::written(&view.run.name, &args.output, page.len(), context.out))?;
    Ok(exit_code::DONE)
}
