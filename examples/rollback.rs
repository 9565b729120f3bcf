//! Takes a run back to before it began, or to the end of an earlier phase, while the application goes on.
//!
//! ```console
//! $ cargo run --example rollback -- vehicle-status
//! $ cargo run --example rollback -- vehicle-status expand
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::sync::Arc;

use anyhow::Context as _;
use crossfade::event::{Event, EventSink};
use crossfade::{Connector, Error, LedgerSchema, Phase, Tool};
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let name = std::env::args().nth(1).context("name a run: rollback NAME [PHASE]")?;
    let to = std::env::args().nth(2).map(|phase| phase.parse::<Phase>()).transpose()?;
    let url = std::env::var("DATABASE_URL").context("set DATABASE_URL")?;
    let connector = Connector::new(url.parse::<PgConnectOptions>()?);
    let sink: EventSink = Arc::new(|event| {
        if let Event::StepUndone { step } = event {
            println!("  {step} is undone");
        }
    });
    let actor = "example rollback".to_owned();
    let tool = Tool::new(connector, LedgerSchema::default(), actor, sink, CancellationToken::new());

    for statement in tool.rollback_preview(&name, to).await? {
        println!("  will run {statement}");
    }
    match tool.with_consent().rollback(&name, to).await {
        Ok(finish) => println!("{name} is {}", finish.state),
        // Nothing was lost: rows whose value has no way back must be written by a person first.
        Err(Error::WouldLose { rows, .. }) => anyhow::bail!("{rows} row(s) hold a value that would be lost"),
        Err(Error::PointOfNoReturn { why, .. }) => anyhow::bail!("there is no way back: {why}"),
        // If the process was stopped or killed on the way, the same call goes on.
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
