//! `crossfade export`.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use serde_json::json;

use super::context::{Context, run_name};
use super::error::CliError;
use super::exit_code;
use super::file::{Readers, replace};
use crate::export::{File, Migration, MigrationTool, NoExport, TOOLS, is_shared};
use crate::ledger::Run;
use crate::plan::Bytes;
use crate::report::human;

/// Write the migration that tells your migration tool what a run has done
///
/// One file, which is safe on every database: it does the plain ALTER TABLE where crossfade has never been (development, tests, new
/// installations), nothing where the run has ended, and fails while the run is under way or where the table is too large. Its number
/// and what it stands on come from the files in the directory. Repeated, it writes the same. See docs/migration-tools.md. Of a run with parts, one file changes
/// all of their tables.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    name: String,
    /// The migration tool
    #[arg(long, value_name = "TOOL", value_parser = tool_parser())]
    to: MigrationTool,
    /// The directory that the tool's migrations are in
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// A table of more bytes is not altered, and the migration fails
    #[arg(long, value_name = "SIZE", default_value = "64MB")]
    max_size: Bytes,
    /// Replace the file of an earlier export if it says something else
    #[arg(long)]
    force: bool,
}

fn tool_parser() -> impl clap::builder::TypedValueParser<Value = MigrationTool> {
    let tool = |word: String| TOOLS.iter().find(|(name, _)| *name == word).map(|(_, tool)| *tool).ok_or("no tool");
    PossibleValuesParser::new(TOOLS.map(|(name, _)| name)).try_map(tool)
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let name = run_name(&args.name)?;
    let (there, folder) = read(&args.directory)?;
    let tool = context.tool()?;
    let run = tool.run_called(name).await?;
    if let Some(key) = &run.plan.part_of {
        let message = format!("run {name} is a part of run {key}, whose migration changes all of their tables");
        return Err(CliError::usage("export::part", message, format!("crossfade export {key}")));
    }
    let of = |run: &Run| Migration::of(&run.plan, &run.facts, run.created_at, args.max_size, context.ledger_schema());
    let mut parts = Vec::new();
    for part in &run.plan.parts {
        parts.push(of(&tool.run_called(part.as_str()).await?).map_err(refused)?);
    }
    let migration = of(&run).map(|migration| migration.with_parts(parts));
    let files = migration.and_then(|migration| migration.files(args.to, &there, &folder)).map_err(refused)?;
    let is_there = |file: &File| there.iter().find(|other| other.path == file.path);
    let differs = |file: &File| is_there(file).is_none_or(|other| other.text != file.text);
    if let Some(other) = files.iter().find(|file| is_there(file).is_some() && differs(file) && !is_shared(&file.path))
        && !args.force
    {
        let path = args.directory.join(&other.path);
        let message = format!("{} is there and says something else", path.display());
        let help = "if nobody has changed it on purpose, write it again with --force";
        return Err(CliError::usage("export::differs", message, help));
    }
    let mut written = Vec::new();
    for file in files.iter().filter(|file| differs(file)) {
        let path = args.directory.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| CliError::Written { path: path.clone(), source })?;
        }
        replace(&path, &file.text, Readers::AsUsual)?;
        written.push(path);
    }
    let main = args.directory.join(&files[0].path);
    let said = json!({ "name": args.name, "file": main, "written": written });
    context.result(&said, || human::exported(&args.name, &main, !written.is_empty(), next(args.to), context.out))?;
    Ok(exit_code::DONE)
}

fn refused(NoExport { message, help }: NoExport) -> CliError {
    CliError::usage("export::refused", message, help)
}

/// What applies the migration.
fn next(tool: MigrationTool) -> &'static str {
    match tool {
        MigrationTool::Alembic => "alembic upgrade head",
        MigrationTool::Sqlx => "sqlx migrate run",
        MigrationTool::Flyway => "flyway migrate",
        MigrationTool::Liquibase => "liquibase update",
        MigrationTool::Django => "python manage.py migrate",
        MigrationTool::Rails => "bin/rails db:migrate",
        MigrationTool::Prisma => "npx prisma migrate deploy",
        MigrationTool::Drizzle => "npx drizzle-kit migrate",
    }
}

/// Returns the files of the directory and of those in it, and the name of the directory that it is in.
pub(super) fn read(directory: &Path) -> Result<(Vec<File>, String), CliError> {
    let mut files = Vec::new();
    below(directory, "", &mut files)?;
    for path in files.iter().filter(|file| file.path.ends_with('/')).map(|file| file.path.clone()).collect::<Vec<_>>() {
        below(&directory.join(&path), &path, &mut files)?;
    }
    files.retain(|file| !file.path.ends_with('/'));
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let whole = fs::canonicalize(directory).map_err(unreadable(directory))?;
    let folder = whole.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    Ok((files, folder.unwrap_or_default()))
}

/// Adds the files in one directory, and those that are directories with a `/` behind their names.
fn below(directory: &Path, prefix: &str, files: &mut Vec<File>) -> Result<(), CliError> {
    for entry in fs::read_dir(directory).map_err(unreadable(directory))? {
        let entry = entry.map_err(unreadable(directory))?;
        let path = entry.path();
        // What is no text in UTF-8 was not written by a migration tool.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if path.is_dir() {
            if prefix.is_empty() && !name.starts_with('.') {
                files.push(File { path: format!("{name}/"), text: String::new() });
            }
        } else if path.extension().is_some_and(|end| ["sql", "py", "rb", "json"].iter().any(|known| end == *known)) {
            let text = fs::read(&path).map_err(unreadable(&path))?;
            let text = String::from_utf8_lossy(&text).into_owned();
            files.push(File { path: format!("{prefix}{name}"), text });
        }
    }
    Ok(())
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> CliError {
    let path = path.to_owned();
    move |source| {
        let message = format!("{} cannot be read: {source}", path.display());
        CliError::usage("usage::directory", message, "name the directory that the migrations of the tool are in")
    }
}
