//! Removes everything of crossfade from a database in which no run is active.

use std::time::Duration;

use serde::Serialize;

use super::no_cleanup::NoCleanup;
use super::{Error, Tool};
use crate::catalog;
use crate::ledger::{Ledger, made_objects};
use crate::pg::{self, ErrorClass};

/// How long each attempt waits for a lock, so long do applications wait behind it at most. The pauses between are five times as
/// long, so all of it takes less than a minute.
const ATTEMPTS: [Duration; 7] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1500),
    Duration::from_millis(1500),
    Duration::from_millis(1500),
];

/// Statements that drop what hundreds of runs have left take no longer.
const STATEMENT: Duration = Duration::from_secs(20);

/// What removes everything of crossfade from a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cleanup {
    /// The database.
    pub database: String,
    /// How many runs the ledger has, whose logs go with it.
    pub runs: i64,
    /// Runs that have not ended, of a database of which this one is a copy.
    pub copied: Vec<String>,
    /// The statements that drop something, in order.
    pub drops: Vec<String>,
    /// What stays, as sentences.
    pub kept: Vec<String>,
}

impl Tool {
    /// Returns what [`Tool::cleanup`] would drop. Changes nothing.
    ///
    /// # Errors
    /// [`NoCleanup::Active`]; the ledger's.
    pub async fn cleanup_preview(&self) -> Result<Cleanup, Error> {
        let mut connection = self.connect().await?;
        let limits = pg::Limits { lock: ATTEMPTS[ATTEMPTS.len() - 1], statement: STATEMENT, durable: true };
        self.unless_stopped(pg::rolled_back(&mut connection, limits, async |tx| read(&self.ledger, tx).await)).await
    }

    /// Removes everything of crossfade from the database: the ledger, with the logs of all runs, and whatever runs that were cut
    /// off have left in tables. All of it in one transaction, or nothing.
    ///
    /// # Errors
    /// [`NoCleanup`]; the server's error, such as no right to drop, or that something of others depends on it.
    pub async fn cleanup(&self) -> Result<Cleanup, Error> {
        let cleanup = self.cleanup_preview().await?;
        if cleanup.drops.is_empty() {
            return Ok(cleanup);
        }
        if !self.consent {
            return Err(Error::NotCleaned { why: NoCleanup::Consent { drops: cleanup.drops } });
        }
        let mut connection = self.connect().await?;
        for lock in ATTEMPTS {
            let limits = pg::Limits { lock, statement: STATEMENT, durable: true };
            let remove = pg::transaction(&mut connection, limits, async |tx| remove(&self.ledger, tx).await);
            match self.unless_stopped(remove).await {
                Err(error) if error.class() == ErrorClass::Contention => {
                    let pause = async {
                        tokio::time::sleep(pg::jitter(lock * 5)).await;
                        Ok(())
                    };
                    self.unless_stopped(pause).await?;
                }
                other => return other,
            }
        }
        Err(Error::NotCleaned { why: NoCleanup::Locked { attempts: ATTEMPTS.len() } })
    }

    /// Returns whether runs have left objects in tables although there is no ledger: somebody has dropped it in mid-run.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn has_lost_its_ledger(&self) -> Result<bool, Error> {
        let mut connection = self.connect().await?;
        if self.ledger.version(&mut connection).await?.is_some() {
            return Ok(false);
        }
        let limits = pg::Limits { lock: ATTEMPTS[0], statement: STATEMENT, durable: true };
        let ours = pg::rolled_back(&mut connection, limits, async |tx| {
            Ok::<_, Error>(catalog::ours(tx, self.ledger.schema(), &made_objects()).await?)
        });
        Ok(self.unless_stopped(ours).await?.is_in_tables())
    }
}

async fn read(ledger: &Ledger, tx: &mut sqlx::PgConnection) -> Result<Cleanup, Error> {
    let mut cleanup = Cleanup {
        database: pg::query_scalar("SELECT pg_catalog.current_database()::text").fetch_one(&mut *tx).await?,
        ..Cleanup::default()
    };
    let has_ledger = ledger.version(tx).await?.is_some();
    if has_ledger {
        let active = ledger.log().active(tx).await?;
        if ledger.is_at_home(tx).await? {
            if !active.is_empty() {
                return Err(Error::NotCleaned { why: NoCleanup::Active { runs: active } });
            }
        } else {
            cleanup.copied = active;
        }
        cleanup.runs = ledger.log().count(tx).await?;
    }
    let ours = catalog::ours(tx, ledger.schema(), &made_objects()).await?;
    let mut kept = ours.kept(ledger.schema());
    if !cleanup.copied.is_empty() {
        let runs = cleanup.copied.join(", ");
        kept.push(format!("columns, indexes and constraints stay that {runs} had added under the names of the plan"));
    } else if !has_ledger && ours.is_in_tables() {
        let why = "without the ledger nobody can tell it from yours";
        kept.push(format!("what a run had added under the names of its plan, such as a column, stays: {why}"));
    }
    Ok(Cleanup { drops: ours.removal(ledger.schema()), kept, ..cleanup })
}

async fn remove(ledger: &Ledger, tx: &mut sqlx::PgConnection) -> Result<Cleanup, Error> {
    if ledger.version(tx).await?.is_some() {
        // No run can be registered until this ends, and whoever waits for that finds no ledger.
        ledger.log().refuse_new(tx).await?;
    }
    let cleanup = read(ledger, tx).await?;
    pg::batch(tx, &cleanup.drops.join("; ")).await?;
    Ok(cleanup)
}
