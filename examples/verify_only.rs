//! Compares the two columns of a run that somebody else takes through its phases: for a monitor, or a nightly job.
//!
//! ```console
//! $ cargo run --example verify_only -- vehicle-status
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use anyhow::Context as _;
use crossfade::{Connector, LedgerSchema, Tool, event};
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let name = std::env::args().nth(1).context("name a run: verify_only NAME")?;
    let url = std::env::var("DATABASE_URL").context("set DATABASE_URL")?;
    let connector = Connector::new(url.parse::<PgConnectOptions>()?);
    let actor = "example verify_only".to_owned();
    let tool = Tool::new(connector, LedgerSchema::default(), actor, event::silent(), CancellationToken::new());

    let status = tool.status(&name).await?;
    println!("{name} is in {}, {}", status.phase, status.state);

    // Takes no lock but that of a SELECT; rows that differ are a result, not an error.
    let outcome = tool.verify(&name, None).await?;
    println!("{} of {} rows are equal ({:.1} s)", outcome.counts.equal, outcome.counts.rows, outcome.seconds);
    for row in &outcome.keys {
        println!("  {} is {}", row.key, row.class);
    }
    anyhow::ensure!(outcome.is_clean(), "{} rows are not equal", outcome.counts.mismatches());
    Ok(())
}
