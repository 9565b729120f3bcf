//! The runs and their logs.

mod approvals;
mod list;
mod record;
mod runs;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::objects::count_objects;
use super::outbox::Teller;
use super::{BOOKKEEPING, Lease, Ledger, LedgerError};
use crate::ident::RunId;
use crate::pg;
use crate::phase::Phase;
use crate::run::{Actor, Document, Entry, FORMAT, Head, Moment, Program, State};
use crate::sql::quote_literal;

pub use list::{Listed, ListedRun};
pub use record::{Record, RecordedEntry};
pub(super) use runs::Bodies;
#[cfg(feature = "cli")]
pub(crate) use runs::called;
pub use runs::{NewRun, Run};

/// The runs of a ledger, and the append-only log of each.
#[derive(Debug, Clone, Copy)]
pub struct Log<'l> {
    pub(super) ledger: &'l Ledger,
}

/// A line of the log.
#[derive(Debug, Clone, serde::Serialize)]
pub struct LoggedEntry {
    /// Its number in the run.
    pub seq: i64,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// Who, from where.
    pub actor: Actor,
    /// The phase after it.
    pub phase: String,
    /// The state after it.
    pub state: String,
    /// What.
    pub entry: Entry,
    /// Its hash, which stands for the log up to here.
    pub head: Head,
}

impl Log<'_> {
    /// Returns the log of a run, oldest first.
    ///
    /// # Errors
    /// [`LedgerError::Format`] when an entry is in a format of another version, [`LedgerError::Unreadable`] when it is
    /// damaged.
    pub async fn entries(self, connection: &mut PgConnection, run: RunId) -> Result<Vec<LoggedEntry>, LedgerError> {
        let lines = self.lines(connection, &[run]).await?.all(run);
        lines.into_iter().map(|line| line?.read(run)).collect()
    }

    /// Returns the phase that a run is in, by the latest entry of its log alone; `None` where there is none.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn phase(self, connection: &mut PgConnection, run: RunId) -> Result<Option<Phase>, LedgerError> {
        let select = self.ledger.sql("SELECT phase FROM crossfade.event WHERE run_id = $1 ORDER BY seq DESC LIMIT 1");
        let phase: Option<String> = pg::query_scalar(&select).bind(run.0).fetch_optional(connection).await?;
        Ok(phase.and_then(|phase| phase.parse().ok()))
    }

    /// Returns the transaction that wrote the last of the entries that `is` names; `None` where there is none.
    ///
    /// # Errors
    /// As [`Log::entries`].
    pub(crate) async fn transaction_of(
        self,
        connection: &mut PgConnection,
        run: RunId,
        is: impl Fn(&Entry) -> bool,
    ) -> Result<Option<i64>, LedgerError> {
        let log = self.entries(connection, run).await?;
        let Some(line) = log.iter().rfind(|line| is(&line.entry)) else { return Ok(None) };
        let select = "SELECT transaction::text::bigint FROM crossfade.event WHERE run_id = $1 AND seq = $2";
        let select = pg::query_scalar(&self.ledger.sql(select)).bind(run.0).bind(line.seq).fetch_one(connection);
        Ok(Some(select.await?))
    }

    /// Returns the state that the log of a run adds up to.
    ///
    /// # Errors
    /// [`LedgerError::Illegal`] when the log holds something it cannot hold.
    pub async fn state(self, connection: &mut PgConnection, run: &Run) -> Result<State, LedgerError> {
        let log = self.entries(connection, run.id).await?;
        Ok(run.replay(&log)?)
    }

    /// Appends entries inside the open transaction, after the state that the log has now. Returns the new state.
    ///
    /// # Errors
    /// [`LedgerError::Illegal`] when an entry cannot follow.
    pub async fn append(
        self,
        connection: &mut PgConnection,
        run: &Run,
        entries: &[Entry],
        actor: &Actor,
    ) -> Result<State, LedgerError> {
        self.lock(connection, run.id).await?;
        let state = self.state(connection, run).await?;
        self.append_to(state, connection, (run.id, run.teller()), &run.program, entries, actor).await
    }

    /// Lets nobody else append until the open transaction ends: two appenders cannot both be next.
    pub(super) async fn lock(self, connection: &mut PgConnection, run: RunId) -> Result<(), LedgerError> {
        // FOR NO KEY UPDATE does not disturb the foreign keys of other tables.
        let lock = self.ledger.sql("SELECT 1 FROM crossfade.run WHERE id = $1 FOR NO KEY UPDATE");
        pg::query(&lock).bind(run.0).execute(connection).await?;
        Ok(())
    }

    async fn append_to(
        self,
        state: State,
        connection: &mut PgConnection,
        run: (RunId, Teller<'_>),
        program: &Program,
        entries: &[Entry],
        actor: &Actor,
    ) -> Result<State, LedgerError> {
        let (state, statements) = self.statements(state, run, program, entries, actor)?;
        if !statements.is_empty() {
            pg::batch(connection, &statements.join("; ")).await?;
        }
        Ok(state)
    }

    /// Prepares to append entries inside the open transaction, whose next message they are to be a part of: nobody else can
    /// append until it ends. Returns the statements that append them.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub(crate) async fn appending(
        self,
        connection: &mut PgConnection,
        run: &Run,
        entries: &[Entry],
        actor: &Actor,
    ) -> Result<Vec<String>, LedgerError> {
        if entries.is_empty() {
            return Ok(vec![]);
        }
        self.lock(connection, run.id).await?;
        let state = self.state(connection, run).await?;
        Ok(self.statements(state, (run.id, run.teller()), &run.program, entries, actor)?.1)
    }

    /// Returns the state after `entries`, and the statements that append them with what they announce.
    fn statements<'p>(
        self,
        mut state: State,
        (run, teller): (RunId, Teller<'_>),
        mut program: &'p Program,
        entries: &'p [Entry],
        actor: &Actor,
    ) -> Result<(State, Vec<String>), LedgerError> {
        let insert =
            self.ledger.sql("INSERT INTO crossfade.event (run_id, seq, os_user, host, pid, version, format, entry, phase, state) VALUES ");
        let was_filling = state.is_filling(program);
        let mut statements = Vec::new();
        for entry in entries {
            let before = state;
            state = before.next(program, entry)?;
            let announced = self.ledger.outbox().statements((run, teller), program, &before, entry, &state)?;
            program = entry.program().unwrap_or(program);
            let json = crate::run::write(entry).map_err(|error| LedgerError::Unreadable { what: "log", run, error })?;
            statements.push(format!(
                "{insert}({run}, {}, {}, {}, {}, {}, {FORMAT}, {}::jsonb, {}, {})",
                state.seq,
                quote_literal(&actor.user),
                quote_literal(&actor.host),
                actor.pid,
                quote_literal(&actor.version),
                quote_literal(&json),
                quote_literal(state.phase.as_str()),
                quote_literal(state.standing().as_str()),
            ));
            statements.extend(announced);
        }
        if was_filling && !state.is_filling(program) {
            statements.push(self.ledger.leases().revoke_joined(run));
        }
        if state.is_over() {
            statements.push(self.ledger.sql(&format!("DELETE FROM crossfade.claim WHERE run_id = {run}")));
            statements.push(count_objects(self.ledger, run, Moment::After));
        }
        Ok((state, statements))
    }

    /// Appends entries in a transaction of their own. With a lease, proves it first.
    ///
    /// # Errors
    /// As [`Log::append`]; [`LeaseError::Lost`](super::LeaseError::Lost) when the lease is gone.
    pub async fn record(
        self,
        connection: &mut PgConnection,
        run: &Run,
        lease: Option<Lease>,
        entries: &[Entry],
        actor: &Actor,
    ) -> Result<State, LedgerError> {
        // An entry may revoke the leases of processes whose last batch is open; one that was stopped in the middle of it
        // loses its transaction before that.
        let lock = pg::IDLE_IN_TRANSACTION + Duration::from_secs(2);
        let limits = pg::Limits { lock, statement: lock + Duration::from_secs(5), durable: true };
        pg::transaction(connection, limits, async |tx| {
            if let Some(lease) = lease {
                self.ledger.leases().fence(tx, lease).await?;
            }
            self.append(tx, run, entries, actor).await
        })
        .await
    }

    /// Changes live settings of a run and appends what the log says of it, in one transaction.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub async fn tune(
        self,
        connection: &mut PgConnection,
        run: &Run,
        entries: &[Entry],
        settings: &[(String, String)],
        actor: &Actor,
    ) -> Result<(), LedgerError> {
        pg::transaction(connection, BOOKKEEPING, async |tx| {
            self.append(tx, run, entries, actor).await?;
            let upsert = self.ledger.sql(
                "INSERT INTO crossfade.setting (run_id, key, value) VALUES ($1, $2, $3) \
                 ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value",
            );
            for (key, value) in settings {
                pg::query(&upsert).bind(run.id.0).bind(key).bind(value).execute(&mut *tx).await?;
            }
            Ok(())
        })
        .await
    }
}

/// Returns what a run has stored.
fn read<T: Document>(what: &'static str, run: RunId, text: &str) -> Result<T, LedgerError> {
    crate::run::read(text).map_err(|error| LedgerError::Unreadable { what, run, error })
}
