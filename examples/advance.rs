//! Takes every run of a database forward by at most one phase: what a scheduler calls, every few minutes for weeks.
//!
//! ```console
//! $ cargo run --example advance
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use anyhow::Context as _;
use crossfade::{Connector, Error, LedgerSchema, Tool, event};
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("DATABASE_URL").context("set DATABASE_URL")?;
    let connector = Connector::new(url.parse::<PgConnectOptions>()?);
    let actor = "example advance".to_owned();
    let tool = Tool::new(connector, LedgerSchema::default(), actor, event::silent(), CancellationToken::new());

    let mut failed = 0;
    for name in tool.names().await? {
        match tool.advance(&name).await {
            // Nothing was left to do: the run is over.
            Ok(finish) if finish.did.is_empty() => {}
            Ok(finish) => println!("{name} is in {} now, {}", finish.phase, finish.state),
            // These open with time, or by what somebody else does: the next tick tries again.
            Err(Error::NotYet(gate)) => println!("{name} waits: {gate}"),
            Err(error @ (Error::Held { .. } | Error::Paused { .. })) => println!("{name} waits: {error}"),
            // What was done is in the ledger. A person should look before the next tick, other runs need not wait for it.
            Err(error) => {
                println!("{name} needs a person: {error}");
                failed += 1;
            }
        }
    }
    anyhow::ensure!(failed == 0, "{failed} run(s) need a person");
    Ok(())
}
