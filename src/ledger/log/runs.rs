//! Registering runs and finding them again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Log, LoggedEntry, RecordedEntry, read};
use crate::ident::{PlanName, RunId};
use crate::ledger::objects::count_objects;
use crate::ledger::outbox::Teller;
use crate::ledger::{BOOKKEEPING, ByRun, LedgerError};
use crate::pg;
use crate::plan::{Change, Claim, Contract, Plan};
use crate::run::{
    Actor, Compiled, Document, Entry, Estimates, FORMAT, Facts, IllegalEntry, Moment, Program, Relation, State,
};

/// The oid of no table, for claims that are on none.
const NO_TABLE: i64 = 0;

/// A run as the ledger keeps it.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// What it is called on the command line: the name of its plan, with its number behind an @ if there is a later run of
    /// that plan.
    pub called: String,
    /// Its number among the runs of its plan.
    pub number: i32,
    /// The plan's fingerprint when it began.
    pub fingerprint: String,
    /// The text of the plan's file when it began.
    pub plan_text: String,
    /// The plan, with all its settings as they were then.
    pub plan: Plan,
    /// The facts that its program was compiled from.
    pub facts: Facts,
    /// Its steps, as they are now.
    pub program: Program,
    /// Its steps as they were when it began: the log says how they changed.
    original: Program,
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

    /// Whether `plan` says what the run's plan said. The text counts as well as the fingerprint: where this version has
    /// other defaults than the one that registered the run, the same file has another fingerprint now.
    pub fn is_of(&self, plan: &Plan) -> bool {
        let fingerprint = crate::run::fingerprint(plan);
        let read_again = || crate::plan::parse("plan", &self.plan_text).ok();
        self.fingerprint == fingerprint
            || read_again().is_some_and(|plan| crate::run::fingerprint(&plan) == fingerprint)
    }

    /// Returns the state that `log`, which is the whole log of the run, adds up to.
    ///
    /// # Errors
    /// [`IllegalEntry`] when the log holds something it cannot hold.
    pub fn replay(&self, log: &[LoggedEntry]) -> Result<State, IllegalEntry> {
        State::replay(&self.original, log.iter().map(|line| &line.entry))
    }

    /// Returns how long it waits before the old column goes: what its plan says, or what it was tuned to by these live settings.
    pub(in crate::ledger) fn contract(&self, live: &[(String, String)]) -> Contract {
        let mut settings = self.plan.settings();
        for (key, value) in live {
            // What is stored besides them (a pause, say) is nobody's setting.
            let _ = settings.tune(key, value);
        }
        settings.contract
    }

    /// Returns the program that it began with: the log says how that changed.
    pub(crate) fn original(&self) -> &Program {
        &self.original
    }

    /// Returns whom it tells what happens.
    pub(in crate::ledger) fn teller(&self) -> Teller<'_> {
        Teller { called: &self.called, plan: &self.plan }
    }

    /// Goes on with what it was compiled to anew.
    pub(crate) fn replan(&mut self, compiled: Compiled) {
        Compiled { facts: self.facts, program: self.program } = compiled;
    }
}

/// Returns the plan's name and the run's number of what a run is called on the command line: `vehicle-status` is the latest run of that plan, `vehicle-status@1` its first.
pub(crate) fn called(text: &str) -> (&str, Option<i32>) {
    let numbered = text.rsplit_once('@').and_then(|(name, number)| Some((name, Some(number.parse().ok()?))));
    numbered.unwrap_or((text, None))
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

pg::columns!(
    /// What a run is known by.
    struct Head {
        called: String,
        number: i32,
        format: i32,
        fingerprint: String,
        created_at: DateTime<Utc>,
        version: String,
    }
);

pg::columns!(
    struct Stored {
        plan_text: String,
        plan: String,
        facts: String,
        program: String,
    }
);

/// What is stored of a run when it is registered, and never changes.
#[derive(Debug)]
pub(in crate::ledger) struct Body {
    plan_text: String,
    plan: Plan,
    facts: Facts,
    program: Program,
}

/// What tells two runs with one number apart, of which one was in another ledger, and two versions of one row.
type BodyKey = (DateTime<Utc>, String);

/// The runs that this process has read.
pub(in crate::ledger) type Bodies = Arc<Mutex<BTreeMap<RunId, (BodyKey, Arc<Body>)>>>;

/// So many are kept.
const MOST_BODIES: usize = 200;

impl Stored {
    fn read(self, id: RunId) -> Result<Body, LedgerError> {
        Ok(Body {
            plan_text: self.plan_text,
            plan: read("plan", id, &self.plan)?,
            facts: read("facts", id, &self.facts)?,
            program: read("program", id, &self.program)?,
        })
    }
}

impl Head {
    fn key(&self) -> BodyKey {
        (self.created_at, self.version.clone())
    }

    fn with(
        self,
        id: RunId,
        body: &Body,
        same_database: bool,
        lines: Vec<Result<RecordedEntry, LedgerError>>,
    ) -> Result<(Run, Vec<LoggedEntry>), LedgerError> {
        let mut run = Run {
            id,
            called: self.called,
            number: self.number,
            fingerprint: self.fingerprint,
            plan_text: body.plan_text.clone(),
            plan: body.plan.clone(),
            facts: body.facts.clone(),
            program: body.program.clone(),
            original: body.program.clone(),
            created_at: self.created_at,
            same_database,
        };
        let log = lines.into_iter().map(|line| line?.read(id)).collect::<Result<Vec<_>, _>>()?;
        for line in &log {
            if let Entry::Replanned { compiled, .. } = &line.entry {
                run.replan((**compiled).clone());
            }
        }
        Ok((run, log))
    }
}

pg::columns!(
    struct Predicted {
        estimates: String,
    }
);

pg::columns!(
    struct Ends {
        done: i64,
        rolled_back: i64,
    }
);

impl Log<'_> {
    /// Registers these runs and claims their columns, all or none of them, in one transaction. Claims of ended runs were given back when they
    /// ended. Returns their numbers, in the same order.
    ///
    /// # Errors
    /// [`LedgerError::ColumnClaimed`] when another run works on one of the columns; [`LedgerError::Active`] when a run of
    /// one of these names has not ended.
    pub async fn register(
        self,
        connection: &mut PgConnection,
        all: &[NewRun<'_>],
        actor: &Actor,
    ) -> Result<Vec<RunId>, LedgerError> {
        pg::transaction(connection, BOOKKEEPING, async |tx| {
            pg::batch(tx, &self.ledger.sql("LOCK TABLE crossfade.claim IN SHARE ROW EXCLUSIVE MODE")).await?;
            let mut runs = Vec::new();
            for new in all {
                runs.push(self.register_one(tx, new, actor).await?);
            }
            Ok(runs)
        })
        .await
    }

    async fn register_one(self, tx: &mut PgConnection, new: &NewRun<'_>, actor: &Actor) -> Result<RunId, LedgerError> {
        self.refuse_claimed(tx, new.plan).await?;
        let run = self.insert(tx, new).await?;
        let claim = self
            .ledger
            .sql("INSERT INTO crossfade.claim (table_oid, column_name, run_id) VALUES ($1::bigint::oid, $2, $3)");
        for column in claimed(new.plan).into_keys() {
            let query = pg::query(&claim).bind(new.facts.main().oid).bind(column).bind(run.0);
            query.execute(&mut *tx).await?;
        }
        // An active run has its name to itself.
        pg::query(&claim).bind(NO_TABLE).bind(new.plan.name.as_str()).bind(run.0).execute(&mut *tx).await?;
        let teller = Teller { called: new.plan.name.as_str(), plan: new.plan };
        let state = State::new(new.program);
        self.append_to(state, tx, (run, teller), new.program, &[Entry::Registered], actor).await?;
        Ok(run)
    }

    async fn insert(self, tx: &mut PgConnection, new: &NewRun<'_>) -> Result<RunId, LedgerError> {
        let insert = self.ledger.sql(
            "INSERT INTO crossfade.run (name, number, format, fingerprint, plan_text, plan, facts, program) \
             VALUES ($1, 1 + COALESCE((SELECT pg_catalog.max(r.number) FROM crossfade.run AS r WHERE r.name = $1), 0), \
               $2, $3, $4, $5::jsonb, $6::jsonb, $7::jsonb) RETURNING id",
        );
        let run = RunId(0);
        let id = pg::query_scalar(&insert)
            .bind(new.plan.name.as_str())
            .bind(FORMAT)
            .bind(crate::run::fingerprint(new.plan))
            .bind(new.plan_text)
            .bind(written("plan", run, new.plan)?)
            .bind(written("facts", run, new.facts)?)
            .bind(written("program", run, new.program)?)
            .fetch_one(&mut *tx)
            .await?;
        let insert = self.ledger.sql(
            "INSERT INTO crossfade.relation (run_id, relation, table_oid, schema_name, table_name) \
             VALUES ($1, $2::integer::smallint, $3::bigint::oid, $4, $5)",
        );
        for (relation, number) in new.program.relations.iter().zip(0_i32..) {
            let Relation { table, oid, partitioned: _ } = relation;
            let query = pg::query(&insert).bind(id).bind(number).bind(oid).bind(&table.schema).bind(&table.name);
            query.execute(&mut *tx).await?;
        }
        pg::batch(tx, &count_objects(self.ledger, RunId(id), Moment::Before)).await?;
        Ok(RunId(id))
    }

    /// Refuses a plan whose columns, indexes or constraints another run works on, or that a run is active of.
    ///
    /// # Errors
    /// [`LedgerError::ColumnClaimed`], naming the run; [`LedgerError::Active`].
    pub async fn refuse_claimed(self, connection: &mut PgConnection, plan: &Plan) -> Result<(), LedgerError> {
        let active =
            self.ledger.sql("SELECT 1 FROM crossfade.claim WHERE table_oid = $1::bigint::oid AND column_name = $2");
        let active =
            pg::query(&active).bind(NO_TABLE).bind(plan.name.as_str()).fetch_optional(&mut *connection).await?;
        if active.is_some() {
            return Err(LedgerError::Active { name: plan.name.to_string() });
        }
        let select = self.ledger.sql(
            "SELECT run.name FROM crossfade.claim JOIN crossfade.run ON run.id = claim.run_id \
             WHERE claim.table_oid = pg_catalog.to_regclass($1)::oid AND claim.column_name = $2",
        );
        for (column, claim) in claimed(plan) {
            let query = pg::query_scalar(&select).bind(plan.table.sql()).bind(column);
            if let Some(other) = query.fetch_optional(&mut *connection).await? {
                return Err(LedgerError::ColumnClaimed { what: claim.to_string(), other });
            }
        }
        Ok(())
    }

    /// Returns the latest run of this name, or the one that `name@number` names.
    ///
    /// # Errors
    /// [`LedgerError::NoSuchRun`]; [`LedgerError::Format`] when another version stored it; [`LedgerError::Unreadable`] when what is stored is damaged.
    pub async fn find(self, connection: &mut PgConnection, name: &str) -> Result<Run, LedgerError> {
        match self.find_opt(connection, name).await? {
            Some(run) => Ok(run),
            None => Err(self.no_such_run(connection, name).await?),
        }
    }

    /// Returns that there is no run of this name, and whether there is a ledger at all.
    async fn no_such_run(self, connection: &mut PgConnection, name: &str) -> Result<LedgerError, LedgerError> {
        let missing = self.ledger.version(connection).await?.is_none();
        let missing = missing.then(|| self.ledger.schema().as_str().to_owned());
        Ok(LedgerError::NoSuchRun { name: name.to_owned(), missing })
    }

    /// Returns the latest run of this name, or the one that `name@number` names; `None` when there is none, or no ledger.
    ///
    /// # Errors
    /// [`LedgerError::Format`] when another version stored it; [`LedgerError::Unreadable`] when what is stored is damaged.
    pub async fn find_opt(self, connection: &mut PgConnection, name: &str) -> Result<Option<Run>, LedgerError> {
        if self.ledger.version(connection).await?.is_none() {
            return Ok(None);
        }
        let select = self.ledger.sql(
            "SELECT id FROM crossfade.run WHERE name = $1 AND ($2::integer IS NULL OR number = $2) ORDER BY id DESC LIMIT 1",
        );
        let (name, number) = called(name);
        let id: Option<i64> =
            pg::query_scalar(&select).bind(name).bind(number).fetch_optional(&mut *connection).await?;
        let Some(id) = id else { return Ok(None) };
        let found = self.read_all(connection, &[RunId(id)]).await?.pop();
        found.map(|(_, read)| read.map(|(run, _)| run)).transpose()
    }

    /// Returns these runs, each with what it is called and its log, in the given order, or why it cannot be read; a run that is gone is left out. They
    /// are of a ledger that this connection has found to be one that may be trusted ([`Ledger::version`](super::Ledger::version)).
    ///
    /// # Errors
    /// The server's error; of a run by itself, as [`Log::find_opt`].
    pub(crate) async fn read_all(
        self,
        connection: &mut PgConnection,
        runs: &[RunId],
    ) -> Result<Vec<(String, Result<(Run, Vec<LoggedEntry>), LedgerError>)>, LedgerError> {
        let select = "SELECT id AS run_id, name || CASE WHEN EXISTS (SELECT FROM crossfade.run AS later WHERE later.name = run.name AND later.id > run.id) \
               THEN '@' || number ELSE '' END AS called, number, format, fingerprint, created_at, xmin::text AS version FROM crossfade.run WHERE id = ANY ($1)";
        let mut heads: ByRun<Head> = self.ledger.by_run(connection, select, runs).await?;
        let heads: Vec<_> = runs.iter().filter_map(|id| Some((*id, heads.one(*id)?))).collect();
        let mut bodies = self.bodies(connection, &heads).await?;
        let same_database = self.ledger.is_at_home(connection).await?;
        let mut lines = self.lines(connection, runs).await?;
        let read = |(id, head): (RunId, Head)| {
            let called = head.called.clone();
            let body = bodies.remove(&id)?;
            Some((called, body.and_then(|body| head.with(id, &body, same_database, lines.all(id)))))
        };
        Ok(heads.into_iter().filter_map(read).collect())
    }

    /// Returns what is stored of these runs and never changes. What this process has read once it does not read again: to write a program of
    /// 60 kB as text takes the server more than a millisecond.
    async fn bodies(
        self,
        connection: &mut PgConnection,
        heads: &[(RunId, Head)],
    ) -> Result<BTreeMap<RunId, Result<Arc<Body>, LedgerError>>, LedgerError> {
        let mut found = BTreeMap::new();
        {
            let known = self.ledger.bodies.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, head) in heads {
                if let Some((key, body)) = known.get(id)
                    && *key == head.key()
                {
                    found.insert(*id, Ok(Arc::clone(body)));
                }
            }
        }
        let new: Vec<RunId> = heads.iter().map(|(id, _)| *id).filter(|id| !found.contains_key(id)).collect();
        if new.is_empty() {
            return Ok(found);
        }
        let select = "SELECT id AS run_id, plan_text, plan::text AS plan, facts::text AS facts, program::text AS program \
             FROM crossfade.run WHERE id = ANY ($1)";
        let mut stored: ByRun<Stored> = self.ledger.by_run(connection, select, &new).await?;
        for (id, head) in heads {
            let Some(stored) = stored.one(*id) else { continue };
            let body = LedgerError::unless_readable("plan", *id, head.format).and_then(|()| stored.read(*id));
            found.insert(*id, body.map(Arc::new));
        }
        let mut known = self.ledger.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + new.len() > MOST_BODIES {
            known.clear();
        }
        for (id, head) in heads {
            if let Some(Ok(body)) = found.get(id) {
                known.insert(*id, (head.key(), Arc::clone(body)));
            }
        }
        drop(known);
        Ok(found)
    }

    /// Returns the names of all runs, the latest of each name, newest first, without those that are parts of others; empty where there is no
    /// ledger.
    ///
    /// # Errors
    /// The server's error.
    pub async fn names(self, connection: &mut PgConnection) -> Result<Vec<String>, LedgerError> {
        if self.ledger.version(connection).await?.is_none() {
            return Ok(vec![]);
        }
        let select = self.ledger.sql(
            "SELECT r.name FROM (SELECT DISTINCT ON (name) name, id, plan FROM crossfade.run ORDER BY name, id DESC) AS r \
             WHERE r.plan OPERATOR(pg_catalog.->>) 'part_of' IS NULL ORDER BY r.id DESC",
        );
        Ok(pg::query_scalar(&select).fetch_all(connection).await?)
    }

    /// Returns the latest run of each name, newest first; empty where there is no ledger.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn latest(self, connection: &mut PgConnection) -> Result<Vec<RunId>, LedgerError> {
        if self.ledger.version(connection).await?.is_none() {
            return Ok(vec![]);
        }
        let select = self.ledger.sql("SELECT pg_catalog.max(id) FROM crossfade.run GROUP BY name ORDER BY 1 DESC");
        let ids: Vec<i64> = pg::query_scalar(&select).fetch_all(connection).await?;
        Ok(ids.into_iter().map(RunId).collect())
    }

    /// Returns the runs to be watched: of each name the latest, unless it ended more than `days` days ago, newest first; empty where there
    /// is no ledger.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn watched(self, connection: &mut PgConnection, days: i32) -> Result<Vec<RunId>, LedgerError> {
        if self.ledger.version(connection).await?.is_none() {
            return Ok(vec![]);
        }
        let select = self.ledger.sql(
            "SELECT r.id FROM (SELECT DISTINCT ON (name) id, name FROM crossfade.run ORDER BY name, id DESC) AS r \
             JOIN LATERAL (SELECT e.state, e.at FROM crossfade.event AS e WHERE e.run_id = r.id ORDER BY e.seq DESC LIMIT 1) AS e ON true \
             WHERE e.state NOT IN ('done', 'rolled_back') OR e.at > pg_catalog.clock_timestamp() - pg_catalog.make_interval(days => $1) \
             ORDER BY r.id DESC",
        );
        let ids: Vec<i64> = pg::query_scalar(&select).bind(days).fetch_all(connection).await?;
        Ok(ids.into_iter().map(RunId).collect())
    }

    /// Returns how many runs are done and how many were rolled back, ever.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn ended(self, connection: &mut PgConnection) -> Result<(i64, i64), LedgerError> {
        if self.ledger.version(connection).await?.is_none() {
            return Ok((0, 0));
        }
        let select = self.ledger.sql(
            "SELECT pg_catalog.count(*) FILTER (WHERE e.state = 'done') AS done, \
               pg_catalog.count(*) FILTER (WHERE e.state = 'rolled_back') AS rolled_back FROM crossfade.run AS r \
             JOIN LATERAL (SELECT e.state FROM crossfade.event AS e WHERE e.run_id = r.id ORDER BY e.seq DESC LIMIT 1) AS e ON true",
        );
        let Ends { done, rolled_back } = pg::query_as(&select).fetch_one(connection).await?;
        Ok((done, rolled_back))
    }

    /// Returns all runs of this name, oldest first, or the one that `name@number` names. What they are is not looked at: a
    /// run that cannot be read any more has a history.
    ///
    /// # Errors
    /// [`LedgerError::NoSuchRun`].
    pub(crate) async fn runs_called(
        self,
        connection: &mut PgConnection,
        text: &str,
    ) -> Result<Vec<RunId>, LedgerError> {
        if self.ledger.version(connection).await?.is_none() {
            return Err(self.no_such_run(connection, text).await?);
        }
        let (name, number) = called(text);
        let select = self
            .ledger
            .sql("SELECT id FROM crossfade.run WHERE name = $1 AND ($2::integer IS NULL OR number = $2) ORDER BY id");
        let ids: Vec<i64> = pg::query_scalar(&select).bind(name).bind(number).fetch_all(connection).await?;
        if ids.is_empty() {
            return Err(self.no_such_run(connection, text).await?);
        }
        Ok(ids.into_iter().map(RunId).collect())
    }

    /// Keeps what a run was predicted to cost. The first prediction counts.
    ///
    /// # Errors
    /// The server's error.
    pub async fn store_prediction(
        self,
        connection: &mut PgConnection,
        run: RunId,
        estimates: &Estimates,
    ) -> Result<(), LedgerError> {
        let insert = self.ledger.sql(
            "INSERT INTO crossfade.prediction (run_id, estimates) VALUES ($1, $2::jsonb) ON CONFLICT (run_id) DO NOTHING",
        );
        let json = written("prediction", run, estimates)?;
        pg::query(&insert).bind(run.0).bind(json).execute(connection).await?;
        Ok(())
    }

    /// Returns the cost that was predicted when the run was registered; `None` if there was no prediction.
    ///
    /// # Errors
    /// [`LedgerError::Unreadable`] when what is stored is damaged.
    pub async fn prediction(self, connection: &mut PgConnection, run: RunId) -> Result<Option<Estimates>, LedgerError> {
        self.predictions(connection, &[run]).await?.one(run).transpose()
    }

    /// Returns the costs that were predicted for these runs. What is damaged of one run is an error of that run alone.
    ///
    /// # Errors
    /// The server's error; inside, [`LedgerError::Unreadable`].
    pub(crate) async fn predictions(
        self,
        connection: &mut PgConnection,
        runs: &[RunId],
    ) -> Result<ByRun<Result<Estimates, LedgerError>>, sqlx::Error> {
        let select = "SELECT run_id, estimates::text AS estimates FROM crossfade.prediction WHERE run_id = ANY ($1)";
        let found: ByRun<Predicted> = self.ledger.by_run(connection, select, runs).await?;
        Ok(found.map(|run, Predicted { estimates }| read("prediction", run, &estimates)))
    }
}

/// Returns what a run of `plan` claims, each once.
fn claimed(plan: &Plan) -> BTreeMap<String, Claim<'_>> {
    plan.changes.iter().flat_map(Change::claims).map(|claim| (claim.key(), claim)).collect()
}

fn written(what: &'static str, run: RunId, value: &impl Document) -> Result<String, LedgerError> {
    crate::run::write(value).map_err(|error| LedgerError::Unreadable { what, run, error })
}
