//! `crossfade advance`.

use serde_json::json;

use super::approve::Bypass;
use super::context::{Context, Session, run_name};
use super::error::CliError;
use super::tick::Tick;
use super::{consent, exit_code};
use crate::report::{self, human, json as as_json};
use crate::runner::Error;

/// Move a run, or every run, forward by at most one phase
///
/// A tick, for cron, systemd or Kubernetes, as often as you like: it keeps to the schedule of the plan, and never waits for a
/// gate to open. Exit code 0 if a run moved; 9 if nothing was due, or another process is at work; 5 if something else must happen
/// first; 10 if a person must decide; any other if it failed. Of several runs the most urgent counts: failed, person, blocked,
/// moved. With --format json, each run is one line. Runs that have ended are left alone.
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
    /// Go on although the old column may still be used, for this reason: it is recorded with what was seen
    #[arg(long, value_name = "REASON", value_parser = clap::builder::NonEmptyStringValueParser::new(), requires = "name", conflicts_with = "dry_run")]
    accept_evidence: Option<String>,
    #[command(flatten)]
    bypass: Bypass,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    if let Some(name) = &args.name {
        let name = run_name(name)?;
        let call = async |session: &Session| advance(session, name, args).await;
        let told = match consent::asking(context, (args.yes, args.bypass.given()), call).await {
            Ok(said) => Told::of(name, said),
            Err(error) => Told::failed(name, error, context),
        };
        told.print(context)?;
        return Ok(told.tick.exit_code());
    }
    let session = context.session(args.yes, args.bypass.given())?;
    let mut ticks = Vec::new();
    let mut over = 0;
    let names = session.tool.names().await?;
    for name in &names {
        let told = match advance(&session, name, args).await {
            Ok(said) => Told::of(name, said),
            Err(error) => {
                if !context.json() {
                    context.console.line(&format!("{name}:"));
                }
                Told::failed(name, error.into(), context)
            }
        };
        ticks.push(told.tick);
        // Runs that ended long ago are of no interest to somebody who reads what cron has to say.
        if told.over() {
            over += 1;
        } else {
            told.print(context)?;
        }
        if told.tick.exit_code() == exit_code::INTERRUPTED {
            break;
        }
    }
    drop(session);
    if !context.json() {
        if names.is_empty() {
            report::result(&human::no_runs(context.out))?;
        } else if over == names.len() {
            let count = i64::try_from(over).unwrap_or(i64::MAX);
            let sentence = format!("nothing to do: {} in this database, all over", human::plural(count, "run"));
            report::result(&human::said(&sentence, "crossfade status", context.out))?;
        }
    }
    Ok(if args.dry_run { exit_code::DONE } else { Tick::all(&ticks).exit_code() })
}

/// What a tick of a run led to.
struct Told {
    name: String,
    tick: Tick,
    said: Said,
}

enum Said {
    Finish(Box<crate::runner::Finish>),
    Would(String),
    Error(CliError),
}

impl Told {
    fn of(name: &str, said: Said) -> Self {
        let tick = match &said {
            Said::Finish(finish) => Tick::of(finish),
            // What is only asked moves nothing.
            Said::Would(_) | Said::Error(_) => Tick::Advanced,
        };
        Self { name: name.to_owned(), tick, said }
    }

    fn failed(name: &str, error: CliError, context: &Context) -> Self {
        Self { name: name.to_owned(), tick: Tick::reported(&error, context), said: Said::Error(error) }
    }

    /// Returns whether the run was over before.
    fn over(&self) -> bool {
        matches!(&self.said, Said::Finish(finish) if finish.did.is_empty() && finish.waiting_for.is_none())
    }

    /// Prints the result: of a tick that failed only in JSON, where each run has its line.
    fn print(&self, context: &Context) -> Result<(), CliError> {
        if context.json() {
            let mut value = match &self.said {
                Said::Finish(finish) => json!(finish),
                Said::Would(would) => json!({ "would": would }),
                Said::Error(error) => json!({ "error": error.json(context) }),
            };
            value["name"] = json!(self.name);
            if !matches!(self.said, Said::Would(_)) {
                value["tick"] = json!(self.tick);
                value["exit_code"] = json!(self.tick.exit_code());
            }
            return Ok(report::result(&as_json::line(&value))?);
        }
        match &self.said {
            Said::Finish(finish) => report::result(&human::finish(finish, context.out))?,
            Said::Would(would) => {
                let mut text = String::new();
                let first = format!("{}: ", context.out.bold(&self.name));
                context.out.wrap(&mut text, (&first, "  "), &report::printable(would));
                report::result(&text)?;
            }
            Said::Error(_) => {}
        }
        Ok(())
    }
}

async fn advance(session: &Session, name: &str, args: &Args) -> Result<Said, Error> {
    if args.dry_run {
        return Ok(Said::Would(session.tool.advance_preview(name, args.at.map(|at| at.to_utc())).await?));
    }
    let tool = session.accepting(args.accept_evidence.as_deref());
    Ok(Said::Finish(Box::new(tool.advance(name).await?)))
}
