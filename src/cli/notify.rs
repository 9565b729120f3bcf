//! `crossfade notify`.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::context::{Context, run_name};
use super::error::CliError;
use super::{exit_code, plan_file};
use crate::notify::{self, Tested};
use crate::report::{Look, printable};

/// Try who is told what happens in a run
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Test(Test),
}

/// Send a test message to each destination of a plan, and print what came of it
///
/// Where a destination is, and the secret with which messages to it are signed, are in the environment: docs/notifications.md.
/// Exit code 0 if all were accepted, otherwise 5.
#[derive(Debug, clap::Args)]
struct Test {
    /// The run whose plan names the destinations
    #[arg(required_unless_present = "plan", conflicts_with = "plan")]
    name: Option<String>,
    /// The plan file; needs no database
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let Command::Test(args) = &args.command;
    let plan = match (&args.plan, &args.name) {
        (Some(file), _) => plan_file::read(file).await?.0,
        (None, name) => context.tool()?.stored(run_name(name.as_deref().unwrap_or_default())?).await?.0,
    };
    if plan.notify.is_empty() {
        let message = format!("plan {} tells nobody anything", plan.name);
        return Err(CliError::usage("usage::no_destination", message, "add `notify: [{ to: ops }]` to the plan"));
    }
    let tested = notify::test(&context.destinations(), &plan).await;
    context.result(&tested, || text(&tested, context.out))?;
    Ok(if tested.iter().all(|tested| tested.ok) { exit_code::DONE } else { exit_code::BLOCKED })
}

fn text(tested: &[Tested], look: Look) -> String {
    let mut text = String::new();
    for Tested { to, address, ok, said, seconds, .. } in tested {
        let sign = if *ok { look.done() } else { look.failed() };
        let address = address.as_ref().map(|address| format!(" ({})", printable(address))).unwrap_or_default();
        let _ = writeln!(text, "{sign} {}{address}: {}, {seconds:.1} s", look.bold(to), printable(said));
    }
    text
}
