//! `crossfade tune`.

use serde_json::{Map, Value, json};

use super::context::{Context, run_name};
use super::error::CliError;
use super::exit_code;
use crate::plan::settings;
use crate::report::human;

/// Change settings of a run while it is running, such as its rows per second
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Settings:\n{}", settings::listing()))]
pub(super) struct Args {
    /// The run
    name: String,
    /// Settings, with the names and values that plans use
    #[arg(value_name = "KEY=VALUE", required = true)]
    settings: Vec<String>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let name = run_name(&args.name)?;
    let settings = args.settings.iter().map(|text| pair(text)).collect::<Result<Vec<_>, _>>()?;
    context.tool()?.tune(name, &settings).await?;
    let values: Map<_, _> = settings.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    context.result(&json!({ "name": name, "settings": values }), || {
        let set: Vec<_> = settings.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        let sentence = format!("{name}: {}; processes at work adopt this within a second", set.join(", "));
        human::said(&sentence, &format!("crossfade status {name}"), context.out)
    })?;
    Ok(exit_code::DONE)
}

const HELP: &str =
    "write KEY=VALUE without spaces, for example: crossfade tune NAME batch_target=50ms max_rows_per_second=5000";

fn pair(text: &str) -> Result<(String, String), CliError> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() && !value.trim().is_empty() => {
            let (key, value) = (key.trim(), value.trim());
            // As the plan and the README have it: `contract.grace`.
            let named = settings::tunable().find(|setting| setting.path == key);
            let key = named.map_or(key, |setting| setting.name());
            settings::check(key, value)
                .map_err(|wrong| CliError::usage("usage::setting", wrong.to_string(), &wrong.help))?;
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(CliError::usage("usage::setting", format!("`{text}` is not KEY=VALUE"), HELP)),
    }
}
