//! `crossfade plan`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use super::context::Context;
use super::error::CliError;
use super::{Format, exit_code, format, plan_file};
use crate::report::{self, human, json};

/// Show what a plan would do on the database: steps, SQL, locks, estimates, risks
///
/// Changes nothing. Exit code 4 if something in the database rules the plan out. --format sql prints a script for psql that
/// does what `crossfade run` does, without throttling: it stops where the run would wait, and continues when it is run again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plan file
    plan: PathBuf,
    /// How to print the steps
    // Takes the place of the global option; the value arrives in `Context`.
    #[arg(long, default_value = "text", value_parser = PossibleValuesParser::new(["text", "json", "sql"]).map(format))]
    format: Format,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let (plan, _) = plan_file::read(&args.plan)?;
    let preview = context.tool()?.preview(&plan).await?;
    let text = match args.format {
        Format::Json => json::result(&json::preview(&plan, &preview)),
        Format::Sql => preview.script(&plan),
        Format::Text => human::preview(&args.plan.to_string_lossy(), &plan, &preview, context.out),
    };
    report::result(&text)?;
    let no_script = args.format == Format::Sql && preview.run.is_some();
    Ok(if preview.refusals.is_empty() && !no_script { exit_code::DONE } else { exit_code::DATABASE })
}
