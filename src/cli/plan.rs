//! `crossfade plan`.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use super::context::Context;
use super::error::{self, CliError, FileKind};
use super::{Format, exit_code, format, plan_file};
use crate::report::{self, human, json, markdown};
use crate::runner::Preview;
use crate::view::{Folder, FolderState, NoPlan};

/// Show what a plan would do on the database: steps, SQL, locks, estimates, risks
///
/// Changes nothing. Exit code 4 if something in the database rules the plan out, 5 if another plan must be done first. With
/// --all, shows all plans of a folder in an order in which they can run, with what is in the way of each: exit code 3 if a
/// file is no valid plan or plans do not go together, 4 if one is ruled out. --format sql prints a script for psql that
/// does what `crossfade run` does, without throttling: it stops where the run would wait, and continues when it is run again.
/// --format markdown prints a comment for a pull request.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plan file, or - for standard input
    #[arg(required_unless_present = "all")]
    plan: Option<PathBuf>,
    /// All plans of this folder (*.yaml, *.yml)
    #[arg(long, value_name = "FOLDER", conflicts_with = "plan")]
    all: Option<PathBuf>,
    /// Print only a few lines: what happens, what is refused or worth knowing, locks and estimates
    #[arg(long, conflicts_with = "all")]
    summary: bool,
    /// How to print the steps
    // Takes the place of the global option; the value arrives in `Context`.
    #[arg(long, default_value = "text", value_parser = PossibleValuesParser::new(["text", "json", "sql", "markdown"]).map(format))]
    format: Format,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let path = match (&args.plan, &args.all) {
        (_, Some(folder)) => return all(folder, args.format, context).await,
        (Some(path), None) => path,
        // clap asks for one of them.
        (None, None) => return Err(CliError::usage("usage::plan", "which plan?", "crossfade plan PLAN")),
    };
    if args.summary && args.format != Format::Text {
        let message = "--summary is a text, and has no other --format";
        return Err(CliError::usage("usage::format", message, "leave out --summary: --format json has all of it"));
    }
    let (plan, _) = plan_file::read(path).await?;
    let preview = context.tool()?.preview(&plan).await?;
    let text = match args.format {
        Format::Json => json::result(&json::preview(&plan, &preview)),
        Format::Sql => preview.script(&plan),
        Format::Markdown => markdown::preview(&plan, &preview),
        Format::Text if args.summary => human::summary(&path.to_string_lossy(), &plan, &preview, context.out),
        Format::Text => human::preview(&path.to_string_lossy(), &plan, &preview, context.out),
    };
    report::result(&text)?;
    let no_script = args.format == Format::Sql && preview.run.is_some();
    Ok(if no_script { exit_code::DATABASE } else { verdict(&preview) })
}

/// Returns the exit code for what would keep a run of the plan from beginning.
pub(super) fn verdict(preview: &Preview) -> u8 {
    let waits = preview.run.is_none() && preview.requirements.iter().any(|requirement| !requirement.is_met());
    match () {
        () if !preview.refusals.is_empty() => exit_code::DATABASE,
        () if waits => exit_code::BLOCKED,
        () => exit_code::DONE,
    }
}

async fn all(path: &Path, format: Format, context: &Context) -> Result<u8, CliError> {
    if let Some(word) = [(Format::Sql, "sql"), (Format::Markdown, "markdown")]
        .iter()
        .find(|(of, _)| *of == format)
        .map(|(_, word)| word)
    {
        let message = format!("--format {word} is for one plan");
        return Err(CliError::usage(
            "usage::format",
            message,
            format!("crossfade plan PLAN --format {word} prints it"),
        ));
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(error::file(path, FileKind::Folder))? {
        let file = entry.map_err(error::file(path, FileKind::Folder))?.path();
        let is_plan = file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if is_plan && !file.is_dir() {
            files.push(file);
        }
    }
    if files.is_empty() {
        let message = format!("there is no plan in {}", path.display());
        return Err(CliError::usage("usage::file", message, "plans are files called *.yaml or *.yml"));
    }
    files.sort();
    let mut plans = Vec::new();
    for file in files {
        let plan = plan_file::read(&file).await.map(|(plan, _)| plan).map_err(|error| match error {
            CliError::Plan(problems) => NoPlan::Problems(problems),
            other => NoPlan::Unreadable(other.to_string()),
        });
        plans.push((file.to_string_lossy().into_owned(), plan));
    }
    let folder = context.tool()?.preview_all(plans).await?;
    let text = match format {
        Format::Json => json::result(&folder),
        Format::Text | Format::Sql | Format::Markdown => human::folder(&path.to_string_lossy(), &folder, context.out),
    };
    report::result(&text)?;
    Ok(worst(&folder))
}

/// What is refused outranks what is wrong with the files.
fn worst(folder: &Folder) -> u8 {
    let any = |state| folder.plans.iter().any(|plan| plan.state == state);
    if any(FolderState::Refused) {
        exit_code::DATABASE
    } else if any(FolderState::Invalid) || !folder.circles.is_empty() || !folder.conflicts.is_empty() {
        exit_code::PLAN_INVALID
    } else {
        exit_code::DONE
    }
}
