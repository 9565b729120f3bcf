//! `crossfade advance`.

use serde_json::{Value, json};

use super::approve::Bypass;
use super::context::{Context, Session, run_name};
use super::error::CliError;
use super::{consent, exit_code};
use crate::report::{self, human, json as as_json};
use crate::runner::Error;

/// Move a run, or every run, forward by at most one phase
///
/// For cron, systemd or Kubernetes, at any interval: it never waits for a gate to open. Exit code 0 if a run moved, 5 if nothing was due or a run is blocked,
/// another one if something failed. Runs that have ended are left alone.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run; without it, every run
    #[arg(conflicts_with = "all")]
    name: Option<String>,
    /// Every run
    #[arg(long, conflicts_with = "bypass_approval")]
    all: bool,
    /// Only print what would be done
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: as if it were this time already, as 2027-01-12T22:00:00-05:00
    #[arg(long, value_name = "TIME", requires = "dry_run")]
    at: Option<chrono::DateTime<chrono::FixedOffset>>,
    /// Agree to what cannot be undone: without it, the run stops before its point of no return with exit code 5, or asks
    /// at a terminal
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    bypass: Bypass,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    if let Some(name) = &args.name {
        let name = run_name(name)?;
        let call = async |session: &Session| tick(session, name, args).await;
        let tick = consent::asking(context, (args.yes, args.bypass.given()), call).await?;
        return print(context, &tick.value, &tick.text(context)).map(|()| tick.code);
    }
    let session = context.session(args.yes, args.bypass.given())?;
    let mut values = Vec::new();
    let mut text = String::new();
    let mut codes = Vec::new();
    let mut over = 0;
    for name in session.tool.names().await? {
        match tick(&session, &name, args).await {
            Ok(tick) => {
                codes.push(tick.code);
                // Runs that ended long ago are of no interest to somebody who reads what cron has to say.
                if tick.over() {
                    over += 1;
                } else {
                    text.push_str(&tick.text(context));
                }
                values.push(tick.value);
            }
            Err(error) => {
                let error = CliError::from(error);
                codes.push(error.exit_code());
                if !context.json() {
                    context.console.line(&format!("{name}:"));
                    error.report(context);
                }
                values.push(json!({ "name": name, "error": error.json(context) }));
                if codes.last() == Some(&exit_code::INTERRUPTED) {
                    break;
                }
            }
        }
    }
    drop(session);
    if values.is_empty() {
        text.push_str("there are no runs in this database yet\n  next: crossfade start PLAN\n");
    } else if over == values.len() {
        let count = i64::try_from(over).unwrap_or(i64::MAX);
        let sentence = format!("nothing to do: {} in this database, all over", human::plural(count, "run"));
        text.push_str(&human::said(&sentence, "crossfade status", context.out));
    }
    print(context, &Value::Array(values), &text)?;
    Ok(summary(&codes))
}

/// What one tick led to.
struct Tick {
    value: Value,
    said: Said,
    code: u8,
}

enum Said {
    Finish(crate::runner::Finish),
    Would(String, String),
}

impl Tick {
    /// Returns whether the run was over before.
    fn over(&self) -> bool {
        matches!(&self.said, Said::Finish(finish) if finish.did.is_empty() && finish.waiting_for.is_none())
    }

    fn text(&self, context: &Context) -> String {
        match &self.said {
            Said::Finish(finish) => human::finish(finish, context.out),
            Said::Would(name, what) => {
                let mut text = String::new();
                let first = format!("{}: ", context.out.bold(name));
                context.out.wrap(&mut text, (&first, "  "), &report::printable(what));
                text
            }
        }
    }
}

async fn tick(session: &Session, name: &str, args: &Args) -> Result<Tick, Error> {
    if args.dry_run {
        let would = session.tool.advance_preview(name, args.at.map(|at| at.to_utc())).await?;
        let value = json!({ "name": name, "would": would });
        return Ok(Tick { value, said: Said::Would(name.to_owned(), would), code: exit_code::DONE });
    }
    let finish = session.tool.advance(name).await?;
    let code = if finish.did.is_empty() { exit_code::BLOCKED } else { exit_code::DONE };
    Ok(Tick { value: json!(finish), said: Said::Finish(finish), code })
}

fn print(context: &Context, value: &Value, text: &str) -> Result<(), CliError> {
    Ok(report::result(&if context.json() { as_json::result(value) } else { text.to_owned() })?)
}

/// A failure outranks a move, and a move outranks nothing due.
fn summary(codes: &[u8]) -> u8 {
    let harmless = [exit_code::DONE, exit_code::BLOCKED];
    match codes.iter().filter(|code| !harmless.contains(code)).max() {
        Some(failure) => *failure,
        None if codes.contains(&exit_code::DONE) => exit_code::DONE,
        None => exit_code::BLOCKED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_outranks_a_move_and_a_move_outranks_nothing_due() {
        assert_eq!(summary(&[]), 5);
        assert_eq!(summary(&[5, 0, 5]), 0);
        assert_eq!(summary(&[5, 5]), 5);
        assert_eq!(summary(&[0, 6, 5]), 6);
    }
}
