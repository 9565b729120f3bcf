//! `crossfade import`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::context::Context;
use super::error::{self, CliError, FileKind};
use super::plan::verdict;
use super::{exit_code, export, new};
use crate::ident::TableName;
use crate::import::{self, LARGEST, Named, Trouble, Using, Wish, Wishes};
use crate::plan::{self, Change, Plan};
use crate::report::{self, human, json, printable};
use crate::runner::{Wanted, unseen};
use crate::sql::one_line;

/// Write a plan for what a migration does that renames a column or changes its type
///
/// Reads one migration of Alembic, Django or Rails, or a file of SQL (sqlx, Flyway, Prisma, Drizzle, Liquibase's formatted SQL), and
/// never runs it. If a database is named, it looks at the table, adds what fits and tries the plan, as `crossfade new` does; exit code 4
/// if something there rules the plan out. A line that does something else, or that cannot be understood, is named, and then no plan is
/// written. See docs/migration-tools.md.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The migration
    file: PathBuf,
    /// Write the plan to this file, which must not be there yet
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// With --output: replace the file if it is there
    #[arg(long)]
    force: bool,
    /// The table, where the migration does not say it, or changes several; "a.b" for a name that holds a dot
    #[arg(long, value_name = "SCHEMA.TABLE")]
    table: Option<String>,
    /// Look at no database, and write what the migration says
    #[arg(long)]
    offline: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    if let Some(file) = &args.output {
        new::may_write(file, args.force)?;
    }
    let only = args.table.as_deref().map(named).transpose()?;
    let name = args.file.display().to_string();
    let refused = |troubles| CliError::Import { file: name.clone(), troubles };
    let text = text(&args.file)?.map_err(|trouble| refused(vec![trouble]))?;
    // Only Django has what belongs to a migration in the files beside it.
    let (there, folder) = if args.file.extension().is_some_and(|end| end == "py") {
        let directory = args.file.parent().filter(|parent| !parent.as_os_str().is_empty());
        export::read(directory.unwrap_or(Path::new(".")))?
    } else {
        Default::default()
    };
    let own = args.file.file_name().unwrap_or_default().to_string_lossy();
    let wishes = import::read(&own, &text, &there, &folder).and_then(|migration| migration.wishes(only));
    let wishes = wishes.map_err(refused)?;
    let mut notes: Vec<_> =
        wishes.notes.iter().map(|note| format!("{own}, line {}: {}.", note.line, note.message)).collect();
    let tool = match context.tool() {
        _ if args.offline => None,
        Err(CliError::Usage { code: "usage::no_database", .. }) => None,
        tool => Some(tool?),
    };
    let Some(tool) = tool else {
        let table = table(&wishes.table, &mut notes)?;
        let (plan, text) = unseen(&table, &wanted(&wishes, false), &about(&own, &wishes, &notes))?;
        if let Some(file) = &args.output {
            new::write(file, &text, args.force, context)?;
        }
        print(args.output.as_deref(), (&plan, &text), &notes, context)?;
        return Ok(exit_code::DONE);
    };
    let outline = tool.outline(wishes.table.schema.as_deref(), &wishes.table.name).await?;
    let draft = tool.draft(&outline, &wanted(&wishes, true), &about(&own, &wishes, &notes)).await?;
    if let Some(file) = &args.output {
        new::write(file, &draft.text, args.force, context)?;
    }
    notes.extend(replaced(&own, &wishes, &draft.plan));
    new::print(args.output.as_deref(), None, &outline, &draft, context, &notes)?;
    Ok(verdict(&draft.preview))
}

/// Returns the text of the file, or where it is none.
fn text(path: &Path) -> Result<Result<String, Trouble>, CliError> {
    let unreadable = |source| error::file(path, FileKind::Migration)(source);
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    let trouble =
        |line, message: &str, help: &str| Trouble { line, message: message.to_owned(), help: help.to_owned() };
    if bytes.len() as u64 > LARGEST {
        return Ok(Err(trouble(1, "the file has more than 2 MB", "name a migration")));
    }
    Ok(String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + String::from_utf8_lossy(good).matches('\n').count();
        trouble(line, "a byte here is not UTF-8", "save the file as UTF-8")
    }))
}

fn named(text: &str) -> Result<Named, CliError> {
    match new::parts_of(text)?.as_slice() {
        [name] if !name.is_empty() => Ok(Named { schema: None, name: name.clone() }),
        [schema, name] if !schema.is_empty() && !name.is_empty() => {
            Ok(Named { schema: Some(schema.clone()), name: name.clone() })
        }
        _ => {
            let help = "write SCHEMA.TABLE or TABLE, with double quotes around a part that holds a dot";
            Err(CliError::usage("usage::table", format!("`{}` is no table", printable(text)), help))
        }
    }
}

/// Returns the table of a plan that nobody tries. Without a schema it is in `public`, and a note says so.
fn table(table: &Named, notes: &mut Vec<String>) -> Result<TableName, CliError> {
    if table.schema.is_none() {
        notes.push(format!("The schema of {} is not in the file: public is assumed.", one_line(&table.to_string())));
    }
    TableName::new(table.schema.as_deref().unwrap_or("public"), &table.name).map_err(|error| {
        let message = format!("`{}` cannot be a table: {error}", printable(&table.to_string()));
        CliError::usage("usage::table", message, "check the name in the migration")
    })
}

/// Returns what the migration wants. Where the table is looked at, an expression that fits is looked for in place of a cast.
fn wanted(wishes: &Wishes, seen: bool) -> Vec<Wanted> {
    let one = |wish: &Wish| match wish.retype.clone() {
        None => Wanted::Rename { column: wish.column.clone(), to: wish.name.clone() },
        Some((to, using)) => {
            let using = match using {
                Using::Expression(sql) => Some(sql),
                Using::Cast(sql) if !seen => Some(sql),
                Using::Cast(_) | Using::Assignment => None,
            };
            let name = (wish.name != wish.column).then(|| wish.name.clone());
            Wanted::Type { column: wish.column.clone(), to, using, default: wish.default.clone(), name }
        }
    };
    wishes.columns.iter().map(one).collect()
}

/// Returns a note for each cast of the file in whose place the plan has an expression that was found to fit.
fn replaced(file: &str, wishes: &Wishes, plan: &Plan) -> Vec<String> {
    let used = |wish: &Wish| {
        plan.changes.iter().find_map(|change| match change {
            Change::ChangeType(change) if change.column.as_str() == wish.column => change.using.clone(),
            _ => None,
        })
    };
    let note = |wish: &Wish| {
        let Some((_, Using::Cast(cast))) = &wish.retype else { return None };
        let using = used(wish).filter(|using| using != cast)?;
        let (cast, using) = (one_line(cast), one_line(&using));
        Some(format!("{file}, line {}: in place of the cast {cast}, the plan uses {using}.", wish.line))
    };
    wishes.columns.iter().filter_map(note).collect()
}

/// Returns the sentences that the plan's file begins with.
fn about(file: &str, wishes: &Wishes, notes: &[String]) -> Vec<String> {
    let mut lines: Vec<_> = wishes.columns.iter().map(|wish| wish.line).collect();
    lines.sort_unstable();
    lines.dedup();
    let plural = if lines.len() == 1 { "" } else { "s" };
    let lines: Vec<_> = lines.iter().map(usize::to_string).collect();
    let from = format!("From {file}, line{plural} {}.", lines.join(", "));
    std::iter::once(from).chain(notes.iter().cloned()).collect()
}

fn print(
    file: Option<&Path>,
    (plan, text): (&Plan, &str),
    notes: &[String],
    context: &Context,
) -> Result<(), CliError> {
    let file = file.map(Path::to_string_lossy);
    if context.json() {
        let value = json!({ "file": file, "plan": plan::to_json(plan), "text": text, "notes": notes });
        return Ok(report::result(&json::result(&value))?);
    }
    if file.is_none() {
        report::result(text)?;
    }
    if !context.quiet {
        let said = human::noted(notes, context.err) + &human::unseen(file.as_deref(), context.err);
        context.console.line(said.trim_end());
    }
    Ok(())
}
