//! `crossfade approve`.

use serde_json::json;

use super::context::{Context, run_name};
use super::error::CliError;
use super::{exit_code, phase_parser};
use crate::report::human;
use crate::run::Phase;

/// Approve a phase of a run, or take the approval back
///
/// A plan lists the phases that wait for that under `approve`. What is approved is the plan, the generated SQL and the warnings as they are now (`crossfade show NAME --program` prints them):
/// when one of them changes, the approval is void. It expires after `approval.expiry`, and whoever started the run may not
/// give it unless the plan says `approval: { self: true }`. Of a run with parts (docs/widen-a-key.md) the phase is approved in all of them; by the name of a
/// part, in that alone.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run
    name: String,
    /// The phase
    #[arg(value_parser = phase_parser())]
    phase: Phase,
    /// What to note with it
    #[arg(long, value_name = "TEXT", conflicts_with = "revoke")]
    comment: Option<String>,
    /// Who you are, if not the user of this machine that runs the command
    #[arg(long = "as", value_name = "PERSON")]
    person: Option<String>,
    /// Take the approval back: no further step of the phase begins
    #[arg(long)]
    revoke: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let (name, phase, person) = (run_name(&args.name)?, args.phase, args.person.as_deref());
    let tool = context.tool()?;
    if args.revoke {
        let all = tool.revoke_with_parts(name, phase, person).await?;
        context.result(&json!({ "name": name, "phase": phase, "revoked": true, "runs": all }), || {
            human::said(
                &format!("{}: {phase} is not approved any more", all.join(", ")),
                &format!("crossfade status {name}"),
                context.out,
            )
        })?;
        return Ok(exit_code::DONE);
    }
    let all = tool.approve_with_parts(name, phase, person, args.comment.as_deref()).await?;
    // A run without parts is its own result.
    let value = if let [approved] = all.as_slice() { json!(approved) } else { json!({ "name": name, "runs": all }) };
    context.result(&value, || human::approved(name, &all, context.out))?;
    Ok(exit_code::DONE)
}

/// What goes on without an approval that the plan asks for.
#[derive(Debug, clap::Args)]
pub(super) struct Bypass {
    /// Go on without the approval that the plan asks for, and say why; the log keeps it for good
    #[arg(long, value_name = "REASON", requires = "person", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    bypass_approval: Option<String>,
    /// With --bypass-approval: who answers for it
    #[arg(long = "as", value_name = "NAME", requires = "bypass_approval", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    person: Option<String>,
}

impl Bypass {
    /// Returns who answers for it, and why.
    pub(super) fn given(&self) -> Option<(&str, &str)> {
        self.person.as_deref().zip(self.bypass_approval.as_deref())
    }
}
