//! Live clients of several application releases, each remembering what it was told was committed.
//!
//! A client has a connection of its own and never repeats a statement that failed: one failure is one failed request
//! of the application. It writes rows that nobody else writes, so that it knows exactly what they must hold; rows that
//! all releases write in turns; and a few that all fight for.

mod client;
mod ledger;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tokio::sync::{Mutex, Notify, RwLock};
use tokio::task::JoinHandle;

use self::ledger::RowState;
pub use self::ledger::{Ledger, LostWrite, Side};
use super::stats::Latencies;
use crate::ident::TableName;
use crate::latest::Latest;
use crate::plan;
use crate::sql::{quote_ident, quote_literal};

/// How many of the rows that exist are written by one client each.
const OWNED_ROWS: i64 = 20_000;
/// How many are written by all clients in turns, remembered together.
const RELAY_ROWS: usize = 64;
/// How many are written by all clients at once, not remembered.
const CONTENDED_ROWS: usize = 16;
/// How many failures are kept as text.
const KEPT_FAILURES: usize = 20;

/// What a release of the application knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Release {
    /// Reads and writes the old column only.
    Old,
    /// Writes both columns, consistently.
    Both,
    /// Reads and writes the new column only.
    New,
    /// Reads and writes the name that stays when `switch` swaps the names, with values that mean the same in both
    /// types. It knows nothing of any change and must live through all of it. Leaves other pairs alone.
    Either,
}

impl Release {
    /// Returns all of them.
    pub const ALL: [Self; 4] = [Self::Old, Self::Both, Self::New, Self::Either];

    /// Returns the release's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::Both => "both",
            Self::New => "new",
            Self::Either => "either",
        }
    }
}

/// One value as SQL literals without a type. `{n}` in it stands for a number that is used once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// What the old column holds.
    pub old: String,
    /// What the new column holds when the old one holds `old`.
    pub new: String,
    /// What the old column holds when an application wrote `new` to the new one.
    pub back: String,
}

impl Value {
    /// Returns the value of a column that is renamed: the same everywhere.
    pub fn same(literal: &str) -> Self {
        Self { old: literal.to_owned(), new: literal.to_owned(), back: literal.to_owned() }
    }

    fn is_same_everywhere(&self) -> bool {
        self.old == self.new && self.new == self.back
    }
}

/// The two columns of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The old column's name before the run.
    pub old: String,
    /// The new column's name, until `switch` if the names are swapped then.
    pub new: String,
    /// Whether `switch` swaps the names.
    pub keeps_name: bool,
    /// What applications write; at least one.
    pub values: Vec<Value>,
    /// What an INSERT that names neither column leaves; `None` when it would be refused.
    pub default: Option<Value>,
}

impl Pair {
    /// Returns the pair of `change`, with the new and the reverse value of each of `samples` (plain text, not quoted)
    /// worked out by the plan's own expressions on the server, before the run has begun.
    ///
    /// # Errors
    /// The server's refusal of an expression, for example of a sample that does not convert.
    pub async fn of(
        connection: &mut PgConnection,
        table: &TableName,
        change: &plan::Pair<'_>,
        samples: &[&str],
    ) -> Result<Self, sqlx::Error> {
        let (old_type, not_null, default) = column_facts(connection, table, change.old.as_str()).await?;
        let mut values = Vec::new();
        for sample in samples {
            values.push(convert(connection, change, &old_type, &quote_literal(sample)).await?);
        }
        let default = match default {
            Some(expression) => {
                let sql = format!("SELECT ({expression})::{old_type}::text");
                let text: Option<String> = scalar(connection, sql).await?;
                let literal = text.map_or_else(|| "NULL".to_owned(), |text| quote_literal(&text));
                Some(convert(connection, change, &old_type, &literal).await?)
            }
            None if not_null => None,
            None => Some(Value::same("NULL")),
        };
        Ok(Self {
            old: change.old.as_str().to_owned(),
            new: change.new.as_str().to_owned(),
            keeps_name: change.keeps_name(),
            values,
            default,
        })
    }

    /// Returns the name of the new column when the run is done.
    pub fn final_name(&self) -> String {
        if self.keeps_name { self.old.clone() } else { self.new.clone() }
    }

    /// Returns whether every value comes back as it was, so that each side determines the other.
    fn is_bijective(&self) -> bool {
        self.values.iter().all(|value| value.old == value.back)
    }
}

/// Returns the type, whether it is NOT NULL, and the default of a column.
async fn column_facts(
    connection: &mut PgConnection,
    table: &TableName,
    column: &str,
) -> Result<(String, bool, Option<String>), sqlx::Error> {
    let sql = "SELECT format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = $1::regclass AND a.attname = $2";
    sqlx::query_as(sql).bind(table.sql()).bind(column).persistent(false).fetch_one(connection).await
}

async fn scalar(connection: &mut PgConnection, sql: String) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_one(connection).await
}

/// Returns what becomes of an old literal going forward, and of that going back.
async fn convert(
    connection: &mut PgConnection,
    change: &plan::Pair<'_>,
    old_type: &str,
    old: &str,
) -> Result<Value, sqlx::Error> {
    let Some(plan::ChangeType { to, using, reverse, .. }) = change.retype else { return Ok(Value::same(old)) };
    let literal = |text: Option<String>| text.map_or_else(|| "NULL".to_owned(), |text| quote_literal(&text));
    let (old_name, new_name) = (change.old.sql(), change.new.sql());
    let forward = using.clone().unwrap_or_else(|| old_name.clone());
    // The expressions speak of columns; here those are columns of a subquery with one row.
    let sql = format!("SELECT (({forward})::{to})::text FROM (SELECT ({old})::{old_type} AS {old_name}) AS one");
    let new = literal(scalar(connection, sql).await?);
    let back = reverse.clone().unwrap_or_else(|| new_name.clone());
    let sql = format!("SELECT (({back})::{old_type})::text FROM (SELECT ({new})::{to} AS {new_name}) AS one");
    let back = literal(scalar(connection, sql).await?);
    Ok(Value { old: old.to_owned(), new, back })
}

/// The table and what clients do to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The table.
    pub table: TableName,
    /// Its key: one integer column that the database fills.
    pub key: String,
    /// The columns, besides the pairs', that an INSERT gives.
    pub insert_columns: String,
    /// Their values; `{n}` stands for a number that is used once.
    pub insert_values: String,
    /// An assignment to a column that has nothing to do with the change.
    pub touch: String,
    /// The columns that change.
    pub pairs: Vec<Pair>,
}

/// How much traffic.
#[derive(Debug, Clone)]
pub struct Load {
    /// How many clients of each release there are. All of them start switched off.
    pub clients: Vec<(Release, usize)>,
    /// Requests a second of one client; `None` is as fast as the server answers.
    pub rate: Option<u32>,
    /// Where the clients' choices come from: the same seed, the same choices.
    pub seed: u64,
}

/// What all clients share.
struct Shared {
    subject: Subject,
    options: PgConnectOptions,
    gates: BTreeMap<Release, Gate>,
    stopped: Latest<bool>,
    /// Whether the names of the pairs that keep their name are swapped.
    swapped: AtomicBool,
    /// Odd while the new columns exist and are kept in sync, as the activity of `Both` and `New` tells; each stretch
    /// has its own number.
    era: AtomicU64,
    relay: Vec<(i64, Mutex<RowState>)>,
    contended: Vec<i64>,
    mark: AtomicUsize,
    unique: AtomicU64,
    failures: StdMutex<Failures>,
    requests: Vec<(Release, AtomicU64)>,
    progress: Notify,
}

/// Lets the clients of one release through.
struct Gate {
    open: Latest<bool>,
    /// Read by each client for the length of one request, so that a writer knows when all are between requests.
    requests: RwLock<()>,
}

/// Statements that failed and reads that were wrong.
#[derive(Debug, Default)]
struct Failures {
    failed: usize,
    wrong_reads: usize,
    texts: Vec<String>,
}

impl Shared {
    /// Returns the number of the present stretch in which the sides are in sync.
    fn era(&self) -> Option<u64> {
        let era = self.era.load(Ordering::SeqCst);
        (era % 2 == 1).then_some(era)
    }

    fn fail(&self, text: String, wrong_read: bool) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong_read {
            failures.wrong_reads += 1;
        } else {
            failures.failed += 1;
        }
        if failures.texts.len() < KEPT_FAILURES {
            failures.texts.push(text);
        }
    }
}

/// Clients at work. Dropping the value without [`Traffic::stop`] abandons them.
pub struct Traffic {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<client::Outcome>>,
    marks: Vec<String>,
}

/// What became of the traffic.
#[derive(Debug)]
pub struct TrafficReport {
    /// Statements sent, transaction control included.
    pub statements: u64,
    /// How many of them failed.
    pub failed_statements: usize,
    /// Answers that were not what this client, or the one before it on the row, was told was committed.
    pub wrong_reads: usize,
    /// The first failures and wrong answers, with release and statement.
    pub failures: Vec<String>,
    /// How long statements took, by mark. A client with a rate that is behind counts from when the request was due.
    pub latencies: BTreeMap<String, Latencies>,
    /// What was committed.
    pub ledger: Ledger,
}

impl Traffic {
    /// Connects all clients and returns with every release still switched off.
    ///
    /// # Errors
    /// The server's refusal of a connection, or of a look at the table.
    pub async fn start(url: &str, subject: Subject, load: Load) -> Result<Self, sqlx::Error> {
        let options: PgConnectOptions = url.parse()?;
        let mut connection = options.connect().await?;
        let mut ids = sample_of_keys(&mut connection, &subject).await?.into_iter();
        let contended = ids.by_ref().take(CONTENDED_ROWS).collect();
        let relay_row = |id| (id, Mutex::new(RowState::untouched(subject.pairs.len())));
        let relay = ids.by_ref().take(RELAY_ROWS).map(relay_row).collect();

        let releases: Vec<Release> =
            load.clients.iter().flat_map(|&(release, count)| std::iter::repeat_n(release, count)).collect();
        let mut owned = vec![Vec::new(); releases.len()];
        for (number, id) in ids.enumerate() {
            if let Some(client) = number.checked_rem(releases.len()) {
                owned[client].push(id);
            }
        }
        let gate = |release| (release, Gate { open: Latest::new(false), requests: RwLock::new(()) });
        let shared = Arc::new(Shared {
            subject,
            options,
            gates: Release::ALL.into_iter().map(gate).collect(),
            stopped: Latest::new(false),
            swapped: AtomicBool::new(false),
            era: AtomicU64::new(0),
            relay,
            contended,
            mark: AtomicUsize::new(0),
            // Unique among the traffics of one database too, one after the other.
            unique: AtomicU64::new(unique_start(&mut connection).await?),
            failures: StdMutex::default(),
            requests: releases.iter().map(|&release| (release, AtomicU64::new(0))).collect(),
            progress: Notify::new(),
        });
        let mut clients = Vec::new();
        for ((number, release), ids) in releases.into_iter().enumerate().zip(owned) {
            let client = client::Client::connect(Arc::clone(&shared), release, number, ids, &load).await?;
            clients.push(tokio::spawn(client.run()));
        }
        Ok(Self { shared, clients, marks: vec!["start".to_owned()] })
    }

    /// Switches the clients of a release on, or off; then it returns once they are between two requests.
    ///
    /// `Both` and `New` may be on only while the sync trigger is there, or after the run is done.
    pub async fn set_active(&self, release: Release, active: bool) {
        let Some(gate) = self.shared.gates.get(&release) else { return };
        gate.open.set(active);
        if !active {
            drop(gate.requests.write().await);
        }
        let in_sync = [Release::Both, Release::New]
            .iter()
            .filter_map(|release| self.shared.gates.get(release))
            .any(|gate| gate.open.get());
        if in_sync != self.shared.era().is_some() {
            self.shared.era.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Tells the releases that are started from now on whether `switch` has swapped the names of the pairs that keep
    /// their name: then the kept name is the new column's. Only [`Release::Either`] may be on; it need not know.
    pub fn set_swapped(&self, swapped: bool) {
        self.shared.swapped.store(swapped, Ordering::SeqCst);
    }

    /// Puts the latencies from now on under `name`.
    pub fn mark(&mut self, name: &str) {
        self.marks.push(name.to_owned());
        self.shared.mark.store(self.marks.len() - 1, Ordering::SeqCst);
    }

    /// Returns once every client of the releases that are on has finished `count` more requests.
    pub async fn requests(&self, count: u64) {
        let done = |client: &(Release, AtomicU64)| client.1.load(Ordering::SeqCst);
        let goals: Vec<u64> = self.shared.requests.iter().map(|client| done(client) + count).collect();
        loop {
            let progress = self.shared.progress.notified();
            let reached = self.shared.requests.iter().zip(&goals).all(|(client, goal)| {
                let on = self.shared.gates.get(&client.0).is_some_and(|gate| gate.open.get());
                !on || done(client) >= *goal
            });
            if reached {
                return;
            }
            progress.await;
        }
    }

    /// Returns how many statements have failed and how many answers were wrong so far.
    pub fn failures(&self) -> (usize, usize) {
        let failures = self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner);
        (failures.failed, failures.wrong_reads)
    }

    /// Returns what tells how many requests were made so far, and how many statements failed or answers were wrong.
    pub fn watch(&self) -> impl Fn() -> (u64, usize) + Send + Sync + use<> {
        let shared = Arc::clone(&self.shared);
        move || {
            let requests = shared.requests.iter().map(|(_, count)| count.load(Ordering::SeqCst)).sum();
            let failures = shared.failures.lock().unwrap_or_else(PoisonError::into_inner);
            (requests, failures.failed + failures.wrong_reads)
        }
    }

    /// Ends all clients after the request each is in, and returns what they did.
    pub async fn stop(self) -> TrafficReport {
        self.shared.stopped.set(true);
        let mut report = TrafficReport {
            statements: 0,
            failed_statements: 0,
            wrong_reads: 0,
            failures: Vec::new(),
            latencies: BTreeMap::new(),
            ledger: Ledger::default(),
        };
        for client in self.clients {
            match client.await {
                Ok(outcome) => {
                    report.statements += outcome.statements;
                    report.ledger.rows.extend(outcome.rows);
                    for (mark, latencies) in outcome.latencies.into_iter().enumerate() {
                        if latencies.count() == 0 {
                            continue;
                        }
                        let name = self.marks.get(mark).cloned().unwrap_or_default();
                        report.latencies.entry(name).or_default().merge(latencies);
                    }
                }
                Err(panic) => self.shared.fail(format!("a client ended early: {panic}"), false),
            }
        }
        for (id, row) in &self.shared.relay {
            report.ledger.rows.insert(*id, row.lock().await.clone());
        }
        let failures = std::mem::take(&mut *self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner));
        report.failed_statements = failures.failed;
        report.wrong_reads = failures.wrong_reads;
        report.failures = failures.texts;
        report
    }
}

/// Returns keys from everywhere in the table, in no order.
async fn sample_of_keys(connection: &mut PgConnection, subject: &Subject) -> Result<Vec<i64>, sqlx::Error> {
    let (table, key) = (subject.table.sql(), quote_ident(&subject.key));
    let sql = format!(
        "SELECT k FROM (SELECT {key}::bigint AS k, row_number() OVER () AS n, count(*) OVER () AS c FROM {table}) AS t
         WHERE n % greatest(c / {OWNED_ROWS}, 1) = 0 ORDER BY md5(k::text)"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_all(connection).await
}

/// Returns a number that grows from one traffic to the next.
async fn unique_start(connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let micros: i64 = sqlx::query_scalar(sql).persistent(false).fetch_one(connection).await?;
    Ok(u64::try_from(micros).unwrap_or_default())
}
