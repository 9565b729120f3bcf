//! `crossfade new`.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use super::context::Context;
use super::error::CliError;
use super::plan::verdict;
use super::{ask, exit_code};
use crate::catalog::Outline;
use crate::ident;
use crate::report::{self, human, json, printable};
use crate::runner::{Draft, Error, Tool, Wanted};

/// Write a plan for a column of this database, and try it
///
/// Looks at the table, prints a plan with comments and with values that are sensible for it, and tries the plan as `crossfade plan`
/// does. What that found stands on standard error, so `crossfade new rename vehicles status state > plan.yaml` has the plan alone in
/// its file. At a terminal it asks for what was not given. Changes nothing in the database. Exit code 4 if something there rules the
/// plan out.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = false)]
pub(super) struct Args {
    #[command(subcommand)]
    kind: Option<Kind>,
    /// Write the plan to this file, which must not be there yet
    #[arg(short, long, global = true, value_name = "FILE")]
    output: Option<PathBuf>,
    /// With --output: replace the file if it is there
    #[arg(long, global = true)]
    force: bool,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Kind {
    Rename(Rename),
    Type(Type),
}

/// Give a column another name
#[derive(Debug, Clone, Default, clap::Args)]
struct Rename {
    /// SCHEMA.TABLE, or TABLE for the first of that name in the `search_path`; "a.b" for a name that holds a dot
    table: Option<String>,
    /// The column, exactly as it is called
    column: Option<String>,
    /// Its new name
    new: Option<String>,
}

/// Give a column another type
#[derive(Debug, Clone, Default, clap::Args)]
struct Type {
    /// SCHEMA.TABLE.COLUMN, or TABLE.COLUMN; "a.b" for a name that holds a dot
    #[arg(value_name = "TABLE.COLUMN")]
    column: Option<String>,
    /// The new type, as in CREATE TABLE: integer, "numeric(12, 2)", app.mood
    #[arg(value_name = "TYPE")]
    to: Vec<String>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    if let Some(file) = &args.output {
        may_write(file, args.force)?;
    }
    let tool = context.tool()?;
    let asker = Asker { context, tool: &tool };
    let kind = match &args.kind {
        Some(kind) => kind.clone(),
        None => asker.kind().await?,
    };
    let (outline, wanted) = match kind {
        Kind::Rename(rename) => asker.rename(rename).await?,
        Kind::Type(retype) => asker.retype(retype).await?,
    };
    let again = format!("crossfade new {}", words_of(&outline, &wanted));
    let draft = tool.draft(&outline, &[wanted], &[]).await?;
    if let Some(file) = &args.output {
        write(file, &draft.text, args.force, context)?;
    }
    // What stands on a terminal is in no file.
    let is_lost = args.output.is_none() && std::io::stdout().is_terminal();
    let keep = is_lost.then(|| format!("{again} -o {}.yaml", draft.plan.name));
    print(args.output.as_deref(), keep.as_deref(), &outline, &draft, context, &[])?;
    Ok(verdict(&draft.preview))
}

/// Returns the arguments that ask for the same again.
fn words_of(outline: &Outline, wanted: &Wanted) -> String {
    let table = outline.table.to_string();
    let (kind, words) = match wanted {
        Wanted::Rename { column, to } => ("rename", vec![table, column.clone(), to.clone()]),
        Wanted::Type { column, to, .. } => ("type", vec![format!("{table}.{}", ident::part(column)), to.clone()]),
    };
    let words: Vec<_> = words.iter().map(|word| human::shell_word(word)).collect();
    format!("{kind} {}", words.join(" "))
}

/// Refuses a file that is there, before anything else is done.
pub(super) fn may_write(file: &Path, force: bool) -> Result<(), CliError> {
    if file.exists() && !force {
        let message = format!("{} is there already, and was not changed", file.display());
        return Err(CliError::usage("usage::file_exists", message, "name another file, or replace it with --force"));
    }
    Ok(())
}

/// Writes a plan to a file, and says so if another one was there.
pub(super) fn write(file: &Path, text: &str, force: bool, context: &Context) -> Result<(), CliError> {
    let replaced = file.exists();
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    let options = if force { options.create(true).truncate(true) } else { options.create_new(true) };
    let written = options.open(file).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let message = format!("{} cannot be written: {error}", file.display());
        CliError::usage("usage::file", message, "check the path; without --output, the plan is printed")
    })?;
    if replaced && !context.quiet && !context.json() {
        context.console.line(&printable(&format!("{} was there, and was replaced", file.display())));
    }
    Ok(())
}

/// Prints a plan that was tried, and what that found; before it, what `notes` say of the file that it comes from. `keep` is the command that
/// writes the plan to a file, where that is what comes next.
pub(super) fn print(
    file: Option<&Path>,
    keep: Option<&str>,
    outline: &Outline,
    draft: &Draft,
    context: &Context,
    notes: &[String],
) -> Result<(), CliError> {
    if context.json() {
        let mut value = json::preview(&draft.plan, &draft.preview);
        value["file"] = file.map(|file| file.to_string_lossy()).into();
        value["plan"] = crate::plan::to_json(&draft.plan);
        value["text"] = draft.text.as_str().into();
        if !notes.is_empty() {
            value["notes"] = notes.into();
        }
        return Ok(report::result(&json::result(&value))?);
    }
    if file.is_none() {
        report::result(&draft.text)?;
    }
    if !context.quiet {
        let file = file.map(Path::to_string_lossy);
        let found = human::drafted(file.as_deref(), keep, outline, draft, context.err);
        let text = human::noted(notes, context.err) + &found;
        context.console.line(&report::redacted(text.trim_end()));
    }
    Ok(())
}

/// Asks for what was not given.
struct Asker<'a> {
    context: &'a Context,
    tool: &'a Tool,
}

impl Asker<'_> {
    async fn kind(&self) -> Result<Kind, CliError> {
        let kinds = [("rename", "give a column another name"), ("type", "give a column another type")];
        let list: Vec<_> = kinds.iter().map(|(word, about)| ((*word).to_owned(), (*about).to_owned())).collect();
        let usage = || {
            missing(
                "which change?",
                "crossfade new rename SCHEMA.TABLE COLUMN NEW, or crossfade new type SCHEMA.TABLE.COLUMN TYPE",
            )
        };
        loop {
            match self.choose("What shall change?", &list, usage).await?.as_str() {
                "rename" => return Ok(Kind::Rename(Rename::default())),
                "type" => return Ok(Kind::Type(Type::default())),
                other => self.say(&format!("expected rename or type, not `{other}`")),
            }
        }
    }

    async fn rename(&self, given: Rename) -> Result<(Outline, Wanted), CliError> {
        let usage =
            || missing("a table, a column and its new name are needed", "crossfade new rename SCHEMA.TABLE COLUMN NEW");
        let outline = match &given.table {
            Some(table) => self.outline(&parts_of(table)?).await?,
            None => self.table(usage).await?,
        };
        let column = match given.column {
            Some(column) => column,
            None => self.column(&outline, usage).await?,
        };
        outline.column(&column).map_err(Error::from)?;
        let to = match given.new {
            Some(new) => new,
            None => self.text(&format!("New name of {}: ", printable(&column)), usage).await?,
        };
        Ok((outline, Wanted::Rename { column, to }))
    }

    async fn retype(&self, given: Type) -> Result<(Outline, Wanted), CliError> {
        let usage = || missing("a column and its new type are needed", "crossfade new type SCHEMA.TABLE.COLUMN TYPE");
        let (outline, column) = if let Some(named) = &given.column {
            let parts = parts_of(named)?;
            let Some((column, table @ ([_] | [_, _]))) = parts.split_last() else {
                let message = format!("`{named}` is no TABLE.COLUMN");
                let help =
                    "write SCHEMA.TABLE.COLUMN or TABLE.COLUMN, with double quotes around a part that holds a dot";
                return Err(CliError::usage("usage::column", message, help));
            };
            (self.outline(table).await?, column.clone())
        } else {
            let outline = self.table(usage).await?;
            let column = self.column(&outline, usage).await?;
            (outline, column)
        };
        let old = outline.column(&column).map_err(Error::from)?;
        let to = if given.to.is_empty() {
            self.text(&format!("New type of {} ({}): ", printable(&column), printable(&old.type_name)), usage).await?
        } else {
            given.to.join(" ")
        };
        Ok((outline, Wanted::to_type(column, to)))
    }

    /// Returns the table of these parts of a name.
    async fn outline(&self, parts: &[String]) -> Result<Outline, CliError> {
        match parts {
            [table] => Ok(self.tool.outline(None, table).await?),
            [schema, table] => Ok(self.tool.outline(Some(schema), table).await?),
            _ => {
                let message = format!("`{}` is no table", parts.join("."));
                let help = "write SCHEMA.TABLE or TABLE, with double quotes around a part that holds a dot";
                Err(CliError::usage("usage::table", message, help))
            }
        }
    }

    async fn table(&self, usage: impl Fn() -> CliError) -> Result<Outline, CliError> {
        if !ask::is_possible(self.context) {
            return Err(usage());
        }
        let tables = self.tool.tables().await?;
        let list: Vec<_> = tables.iter().map(|table| (table.to_string(), String::new())).collect();
        loop {
            let typed = self.choose("Which table?", &list, &usage).await?;
            let found = match parts_of(&typed) {
                Ok(parts) => self.outline(&parts).await,
                Err(error) => Err(error),
            };
            match found {
                Err(error) if error.exit_code() == exit_code::USAGE => {
                    self.context.console.line(error.text(self.context).trim_end());
                }
                other => return other,
            }
        }
    }

    async fn column(&self, outline: &Outline, usage: impl Fn() -> CliError) -> Result<String, CliError> {
        let list: Vec<_> =
            outline.columns.iter().map(|column| (column.name.clone(), column.type_name.clone())).collect();
        loop {
            let typed = self.choose(&format!("Which column of {}?", outline.table), &list, &usage).await?;
            match outline.column(&typed) {
                Ok(_) => return Ok(typed),
                Err(error) => {
                    self.context.console.line(CliError::from(Error::from(error)).text(self.context).trim_end());
                }
            }
        }
    }

    /// Asks for one of a list, each with what is to know of it: its name, or its number.
    async fn choose(
        &self,
        title: &str,
        list: &[(String, String)],
        usage: impl Fn() -> CliError,
    ) -> Result<String, CliError> {
        let look = self.context.err;
        let mut words = format!("{}\n", look.bold(&printable(title)));
        let width = list.iter().take(SHOWN).map(|(name, _)| printable(name).chars().count()).max().unwrap_or_default();
        for (number, (name, about)) in list.iter().take(SHOWN).enumerate() {
            let line = format!("  {:>3} {:width$}  {}", number + 1, printable(name), printable(about));
            let _ = writeln!(words, "{}", line.trim_end());
        }
        if list.len() > SHOWN {
            let _ = writeln!(words, "      and {} more", list.len() - SHOWN);
        }
        let typed = self.line(&words, "Number or name: ", usage).await?;
        // A name that looks like a number is a name.
        if list.iter().any(|(name, _)| *name == typed) {
            return Ok(typed);
        }
        let by_number = typed.parse::<usize>().ok().and_then(|number| list.get(number.checked_sub(1)?));
        Ok(by_number.map_or(typed, |(name, _)| name.clone()))
    }

    async fn text(&self, question: &str, usage: impl Fn() -> CliError) -> Result<String, CliError> {
        self.line("", question, usage).await
    }

    /// Asks until something is typed. The end of the input ends the command.
    async fn line(&self, words: &str, question: &str, usage: impl Fn() -> CliError) -> Result<String, CliError> {
        loop {
            let Some(line) = ask::line(self.context, words, question).await? else { return Err(usage()) };
            if !line.trim().is_empty() {
                return Ok(line.trim().to_owned());
            }
            if !line.ends_with('\n') {
                return Err(usage());
            }
        }
    }

    fn say(&self, text: &str) {
        self.context.console.line(&printable(text));
    }
}

/// So many of a list are shown.
const SHOWN: usize = 30;

fn missing(message: &str, help: &str) -> CliError {
    CliError::usage("usage::arguments", message, help)
}

pub(super) fn parts_of(text: &str) -> Result<Vec<String>, CliError> {
    ident::parts(text).map_err(|error| {
        CliError::usage("usage::table", format!("`{}`: {error}", printable(text)), "as in public.vehicles")
    })
}
