//! A run with its log as they are stored: what `crossfade history` prints, and all that is needed to check the chain of hashes
//! and to rebuild the run's state without the database.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::PgConnection;

use super::{Log, LoggedEntry, read};
use crate::ident::RunId;
use crate::ledger::{ByRun, LedgerError};
use crate::pg;
use crate::run::{Actor, Broken, Entry, Head, Link, Program, State, broken};

/// A run and its log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Its number in the ledger.
    pub id: i64,
    /// The plan's name.
    pub name: String,
    /// Its number among the runs of that plan.
    pub number: i32,
    /// The format in which plan, facts and program are stored.
    pub format: i32,
    /// The plan's fingerprint.
    pub fingerprint: String,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// As which role.
    pub created_by: String,
    /// The text of the plan's file.
    pub plan_text: String,
    /// The plan as it is stored.
    pub plan: Box<RawValue>,
    /// The facts that the program was compiled from.
    pub facts: Box<RawValue>,
    /// The program that the run began with.
    pub program: Box<RawValue>,
    /// The hash of the latest entry.
    pub head: Head,
    /// The log, oldest first.
    pub entries: Vec<RecordedEntry>,
}

/// An entry of the log as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecordedEntry {
    /// Its number in the run.
    pub seq: i64,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: Actor,
    /// The format in which it is stored.
    pub format: i32,
    /// What, as it is stored.
    pub entry: Box<RawValue>,
    /// The phase after it.
    pub phase: String,
    /// The state after it.
    pub state: String,
    /// The hash of the entry before it; of the first, the hash of the run.
    pub previous: Head,
    /// Its hash.
    pub hash: Head,
}

pg::columns!(
    struct Row {
        id: i64,
        name: String,
        number: i32,
        format: i32,
        fingerprint: String,
        created_at: DateTime<Utc>,
        created_by: String,
        plan_text: String,
        plan: String,
        facts: String,
        program: String,
    }
);

pg::columns!(
    struct Line {
        seq: i64,
        at: DateTime<Utc>,
        role: String,
        os_user: String,
        host: String,
        pid: i64,
        version: String,
        format: i32,
        entry: String,
        phase: String,
        state: String,
        previous: String,
        hash: String,
    }
);

impl Record {
    /// Returns the names of its parts, as the stored plan has them.
    pub(crate) fn parts(&self) -> Vec<String> {
        let names = self.of_plan("parts");
        names.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }

    /// Returns the name of the run that it is a part of, as the stored plan has it.
    pub(crate) fn part_of(&self) -> Option<String> {
        self.of_plan("part_of").as_str().map(str::to_owned)
    }

    /// Returns the zone of its plan's schedule, in which times are shown; UTC without one.
    #[cfg(feature = "cli")]
    pub(crate) fn zone(&self) -> chrono_tz::Tz {
        let schedule = self.of_plan("schedule");
        schedule["timezone"].as_str().and_then(|name| name.parse().ok()).unwrap_or(chrono_tz::Tz::UTC)
    }

    /// Nothing else of the plan is looked at: a log can be read whose plan another version has written.
    fn of_plan(&self, key: &str) -> serde_json::Value {
        let plan: serde_json::Value = serde_json::from_str(self.plan.get()).unwrap_or_default();
        plan.get(key).cloned().unwrap_or_default()
    }

    /// Returns the entries as this version understands them.
    ///
    /// # Errors
    /// [`LedgerError::Format`] and [`LedgerError::Unreadable`].
    pub fn log(&self) -> Result<Vec<LoggedEntry>, LedgerError> {
        self.entries.iter().map(|entry| entry.read(RunId(self.id))).collect()
    }

    /// Returns the state that the log adds up to.
    ///
    /// # Errors
    /// As [`Record::log`]; [`LedgerError::Illegal`] when the log holds something it cannot hold.
    pub fn state(&self) -> Result<State, LedgerError> {
        LedgerError::unless_readable("program", RunId(self.id), self.format)?;
        let program: Program = read("program", RunId(self.id), self.program.get())?;
        let log = self.log()?;
        let entries: Vec<&Entry> = log.iter().map(|line| &line.entry).collect();
        Ok(State::replay(&program, entries)?)
    }

    /// Returns the first place at which the chain of hashes does not hold; `None` where it holds.
    pub fn broken(&self) -> Option<Broken> {
        let links = self.entries.iter().map(|entry| entry.link(self.id)).collect::<Vec<_>>();
        broken(&self.hash(), &links)
    }

    /// Returns the entry whose hash begins with `digits`, if the chain has one.
    pub fn entry_of(&self, digits: &str) -> Option<&RecordedEntry> {
        self.entries.iter().find(|entry| entry.hash.begins_with(digits))
    }

    /// Returns the hash of what is stored of the run itself, as `chain()` in `schema.sql` computes it.
    fn hash(&self) -> Head {
        Head::of(&[
            "run",
            &self.id.to_string(),
            &self.name,
            &self.number.to_string(),
            &self.format.to_string(),
            &self.fingerprint,
            &self.plan_text,
            self.plan.get(),
            self.facts.get(),
            self.program.get(),
            &time(self.created_at),
            &self.created_by,
        ])
    }
}

impl RecordedEntry {
    /// Returns the entry as this version understands it.
    pub(super) fn read(&self, run: RunId) -> Result<LoggedEntry, LedgerError> {
        LedgerError::unless_readable("log", run, self.format)?;
        Ok(LoggedEntry {
            seq: self.seq,
            at: self.at,
            actor: self.actor.clone(),
            phase: self.phase.clone(),
            state: self.state.clone(),
            entry: read("log", run, self.entry.get())?,
            head: self.hash.clone(),
        })
    }

    fn link(&self, run: i64) -> Link<'_> {
        let Self { seq, at, actor, format, entry, phase, state, previous, hash } = self;
        let Actor { role, user, host, pid, version } = actor;
        let computed = Head::of(&[
            "entry",
            &run.to_string(),
            &seq.to_string(),
            &time(*at),
            role,
            user,
            host,
            &pid.to_string(),
            version,
            &format.to_string(),
            entry.get(),
            phase,
            state,
            previous.as_str(),
        ]);
        Link { seq: *seq, previous, hash, computed }
    }
}

/// Returns a time as the hashes have it.
fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

impl Log<'_> {
    /// Returns the run with its log, as they are stored.
    ///
    /// # Errors
    /// The server's error.
    pub async fn record_of(self, connection: &mut PgConnection, run: RunId) -> Result<Record, LedgerError> {
        let select = self.ledger.sql(
            "SELECT id, name, number, format, fingerprint, created_at, created_by, plan_text, plan::text AS plan, \
             facts::text AS facts, program::text AS program FROM crossfade.run WHERE id = $1",
        );
        let row: Row = pg::query_as(&select).bind(run.0).fetch_one(&mut *connection).await?;
        let entries = self.lines(connection, &[run]).await?.all(run).into_iter().collect::<Result<Vec<_>, _>>()?;
        let Row { id, name, number, format, fingerprint, created_at, created_by, plan_text, plan, facts, program } =
            row;
        let raw =
            |what, text| RawValue::from_string(text).map_err(|error| LedgerError::Unreadable { what, run, error });
        let (plan, facts, program) = (raw("plan", plan)?, raw("facts", facts)?, raw("program", program)?);
        let head = entries.last().map_or_else(|| Head::stored(String::new()), |entry| entry.hash.clone());
        Ok(Record {
            id,
            name,
            number,
            format,
            fingerprint,
            created_at,
            created_by,
            plan_text,
            plan,
            facts,
            program,
            head,
            entries,
        })
    }

    /// Returns the entries of these runs as they are stored, oldest first. What is damaged of one run is an error of that run alone.
    pub(super) async fn lines(
        self,
        connection: &mut PgConnection,
        runs: &[RunId],
    ) -> Result<ByRun<Result<RecordedEntry, LedgerError>>, LedgerError> {
        let select = "SELECT run_id, seq, at, role, os_user, host, pid, version, format, entry::text AS entry, phase, state, previous, hash \
             FROM crossfade.event WHERE run_id = ANY ($1) ORDER BY run_id, seq";
        let lines: ByRun<Line> = self.ledger.by_run(connection, select, runs).await?;
        Ok(lines.map(|run, line| {
            let Line { seq, at, role, os_user, host, pid, version, format, entry, phase, state, previous, hash } = line;
            Ok(RecordedEntry {
                seq,
                at,
                actor: Actor { role, user: os_user, host, pid, version },
                format,
                entry: RawValue::from_string(entry).map_err(|error| LedgerError::Unreadable {
                    what: "log",
                    run,
                    error,
                })?,
                phase,
                state,
                previous: Head::stored(previous),
                hash: Head::stored(hash),
            })
        }))
    }

    /// Returns the head of a run's log, the hash of its latest entry, which stands for the whole log; `None` without a log.
    ///
    /// # Errors
    /// The server's error.
    pub async fn head(self, connection: &mut PgConnection, run: RunId) -> Result<Option<Head>, LedgerError> {
        let select = self.ledger.sql("SELECT hash FROM crossfade.event WHERE run_id = $1 ORDER BY seq DESC LIMIT 1");
        let hash: Option<String> = pg::query_scalar(&select).bind(run.0).fetch_optional(connection).await?;
        Ok(hash.map(Head::stored))
    }
}
