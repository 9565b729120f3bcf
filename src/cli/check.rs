//! `crossfade check`.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::context::Context;
use super::error::CliError;
use super::{exit_code, plan_file};
use crate::plan::Schedule;
use crate::report::{self, human, json as as_json};

/// Find mistakes in plan files, without a database
///
/// Reports every problem in every file, with its place and what to write instead. Exit code 3 if there is any.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Plan files, or - for standard input
    #[arg(value_name = "PLAN", required = true)]
    plans: Vec<PathBuf>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let mut worst = exit_code::DONE;
    let mut results: Vec<Value> = Vec::new();
    for path in &args.plans {
        let file = plan_file::name(path);
        match plan_file::read(path).await {
            Ok((plan, _)) => {
                let name = plan.name.as_str();
                let clocks = plan.schedule.as_ref().and_then(Schedule::clock_changes);
                let notes: Vec<_> = clocks.into_iter().collect();
                results.push(json!({ "file": file, "valid": true, "name": name, "problems": [], "notes": notes }));
                if !context.json() {
                    let changes = human::changes(&plan).join("; ");
                    let mut text = String::new();
                    let sentence = format!("{} {file}: {changes} ({})", context.out.done(), plan.table);
                    context.out.wrap(&mut text, ("", "  "), &sentence);
                    for note in &notes {
                        context.out.wrap(&mut text, ("  ", "  "), note);
                    }
                    report::result(&text)?;
                }
            }
            Err(error) => {
                let problems = match &error {
                    CliError::Plan(problems) => json!(problems),
                    other => json!([{ "file": file, "code": "usage::file", "message": other.to_string() }]),
                };
                results.push(json!({ "file": file, "valid": false, "name": null, "problems": problems }));
                if !context.json() {
                    error.report(context);
                }
                worst = worst.max(error.exit_code());
            }
        }
    }
    if context.json() {
        report::result(&as_json::result(&results))?;
    }
    Ok(worst)
}
