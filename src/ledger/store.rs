//! Reads and writes the ledger's tables.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use super::{Lease, LeaseError};

use crate::run::Entry;

use crate::run::IllegalEntry;

use crate::ident::{PlanName, RunId};
use crate::names::LedgerSchema;
use crate::pg;
use crate::plan::Plan;
use crate::run::{Facts, Program, State};

/// The version of the ledger's tables that this crossfade writes. A newer one is refused, never rewritten.
pub const SCHEMA_VERSION: i32 = 1;

/// What can go wrong with the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A newer crossfade has been here.
    #[error(
        "the ledger in schema {schema} has version {found}, but this crossfade supports version {SCHEMA_VERSION}. Use the newer crossfade that wrote it; nothing was changed"
    )]
    Newer {
        /// The schema.
        schema: String,
        /// Its version.
        found: i32,
    },
    /// The schema exists but is not crossfade's ledger.
    #[error("schema {schema} exists but is not a crossfade ledger; choose another with --ledger-schema")]
    NotALedger {
        /// The schema.
        schema: String,
    },
    /// There is no run of this name.
    #[error("there is no run named {name} in this database")]
    NoSuchRun {
        /// The name.
        name: String,
    },
    /// Another run works on the column.
    #[error("run {other} is working on column {column} of this table; finish it or roll it back first")]
    ColumnClaimed {
        /// The column.
        column: String,
        /// The other run's name.
        other: String,
    },
    /// The log holds something it cannot hold.
    #[error(transparent)]
    Illegal(#[from] IllegalEntry),
    /// The lease is gone.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// What is stored cannot be read.
    #[error("the ledger's {what} of run {run} cannot be read: {error}")]
    Unreadable {
        /// What.
        what: &'static str,
        /// Which run.
        run: RunId,
        /// Why.
        error: serde_json::Error,
    },
    /// The server's error.
    #[error("{}", pg::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// The ledger in one schema of the connected database.
#[derive(Debug, Clone)]
pub struct Ledger {
    schema: LedgerSchema,
}

/// A run as the ledger keeps it.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// The plan's fingerprint when it began.
    pub fingerprint: String,
    /// The plan.
    pub plan: Plan,
    /// The facts it was compiled from.
    pub facts: Facts,
    /// Its steps.
    pub program: Program,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// Whether the ledger is in the database in which the run began (not in a copy of it).
    pub same_database: bool,
}

impl Run {
    /// Returns the plan's name, which is the run's too.
    pub fn name(&self) -> &PlanName {
        &self.plan.name
    }
}

/// What registers a run.
#[derive(Debug)]
pub struct NewRun<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The file's text.
    pub plan_text: &'a str,
    /// The facts it was compiled from.
    pub facts: &'a Facts,
    /// Its steps.
    pub program: &'a Program,
}

/// A line of the log.
#[derive(Debug, Clone, serde::Serialize)]
pub struct LoggedEntry {
    /// Its number in the run.
    pub seq: i64,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// Who, from where.
    pub actor: String,
    /// The phase after it.
    pub phase: String,
    /// The state after it.
    pub state: String,
    /// What.
    pub entry: Entry,
}

impl Ledger {
    /// Returns the ledger in `schema`.
    pub fn new(schema: LedgerSchema) -> Self {
        Self { schema }
    }

    /// Returns the schema.
    pub fn schema(&self) -> &LedgerSchema {
        &self.schema
    }

    /// Returns `sql` with the schema's real name. Fixed statements are written with `crossfade.`.
    pub(crate) fn sql(&self, sql: &str) -> String {
        if self.schema == LedgerSchema::default() {
            return sql.to_owned();
        }
        let schema = crate::sql::quote_ident(self.schema.as_str());
        let named = sql.replace("crossfade.", &format!("{schema}."));
        named
            .replace("SCHEMA crossfade", &format!("SCHEMA {schema}"))
            .replace("NOT EXISTS crossfade", &format!("NOT EXISTS {schema}"))
    }

    /// Returns the version of the ledger's tables, or `None` where there is no ledger yet.
    ///
    /// # Errors
    /// [`LedgerError::NotALedger`] when the schema is somebody else's.
    pub async fn version(&self, connection: &mut PgConnection) -> Result<Option<i32>, LedgerError> {
        let schema = self.schema.as_str().to_owned();
        let exists = "SELECT (SELECT n.oid::bigint FROM pg_catalog.pg_namespace AS n WHERE n.nspname = $1), \
                      EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                      WHERE n.nspname = $1 AND c.relname = 'ledger' AND c.relkind = 'r'), \
                      EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                      WHERE n.nspname = $1)";
        let row = pg::query(exists).bind(&schema).fetch_one(&mut *connection).await?;
        let (namespace, ledger, occupied): (Option<i64>, bool, bool) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if !ledger {
            return if namespace.is_some() && occupied { Err(LedgerError::NotALedger { schema }) } else { Ok(None) };
        }
        let version = self.sql("SELECT version FROM crossfade.ledger");
        let found: i32 = pg::query(&version).fetch_one(connection).await?.try_get(0)?;
        if found > SCHEMA_VERSION { Err(LedgerError::Newer { schema, found }) } else { Ok(Some(found)) }
    }

    /// Creates the ledger where there is none.
    ///
    /// # Errors
    /// [`LedgerError::Newer`] and [`LedgerError::NotALedger`]; the server's error, such as no privilege to create.
    pub async fn create(&self, connection: &mut PgConnection) -> Result<(), LedgerError> {
        if self.version(connection).await?.is_some() {
            return Ok(());
        }
        let schema = self.sql(include_str!("schema.sql"));
        let timeouts =
            pg::Timeouts { lock: std::time::Duration::from_secs(5), statement: std::time::Duration::from_secs(10) };
        pg::begin(connection, timeouts, true).await?;
        // Two runners may come here at once; the second waits here and then finds the ledger.
        pg::batch(connection, "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('crossfade.ledger'))")
            .await?;
        let created = match self.version(connection).await {
            Ok(None) => self.create_inside(connection, &schema).await,
            other => other.map(drop),
        };
        match created {
            Ok(()) => Ok(pg::commit(connection).await?),
            Err(error) => {
                pg::rollback(connection).await;
                Err(error)
            }
        }
    }

    async fn create_inside(&self, connection: &mut PgConnection, schema: &str) -> Result<(), LedgerError> {
        // Only the right to create tables in it is needed where a schema has been prepared for us.
        let exists = "SELECT pg_catalog.to_regnamespace($1) IS NOT NULL";
        let name = crate::sql::quote_ident(self.schema.as_str());
        let prepared: bool = pg::query(exists).bind(name).fetch_one(&mut *connection).await?.try_get(0)?;
        let text = if prepared {
            schema.lines().filter(|line| !line.starts_with("CREATE SCHEMA")).collect::<Vec<_>>().join("\n")
        } else {
            schema.to_owned()
        };
        Ok(pg::batch(connection, &text).await?)
    }

    /// Registers a run and claims its columns, in one transaction. Claims of ended runs were given back when they ended.
    ///
    /// # Errors
    /// [`LedgerError::ColumnClaimed`] when another run works on one of the columns.
    pub async fn register(
        &self,
        connection: &mut PgConnection,
        new: &NewRun<'_>,
        actor: &str,
    ) -> Result<RunId, LedgerError> {
        let timeouts =
            pg::Timeouts { lock: std::time::Duration::from_secs(5), statement: std::time::Duration::from_secs(10) };
        pg::begin(connection, timeouts, true).await?;
        let registered = self.register_inside(connection, new, actor).await;
        match registered {
            Ok(id) => pg::commit(connection).await.map(|()| id).map_err(Into::into),
            Err(error) => {
                pg::rollback(connection).await;
                Err(error)
            }
        }
    }

    async fn register_inside(
        &self,
        connection: &mut PgConnection,
        new: &NewRun<'_>,
        actor: &str,
    ) -> Result<RunId, LedgerError> {
        pg::batch(connection, &self.sql("LOCK TABLE crossfade.claim IN SHARE ROW EXCLUSIVE MODE")).await?;
        self.refuse_claimed(connection, new.plan).await?;
        let insert = self.sql(
            "INSERT INTO crossfade.run (name, fingerprint, plan_text, plan, facts, program, table_oid, database_oid) \
             VALUES ($1, $2, $3, $4::jsonb, $5::jsonb, $6::jsonb, $7::bigint::oid, \
               (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())) RETURNING id",
        );
        let json = |what: &'static str, value: Result<String, serde_json::Error>| {
            value.map_err(|error| LedgerError::Unreadable { what, run: RunId(0), error })
        };
        let id: i64 = pg::query(&insert)
            .bind(new.plan.name.as_str().to_owned())
            .bind(crate::plan::fingerprint(new.plan))
            .bind(new.plan_text.to_owned())
            .bind(json("plan", serde_json::to_string(new.plan))?)
            .bind(json("facts", serde_json::to_string(new.facts))?)
            .bind(json("program", serde_json::to_string(new.program))?)
            .bind(new.facts.main().oid)
            .fetch_one(&mut *connection)
            .await?
            .try_get(0)?;
        let claim =
            self.sql("INSERT INTO crossfade.claim (table_oid, column_name, run_id) VALUES ($1::bigint::oid, $2, $3)");
        for change in &new.plan.changes {
            for column in change.claims() {
                pg::query(&claim)
                    .bind(new.facts.main().oid)
                    .bind(column.as_str().to_owned())
                    .bind(id)
                    .execute(&mut *connection)
                    .await?;
            }
        }
        let id = RunId(id);
        let state = State::new(new.program);
        self.append_inside(connection, id, new.program, &state, &[Entry::Registered], actor).await?;
        Ok(id)
    }

    /// Refuses a plan whose columns another run works on.
    ///
    /// # Errors
    /// [`LedgerError::ColumnClaimed`], naming the run.
    pub async fn refuse_claimed(&self, connection: &mut PgConnection, plan: &Plan) -> Result<(), LedgerError> {
        let claimed = self.sql(
            "SELECT run.name FROM crossfade.claim JOIN crossfade.run ON run.id = claim.run_id \
             WHERE claim.table_oid = pg_catalog.to_regclass($1)::oid AND claim.column_name = $2",
        );
        for change in &plan.changes {
            for column in change.claims() {
                let query = pg::query(&claimed).bind(plan.table.sql()).bind(column.as_str().to_owned());
                if let Some(row) = query.fetch_optional(&mut *connection).await? {
                    return Err(LedgerError::ColumnClaimed { column: column.to_string(), other: row.try_get(0)? });
                }
            }
        }
        Ok(())
    }

    /// Returns the latest run of this name.
    ///
    /// # Errors
    /// [`LedgerError::NoSuchRun`]; [`LedgerError::Unreadable`] when what is stored is damaged.
    pub async fn find(&self, connection: &mut PgConnection, name: &str) -> Result<Run, LedgerError> {
        let found = self.find_opt(connection, name).await?;
        found.ok_or_else(|| LedgerError::NoSuchRun { name: name.to_owned() })
    }

    /// Returns the latest run of this name, or `None` when there is none, or no ledger.
    ///
    /// # Errors
    /// [`LedgerError::Unreadable`] when what is stored is damaged.
    pub async fn find_opt(&self, connection: &mut PgConnection, name: &str) -> Result<Option<Run>, LedgerError> {
        if self.version(connection).await?.is_none() {
            return Ok(None);
        }
        let select = self.sql(
            "SELECT id, fingerprint, plan::text, facts::text, program::text, created_at, \
             database_oid = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()) \
             FROM crossfade.run WHERE name = $1 ORDER BY id DESC LIMIT 1",
        );
        let Some(row) = pg::query(&select).bind(name.to_owned()).fetch_optional(connection).await? else {
            return Ok(None);
        };
        let id = RunId(row.try_get(0)?);
        let (plan, facts, program): (String, String, String) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
        let unreadable = |what| move |error| LedgerError::Unreadable { what, run: id, error };
        Ok(Some(Run {
            id,
            fingerprint: row.try_get(1)?,
            plan: serde_json::from_str(&plan).map_err(unreadable("plan"))?,
            facts: serde_json::from_str(&facts).map_err(unreadable("facts"))?,
            program: serde_json::from_str(&program).map_err(unreadable("program"))?,
            created_at: row.try_get(5)?,
            same_database: row.try_get(6)?,
        }))
    }

    /// Returns the names of all runs, the latest of each name, newest first; empty where there is no ledger.
    ///
    /// # Errors
    /// The server's error.
    pub async fn names(&self, connection: &mut PgConnection) -> Result<Vec<String>, LedgerError> {
        if self.version(connection).await?.is_none() {
            return Ok(vec![]);
        }
        let select = self.sql("SELECT name FROM crossfade.run GROUP BY name ORDER BY pg_catalog.max(id) DESC");
        let rows = pg::query(&select).fetch_all(connection).await?;
        rows.iter().map(|row| row.try_get(0).map_err(Into::into)).collect()
    }

    /// Returns the log of a run, oldest first.
    ///
    /// # Errors
    /// [`LedgerError::Unreadable`] when an entry is of a kind this crossfade does not know.
    pub async fn log(&self, connection: &mut PgConnection, run: RunId) -> Result<Vec<LoggedEntry>, LedgerError> {
        let select = self.sql(
            "SELECT seq, at, actor, phase, state, entry::text FROM crossfade.event WHERE run_id = $1 ORDER BY seq",
        );
        let rows = pg::query(&select).bind(run.0).fetch_all(connection).await?;
        let entry = |row: &sqlx::postgres::PgRow| {
            let text: String = row.try_get(5)?;
            Ok(LoggedEntry {
                seq: row.try_get(0)?,
                at: row.try_get(1)?,
                actor: row.try_get(2)?,
                phase: row.try_get(3)?,
                state: row.try_get(4)?,
                entry: serde_json::from_str(&text).map_err(|error| LedgerError::Unreadable {
                    what: "log",
                    run,
                    error,
                })?,
            })
        };
        rows.iter().map(entry).collect()
    }

    /// Returns the state that the log of a run adds up to.
    ///
    /// # Errors
    /// [`LedgerError::Illegal`] when the log holds something it cannot hold.
    pub async fn state(&self, connection: &mut PgConnection, run: &Run) -> Result<State, LedgerError> {
        let log = self.log(connection, run.id).await?;
        Ok(State::replay(&run.program, log.iter().map(|line| &line.entry))?)
    }

    /// Appends entries inside the open transaction, after the state that the log has now: the run's last line is locked
    /// by its number, so two appenders cannot both be next. Returns the new state.
    ///
    /// # Errors
    /// [`LedgerError::Illegal`] when an entry cannot follow.
    pub async fn append(
        &self,
        connection: &mut PgConnection,
        run: &Run,
        entries: &[Entry],
        actor: &str,
    ) -> Result<State, LedgerError> {
        // Serializes appenders; FOR NO KEY UPDATE does not disturb the foreign keys of other tables.
        let lock = self.sql("SELECT 1 FROM crossfade.run WHERE id = $1 FOR NO KEY UPDATE");
        pg::query(&lock).bind(run.id.0).execute(&mut *connection).await?;
        let state = self.state(connection, run).await?;
        self.append_inside(connection, run.id, &run.program, &state, entries, actor).await
    }

    async fn append_inside(
        &self,
        connection: &mut PgConnection,
        run: RunId,
        program: &Program,
        state: &State,
        entries: &[Entry],
        actor: &str,
    ) -> Result<State, LedgerError> {
        let insert = self.sql(
            "INSERT INTO crossfade.event (run_id, seq, actor, entry, phase, state) VALUES ($1, $2, $3, $4::jsonb, $5, $6)",
        );
        let was_filling = state.is_filling(program);
        let mut state = state.clone();
        for entry in entries {
            state = state.next(program, entry)?;
            let json =
                serde_json::to_string(entry).map_err(|error| LedgerError::Unreadable { what: "log", run, error })?;
            pg::query(&insert)
                .bind(run.0)
                .bind(state.seq)
                .bind(actor.to_owned())
                .bind(json)
                .bind(state.phase.as_str())
                .bind(state.standing().as_str())
                .execute(&mut *connection)
                .await?;
        }
        if was_filling && !state.is_filling(program) {
            self.revoke_joined(connection, run).await?;
        }
        if state.is_over() {
            let free = self.sql("DELETE FROM crossfade.claim WHERE run_id = $1");
            pg::query(&free).bind(run.0).execute(connection).await?;
        }
        Ok(state)
    }

    /// Appends entries in a transaction of their own. With a lease, proves it first.
    ///
    /// # Errors
    /// As [`Ledger::append`]; [`LeaseError::Lost`] when the lease is gone.
    pub async fn record(
        &self,
        connection: &mut PgConnection,
        run: &Run,
        lease: Option<Lease>,
        entries: &[Entry],
        actor: &str,
    ) -> Result<State, LedgerError> {
        // An entry may revoke the leases of processes whose last batch is open; one that was stopped in the middle of it
        // loses its transaction before that.
        let lock = pg::IDLE_IN_TRANSACTION + std::time::Duration::from_secs(2);
        let timeouts = pg::Timeouts { lock, statement: lock + std::time::Duration::from_secs(5) };
        pg::begin(connection, timeouts, true).await?;
        let appended = async {
            if let Some(lease) = lease {
                self.fence(connection, lease).await?;
            }
            self.append(connection, run, entries, actor).await
        }
        .await;
        match appended {
            Ok(state) => pg::commit(connection).await.map(|()| state).map_err(Into::into),
            Err(error) => {
                pg::rollback(connection).await;
                Err(error)
            }
        }
    }

    /// Returns the live settings of a run.
    ///
    /// # Errors
    /// The server's error.
    pub async fn settings(
        &self,
        connection: &mut PgConnection,
        run: RunId,
    ) -> Result<Vec<(String, String)>, LedgerError> {
        let select = self.sql("SELECT key, value FROM crossfade.setting WHERE run_id = $1 ORDER BY key");
        let rows = pg::query(&select).bind(run.0).fetch_all(connection).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Changes live settings and appends what the log says of it, in one transaction.
    ///
    /// # Errors
    /// As [`Ledger::append`].
    pub async fn record_settings(
        &self,
        connection: &mut PgConnection,
        run: &Run,
        entries: &[Entry],
        settings: &[(String, String)],
        actor: &str,
    ) -> Result<(), LedgerError> {
        let timeouts =
            pg::Timeouts { lock: std::time::Duration::from_secs(5), statement: std::time::Duration::from_secs(10) };
        pg::begin(connection, timeouts, true).await?;
        let done = async {
            self.append(connection, run, entries, actor).await?;
            let upsert = self.sql(
                "INSERT INTO crossfade.setting (run_id, key, value) VALUES ($1, $2, $3) \
                 ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value",
            );
            for (key, value) in settings {
                let query = pg::query(&upsert).bind(run.id.0).bind(key.clone()).bind(value.clone());
                query.execute(&mut *connection).await?;
            }
            Ok(())
        }
        .await;
        match done {
            Ok(()) => Ok(pg::commit(connection).await?),
            Err(error) => {
                pg::rollback(connection).await;
                Err(error)
            }
        }
    }

    /// Returns who leads the run with a live lease, and for how many seconds yet.
    ///
    /// # Errors
    /// The server's error.
    pub async fn holder(
        &self,
        connection: &mut PgConnection,
        run: RunId,
    ) -> Result<Option<(String, f64)>, LedgerError> {
        let select = self.sql(
            "SELECT holder, EXTRACT(EPOCH FROM expires - pg_catalog.clock_timestamp())::float8 FROM crossfade.lease \
             WHERE run_id = $1 AND leads AND expires > pg_catalog.clock_timestamp()",
        );
        let row = pg::query(&select).bind(run.0).fetch_optional(connection).await?;
        row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
    }
}
