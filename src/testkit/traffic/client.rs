//! One client: a connection, rows of its own, and one request after the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, Row as _};
use tokio::time::Instant;

use super::ledger::{Known, RowState};
use super::{Load, Pair, Release, Shared, Value};
use crate::sql::quote_ident;
use crate::testkit::stats::Latencies;

/// How far a paced client may be behind the clock before its wait counts: the timer's own step.
const TIMER_STEP: Duration = Duration::from_millis(2);
/// Between two attempts to connect.
const RECONNECT: Duration = Duration::from_millis(50);

/// What a client did.
pub(super) struct Outcome {
    pub(super) statements: u64,
    /// By number of the mark.
    pub(super) latencies: Vec<Latencies>,
    pub(super) rows: BTreeMap<i64, RowState>,
}

/// How a statement failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// The server refused: nothing was committed.
    Refused,
    /// The connection went: nobody knows.
    InDoubt,
}

pub(super) struct Client {
    shared: Arc<Shared>,
    release: Release,
    number: usize,
    connection: Option<PgConnection>,
    random: StdRng,
    /// Rows that existed and that this client alone writes.
    owned: Vec<i64>,
    /// Rows that this client inserted and has not deleted.
    inserted: Vec<i64>,
    period: Option<Duration>,
    /// When the first statement of this request was due, if that was a while ago.
    due: Option<Instant>,
    outcome: Outcome,
}

impl Client {
    pub(super) async fn connect(
        shared: Arc<Shared>,
        release: Release,
        number: usize,
        owned: Vec<i64>,
        load: &Load,
    ) -> Result<Self, sqlx::Error> {
        let mut client = Self {
            shared,
            release,
            number,
            connection: None,
            random: StdRng::seed_from_u64(load.seed.wrapping_add(number as u64)),
            owned,
            inserted: Vec::new(),
            period: load.rate.filter(|rate| *rate > 0).map(|rate| Duration::from_secs(1) / rate),
            due: None,
            outcome: Outcome { statements: 0, latencies: Vec::new(), rows: BTreeMap::new() },
        };
        client.reconnect().await?;
        Ok(client)
    }

    async fn reconnect(&mut self) -> Result<(), sqlx::Error> {
        let name = format!("fleet {} {}", self.release.as_str(), self.number);
        self.connection = Some(self.shared.options.clone().application_name(&name).connect().await?);
        Ok(())
    }

    /// Makes requests whenever the release is on, until the traffic is stopped.
    pub(super) async fn run(mut self) -> Outcome {
        let shared = Arc::clone(&self.shared);
        let Some(gate) = shared.gates.get(&self.release) else { return self.outcome };
        let (mut open, mut stopped) = (gate.open.follow(), shared.stopped.follow());
        let mut next = Instant::now();
        loop {
            if !open.peek() {
                tokio::select! {
                    () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => {}
                    () = async { drop(open.wait_for(|open| *open).await) } => {}
                }
                next = Instant::now();
            }
            if let Some(period) = self.period {
                tokio::time::sleep_until(next).await;
                self.due = (next.elapsed() > TIMER_STEP).then_some(next);
                next += period;
            }
            if stopped.peek() {
                return self.outcome;
            }
            let between_requests = gate.requests.read().await;
            if open.peek() {
                self.request().await;
                if let Some((_, count)) = shared.requests.get(self.number) {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            } else {
                self.due = None;
            }
            drop(between_requests);
            shared.progress.notify_waiters();
        }
    }

    /// Makes one request: usually one statement, sometimes a transaction.
    async fn request(&mut self) {
        if self.connection.is_none()
            && let Err(error) = self.reconnect().await
        {
            self.shared.fail(format!("{} client {}: connect: {error}", self.release.as_str(), self.number), false);
            tokio::time::sleep(RECONNECT).await;
            return;
        }
        match self.random.random_range(0..100) {
            0..30 => self.update_own().await,
            30..42 => self.relay(true).await,
            42..50 => self.relay(false).await,
            50..56 => self.contend().await,
            56..64 => self.touch().await,
            64..76 => self.read_own().await,
            76..88 => self.insert().await,
            88..91 => self.delete().await,
            91..96 => self.update_many(true).await,
            _ => self.update_many(false).await,
        }
    }

    async fn update_own(&mut self) {
        let Some(id) = self.own_row() else { return };
        let mut row = self.row(id);
        self.update(id, &mut row).await;
        self.outcome.rows.insert(id, row);
    }

    /// Writes or reads a row that all clients write in turns, unless another is at it.
    async fn relay(&mut self, write: bool) {
        let shared = Arc::clone(&self.shared);
        let Some((id, row)) = shared.relay.choose(&mut self.random) else { return };
        let Ok(mut row) = row.try_lock() else { return };
        if write {
            self.update(*id, &mut row).await;
        } else {
            self.read(*id, &row).await;
        }
    }

    /// Writes a row that everybody writes at the same time, and forgets it.
    async fn contend(&mut self) {
        let Some(id) = self.shared.contended.choose(&mut self.random).copied() else { return };
        let mut forgotten = RowState::untouched(self.shared.subject.pairs.len());
        self.update(id, &mut forgotten).await;
    }

    /// Writes a column that has nothing to do with the change.
    async fn touch(&mut self) {
        let Some(id) = self.own_row() else { return };
        let _ = self.touch_row(id).await;
    }

    async fn touch_row(&mut self, id: i64) -> Result<(), Failure> {
        let subject = &self.shared.subject;
        let sql = format!(
            "UPDATE {} SET {} WHERE {} = $1 RETURNING true",
            subject.table.sql(),
            subject.touch,
            quote_ident(&subject.key)
        );
        self.expect_true(&sql, id, true).await
    }

    async fn read_own(&mut self) {
        let Some(id) = self.own_row() else { return };
        let row = self.row(id);
        self.read(id, &row).await;
    }

    async fn insert(&mut self) {
        let shared = Arc::clone(&self.shared);
        let subject = &shared.subject;
        let era = shared.era();
        let unique = self.unique();
        let mut columns = vec![subject.insert_columns.clone()];
        let mut values = vec![subject.insert_values.replace("{n}", &unique)];
        let mut row = RowState::untouched(subject.pairs.len());
        for (number, pair) in subject.pairs.iter().enumerate() {
            let chosen = self.value_for(number);
            let default = pair.default.as_ref().filter(|_| chosen.is_none() || self.random.random_range(0..5) == 0);
            let known = match (default, chosen) {
                (Some(default), _) => Known::default().after(Release::Both, default, true, era),
                (None, Some(value)) => {
                    for (column, literal) in self.assignments(pair, &value) {
                        columns.push(column);
                        values.push(literal);
                    }
                    Known::default().after(self.release, &value, true, era)
                }
                (None, None) => return, // this release cannot insert into this table
            };
            row.pairs[number] = Some(known);
        }
        let sql = format!(
            "INSERT INTO {} ({}) VALUES ({}) RETURNING {}::bigint",
            subject.table.sql(),
            columns.join(", "),
            values.join(", "),
            quote_ident(&subject.key)
        );
        if let Ok(rows) = self.send(&sql, None, false).await
            && let Some(id) = rows.first().and_then(|row| row.try_get(0).ok())
        {
            self.inserted.push(id);
            self.outcome.rows.insert(id, row);
        }
    }

    /// Deletes one of the rows that this client inserted.
    async fn delete(&mut self) {
        if self.inserted.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.inserted.len());
        let id = self.inserted[at];
        let subject = &self.shared.subject;
        let sql =
            format!("DELETE FROM {} WHERE {} = $1 RETURNING true", subject.table.sql(), quote_ident(&subject.key));
        match self.expect_true(&sql, id, true).await {
            Ok(()) => {
                self.inserted.swap_remove(at);
                self.outcome.rows.insert(id, RowState { deleted: true, ..RowState::default() });
            }
            Err(Failure::InDoubt) => {
                self.inserted.swap_remove(at);
                self.outcome.rows.remove(&id);
            }
            Err(Failure::Refused) => {}
        }
    }

    /// Updates several rows of its own in one transaction, in no order, and commits it or rolls it back.
    async fn update_many(&mut self, commit: bool) {
        let count = self.random.random_range(2..9);
        let mut ids: Vec<i64> = (0..count).filter_map(|_| self.own_row()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.shuffle(&mut self.random);
        let before: Vec<(i64, RowState)> = ids.iter().map(|id| (*id, self.row(*id))).collect();
        let mut after = before.clone();
        if self.send("BEGIN", None, false).await.is_err() {
            return;
        }
        for (id, row) in &mut after {
            if !self.update(*id, row).await {
                let _ = self.send("ROLLBACK", None, false).await;
                return;
            }
        }
        let end = self.send(if commit { "COMMIT" } else { "ROLLBACK" }, None, false).await;
        match end {
            Ok(_) if commit => self.outcome.rows.extend(after),
            Err(Failure::InDoubt) if commit => {
                for ((id, before), (_, after)) in before.into_iter().zip(after) {
                    self.outcome.rows.insert(id, in_doubt(&before, &after));
                }
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Writes one value to the row and to what is known of it. Returns whether the statement went through.
    async fn update(&mut self, id: i64, row: &mut RowState) -> bool {
        let shared = Arc::clone(&self.shared);
        if shared.subject.pairs.is_empty() {
            return self.touch_row(id).await.is_ok();
        }
        let number = self.random.random_range(0..shared.subject.pairs.len());
        let Some(value) = self.value_for(number) else { return true };
        let Some(pair) = shared.subject.pairs.get(number) else { return true };
        let era = shared.era();
        let assignments = self.assignments(pair, &value);
        let set: Vec<String> = assignments.iter().map(|(column, literal)| format!("{column} = {literal}")).collect();
        let same: Vec<String> =
            assignments.iter().map(|(column, literal)| format!("{column} IS NOT DISTINCT FROM {literal}")).collect();
        let sql = format!(
            "UPDATE {} SET {} WHERE {} = $1 RETURNING {}",
            shared.subject.table.sql(),
            set.join(", "),
            quote_ident(&shared.subject.key),
            same.join(" AND ")
        );
        let cached = !pair.values.iter().any(|value| value.old.contains("{n}"));
        let result = self.expect_true(&sql, id, cached).await;
        let before = row.pairs[number].clone().unwrap_or_default();
        let after = before.after(self.release, &value, pair.is_bijective(), era);
        match result {
            Ok(()) => row.pairs[number] = Some(after),
            Err(Failure::InDoubt) => row.pairs[number] = Some(before.or(&after)),
            Err(Failure::Refused) => {}
        }
        result.is_ok()
    }

    /// Reads a row and compares it with what is known of it.
    async fn read(&mut self, id: i64, row: &RowState) {
        let shared = Arc::clone(&self.shared);
        let era = shared.era();
        let read_new = self.random.random_bool(0.5);
        let mut conditions = Vec::new();
        for (pair, known) in shared.subject.pairs.iter().zip(&row.pairs) {
            let Some(known) = known else { continue };
            let (old_name, new_name) = self.names(pair);
            let new = known.new.as_ref().filter(|_| era.is_some() && known.new_since == era);
            let (name, literals) = match self.release {
                Release::New => (new_name, new),
                Release::Both if read_new => (new_name, new),
                Release::Old | Release::Both => (old_name, known.old.as_ref()),
                // The name means the old column now and the new one at any moment.
                Release::Either if pair.keeps_name => {
                    (quote_ident(&pair.old), known.old.as_ref().filter(|_| known.old == known.new))
                }
                Release::Either => continue,
            };
            if let Some(literals) = literals {
                let any = literals.iter().map(|literal| format!("{name} IS NOT DISTINCT FROM {literal}"));
                conditions.push(format!("({})", any.collect::<Vec<_>>().join(" OR ")));
            }
        }
        if conditions.is_empty() {
            conditions.push("true".to_owned());
        }
        let subject = &shared.subject;
        let sql = format!(
            "SELECT {} FROM {} WHERE {} = $1",
            conditions.join(" AND "),
            subject.table.sql(),
            quote_ident(&subject.key)
        );
        let _ = self.expect_true(&sql, id, subject.pairs.len() == 1).await;
    }

    /// Sends a statement on one row that must answer true: if not, what was committed before is not there.
    async fn expect_true(&mut self, sql: &str, id: i64, cached: bool) -> Result<(), Failure> {
        let rows = self.send(sql, Some(id), cached).await?;
        let answer = rows.first().map(|row| row.try_get::<bool, _>(0).unwrap_or(false));
        if answer != Some(true) {
            let what = if answer.is_none() { "the row is missing" } else { "another value than was committed" };
            let text = format!("{} client {}: {sql} [{id}]: {what}", self.release.as_str(), self.number);
            self.shared.fail(text, true);
        }
        Ok(())
    }

    /// Sends a statement once, times it, and remembers its failure. `cached` keeps it prepared on the server, as
    /// drivers do with the statements of an application.
    async fn send(&mut self, sql: &str, id: Option<i64>, cached: bool) -> Result<Vec<PgRow>, Failure> {
        let Some(connection) = self.connection.as_mut() else { return Err(Failure::Refused) };
        self.outcome.statements += 1;
        let begun = self.due.take().unwrap_or_else(Instant::now);
        let mut query = sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(cached);
        if let Some(id) = id {
            query = query.bind(id);
        }
        let result = query.fetch_all(connection).await;
        let mark = self.shared.mark.load(Ordering::SeqCst);
        if self.outcome.latencies.len() <= mark {
            self.outcome.latencies.resize(mark + 1, Latencies::default());
        }
        self.outcome.latencies[mark].add(begun.elapsed());
        result.map_err(|error| {
            let text = format!("{} client {}: {sql} [{id:?}]: {error}", self.release.as_str(), self.number);
            self.shared.fail(text, false);
            // Class 57 is a server that shuts down or an administrator who ends the session.
            match error.as_database_error().and_then(sqlx::error::DatabaseError::code) {
                Some(code) if !code.starts_with("57P") => Failure::Refused,
                _ => {
                    self.connection = None;
                    Failure::InDoubt
                }
            }
        })
    }

    /// Returns a row that no other client writes.
    fn own_row(&mut self) -> Option<i64> {
        let inserted = self.random.random_range(0..4) == 0;
        let from = if inserted && !self.inserted.is_empty() { &self.inserted } else { &self.owned };
        from.choose(&mut self.random).copied()
    }

    fn row(&self, id: i64) -> RowState {
        self.outcome.rows.get(&id).cloned().unwrap_or_else(|| RowState::untouched(self.shared.subject.pairs.len()))
    }

    fn unique(&self) -> String {
        self.shared.unique.fetch_add(1, Ordering::SeqCst).to_string()
    }

    /// Returns a value for a pair, or `None` if this release does not write it.
    fn value_for(&mut self, pair: usize) -> Option<Value> {
        let shared = Arc::clone(&self.shared);
        let pair = shared.subject.pairs.get(pair)?;
        let fits = |value: &&Value| self.release != Release::Either || (pair.keeps_name && value.is_same_everywhere());
        let values: Vec<&Value> = pair.values.iter().filter(fits).collect();
        let mut value = (*values.choose(&mut self.random)?).clone();
        if value.old.contains("{n}") {
            let unique = self.unique();
            for literal in [&mut value.old, &mut value.new, &mut value.back] {
                *literal = literal.replace("{n}", &unique);
            }
        }
        Some(value)
    }

    /// Returns the present names of a pair's old and new column, quoted.
    fn names(&self, pair: &Pair) -> (String, String) {
        let (old, new) = (quote_ident(&pair.old), quote_ident(&pair.new));
        if pair.keeps_name && self.shared.swapped.load(Ordering::SeqCst) { (new, old) } else { (old, new) }
    }

    /// Returns the columns that this release writes, quoted, with their literals.
    fn assignments(&self, pair: &Pair, value: &Value) -> Vec<(String, String)> {
        let (old, new) = self.names(pair);
        match self.release {
            Release::Old => vec![(old, value.old.clone())],
            Release::Both => vec![(old, value.old.clone()), (new, value.new.clone())],
            Release::New => vec![(new, value.new.clone())],
            Release::Either => vec![(quote_ident(&pair.old), value.old.clone())],
        }
    }
}

/// Returns what is known of a row when it is not known whether a transaction was committed.
fn in_doubt(before: &RowState, after: &RowState) -> RowState {
    let pairs = before.pairs.iter().zip(&after.pairs).map(|(before, after)| {
        let after = after.as_ref()?;
        Some(before.clone().unwrap_or_default().or(after))
    });
    RowState { pairs: pairs.collect(), deleted: after.deleted }
}
