//! Runs a plan without the command line, and follows its events:
//!
//! ```console
//! $ psql "$DATABASE_URL" -f examples/fleet.sql
//! $ cargo run --example run_a_plan -- plans/vehicle-status.yaml
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::sync::Arc;

use anyhow::Context as _;
use crossfade::event::{Event, EventSink};
use crossfade::results::Level;
use crossfade::{Connector, LedgerSchema, Phase, Tool, plan};
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "plans/vehicle-status.yaml".to_owned());
    let url = std::env::var("DATABASE_URL").context("set DATABASE_URL")?;
    let text = std::fs::read_to_string(&file).with_context(|| file.clone())?;
    let plan = plan::parse(&file, &text).map_err(|problems| anyhow::anyhow!("{}", problems.render(false)))?;

    // The sink is called while the run goes on; whatever takes long belongs elsewhere, behind a channel.
    let sink: EventSink = Arc::new(|event| match event {
        Event::PhaseStarted { phase } => println!("{phase} begins"),
        Event::Progress { progress, .. } => println!("  {} of {} rows", progress.rows_done, progress.rows_total),
        Event::LockWait { step, blockers, .. } => {
            println!("  {step} waits for a lock");
            for blocker in blockers {
                println!("    because of {blocker}");
            }
        }
        Event::Hold(Level { signal, value, limit }) => {
            let value = value.map_or_else(|| "unknown".to_owned(), |value| signal.format(value));
            println!("  holding: {} is {value}, the limit is {}", signal.words(), signal.format(limit));
        }
        Event::PhaseDone { phase } => println!("{phase} is done"),
        _ => {}
    });
    // Cancel it, from a signal handler for instance, and the run stops after the batch it is in.
    let stop = CancellationToken::new();

    let connector = Connector::new(url.parse::<PgConnectOptions>()?);
    let tool = Tool::new(connector, LedgerSchema::default(), "example run_a_plan".to_owned(), sink, stop);

    // What would be done, and what stands in the way? Nothing is changed yet.
    let preview = tool.preview(&plan).await?;
    for finding in &preview.refusals {
        println!("in the way: {} ({})", finding.message, finding.help);
    }

    // Both columns are there, filled and equal: the moment to deploy the releases that use the new one.
    let finish = tool.run(&plan, &text, Some(Phase::Verify)).await?;
    let did: Vec<_> = finish.did.iter().map(|phase| phase.as_str()).collect();
    println!("{} has done {}", finish.name, did.join(", "));

    // Later, when nobody writes the old column any more. Called again after a crash, it goes on from there.
    // Without consent it would stop before the drop, with `NotYet::Irreversible`.
    let finish = tool.with_consent().run(&plan, &text, None).await?;
    println!("{} is {}", finish.name, finish.state);
    Ok(())
}
