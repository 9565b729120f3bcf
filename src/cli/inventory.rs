//! `crossfade inventory`.

use super::context::Context;
use super::error::CliError;
use super::exit_code;
use crate::catalog::Scope;
use crate::ident::TableName;
use crate::report::{self, human, json};

/// Show for every column what a rename or a type change would meet
///
/// Asks for each column what `crossfade plan` asks, in one table: whether everything that hangs on it follows a rename, whether
/// a new type only touches the catalog or is carried to a second column, and what rules a change out. Changes nothing and reads
/// no row, so what values convert to is not tried. Without an argument, the whole database but system schemas and the ledger.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A schema, or a table with its schema: app, app.vehicles
    #[arg(value_name = "SCHEMA[.TABLE]")]
    scope: Option<String>,
    /// The type to change every column to; without it, a wider type of the same kind
    #[arg(long, value_name = "TYPE")]
    to: Option<String>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let scope = match &args.scope {
        None => Scope::Database,
        Some(text) => scope(text)?,
    };
    let inventory = context.tool()?.inventory(&scope, args.to.as_deref()).await?;
    let text = if context.json() { json::result(&inventory) } else { human::inventory(&inventory, context.out) };
    report::result(&text)?;
    Ok(exit_code::DONE)
}

/// Reads `schema`, `schema.table` or either in double quotes.
fn scope(text: &str) -> Result<Scope, CliError> {
    let wrong = |error: crate::ident::IdentError| {
        let help = "name a schema, or a table with its schema: app, app.vehicles, \"with.dot\".vehicles";
        CliError::usage("usage::inventory", format!("`{}`: {error}", report::printable(text)), help)
    };
    // A name alone is that of a table in `public` in a plan.
    let table = TableName::parse(text).map_err(wrong)?;
    let alone = TableName::parse(&format!("x.{text}"));
    Ok(match alone {
        Ok(TableName { name, .. }) => Scope::Schema(name),
        Err(_) => Scope::Table(table),
    })
}
