//! Compares every row, window by window, over several connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::{PgConnection, Row as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::identify;
use crate::engine::Error;
use crate::event::{Event, EventSink};
use crate::ledger::Ledger;
use crate::pg::{self, Connector, ErrorClass, Owner};
use crate::run::{CompareSpec, Counts, Identity, MismatchKey, Outcome, Phase, Program, Progress, Relation, Written};

/// Keys of rows that are not equal are reported up to this number.
const MAX_KEYS: usize = 20;
/// Between two progress events.
const PROGRESS: Duration = Duration::from_millis(250);
/// A window takes a fraction of a second; this is for expressions that are out of the ordinary.
const LIMITS: pg::Limits =
    pg::Limits { lock: Duration::from_secs(5), statement: Duration::from_mins(10), durable: false };
/// How often a sign of life goes out on the connection that keeps the snapshot.
const KEEP: Duration = Duration::from_secs(10);
/// How often a check begins again when it has lost a connection, and with it the snapshot or the means to read it.
const SNAPSHOTS: u32 = 12;
/// A lock on the table that is held for longer than this many lock timeouts ends the check.
const TRIES: u32 = 12;

/// A range of pages; the last one has no end, so that rows appended meanwhile are included.
#[derive(Debug, Clone, Copy)]
struct Range {
    from: u32,
    to: Option<u32>,
}

/// What a window contained.
struct Checked {
    range: Range,
    counts: Counts,
    keys: Vec<MismatchKey>,
}

/// Compares every row of the table over `parallel` connections. All windows see one snapshot, so each row is looked at once,
/// wherever updates move it meanwhile; like any long query, this holds back the horizon of vacuum until the check ends.
/// Windows in which something may not be equal are examined by a second statement, and only what that one finds is
/// reported.
///
/// Returns the result and what it counts for. Takes ACCESS SHARE, window by window. May be dropped at any point. If a
/// connection is lost, the check begins again.
///
/// # Errors
/// [`Error::Interrupted`] when `stop` was cancelled; [`Error::Rewritten`] when the table was rewritten meanwhile;
/// [`Error::TableGone`] when another table has its name; the server's error.
#[expect(clippy::too_many_arguments, reason = "a check needs no lease, and so no run")]
pub async fn check(
    connector: &Connector,
    ledger: &Ledger,
    program: &Program,
    spec: &CompareSpec,
    sink: &EventSink,
    stop: &CancellationToken,
    phase: Phase,
    parallel: usize,
) -> Result<(Outcome, Identity), Error> {
    let mut attempt = 0;
    loop {
        let all = AllRows { connector, ledger, program, spec, sink, stop, phase, parallel };
        match all.check().await {
            Err(error) if (is_snapshot_lost(&error) || is_another_tree(program, &error)) && attempt < SNAPSHOTS => {
                tracing::debug!(%error, "the check begins again");
                attempt += 1;
            }
            other => return other,
        }
    }
}

/// Returns whether a partition came or went, or got another file, while a partitioned table was compared.
fn is_another_tree(program: &Program, error: &Error) -> bool {
    matches!(error, Error::Rewritten { .. }) && program.relations.iter().any(|relation| relation.partitioned)
}

/// What is compared with one snapshot.
struct AllRows<'a> {
    connector: &'a Connector,
    ledger: &'a Ledger,
    program: &'a Program,
    spec: &'a CompareSpec,
    sink: &'a EventSink,
    stop: &'a CancellationToken,
    phase: Phase,
    parallel: usize,
}

impl AllRows<'_> {
    async fn check(&self) -> Result<(Outcome, Identity), Error> {
        let &Self { connector, ledger, program, spec, sink, stop, phase, parallel } = self;
        let start = Instant::now();
        let gone = || Error::TableGone { table: spec.table.clone() };
        let relation = program.relation(spec.relation).ok_or_else(gone)?;
        let connections = (0..parallel.max(1)).map(|_| connect(connector, stop, relation));
        let mut connections = futures_util::future::try_join_all(connections).await?;
        // It shows the functions through which the sessions work as the owner: they are there by now.
        let snapshot = Snapshot::export(connector, stop).await?;
        let (first, _) = connections.first_mut().ok_or(Error::Interrupted)?;
        let (tag, partitioned) = (&program.tag, relation.partitioned);
        let identity = identify(ledger, first, relation, tag).await?;
        if identity.relfilenode == 0 {
            return Err(gone());
        }
        let pages = table_pages(first, spec).await?;
        let plan = Arc::new(Windows::of(pages, parallel.max(1)));
        let (results, mut checked) = mpsc::unbounded_channel();
        let mut workers = JoinSet::new();
        for connection in connections {
            let (stop, results) = (stop.clone(), results.clone());
            let (spec, plan, snapshot) = (spec.clone(), Arc::clone(&plan), snapshot.id.clone());
            let work = async move {
                let view = View { spec: &spec, snapshot: &snapshot, partitioned };
                worker(connection, &stop, view, &plan, &results).await
            };
            workers.spawn(work.in_current_span());
        }
        drop(results);
        let mut tally = Tally::new(phase, pages);
        while let Some(window) = checked.recv().await {
            tally.add(window, sink);
        }
        let mut connections = Vec::new();
        while let Some(ended) = workers.join_next().await {
            connections.push(ended.map_err(|_| Error::Interrupted)??);
        }
        let (last, _) = connections.last_mut().ok_or(Error::Interrupted)?;
        let after = identify(ledger, last, relation, tag).await?;
        for (connection, _) in connections {
            connector.keep(connection);
        }
        if after.relfilenode != identity.relfilenode {
            return Err(Error::Rewritten { table: spec.table.clone() });
        }
        Ok((tally.outcome(start.elapsed()), identity))
    }
}

/// A snapshot that other sessions can use, and the session that keeps it.
struct Snapshot {
    id: String,
    /// Keeps the session alive; ends it when dropped.
    _keeper: JoinSet<()>,
}

impl Snapshot {
    async fn export(connector: &Connector, stop: &CancellationToken) -> Result<Self, Error> {
        let connection = connector.connect_patiently("verify", stop, None).await?;
        let mut connection = connection.ok_or(Error::Interrupted)?;
        // A process that is frozen does not hold the horizon of vacuum for ever.
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; \
             SET LOCAL idle_in_transaction_session_timeout = {}",
            (KEEP * 6).as_millis()
        );
        pg::batch(&mut connection, &begin).await?;
        let id = pg::query_scalar("SELECT pg_catalog.pg_export_snapshot()").fetch_one(&mut connection).await?;
        let mut keeper = JoinSet::new();
        keeper.spawn(async move {
            loop {
                tokio::time::sleep(KEEP).await;
                if pg::batch(&mut connection, "SELECT").await.is_err() {
                    return;
                }
            }
        });
        Ok(Self { id, _keeper: keeper })
    }
}

/// Returns whether a connection was lost, or the one that kept the snapshot: then there is no such snapshot any more, for which
/// PostgreSQL 17 has another SQLSTATE.
fn is_snapshot_lost(error: &Error) -> bool {
    let gone = |error| pg::sqlstate(error).is_some_and(|code| ["22023", "42704"].contains(&code.as_str()));
    error.class() == ErrorClass::Connection || error.database().is_some_and(gone)
}

/// What the windows look at.
#[derive(Clone, Copy)]
struct View<'a> {
    spec: &'a CompareSpec,
    snapshot: &'a str,
    partitioned: bool,
}

/// Returns the pages of the table; of a partitioned one, those of its longest partition: a range of pages is then that range of each.
pub(super) async fn table_pages(connection: &mut PgConnection, spec: &CompareSpec) -> Result<u32, sqlx::Error> {
    let select = "WITH RECURSIVE member AS (SELECT pg_catalog.to_regclass($1)::oid AS oid UNION \
                    SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN member AS m ON m.oid = i.inhparent) \
                  SELECT pg_catalog.max(pg_catalog.pg_relation_size(c.oid)) / pg_catalog.current_setting('block_size')::bigint \
                  FROM pg_catalog.pg_class AS c JOIN member USING (oid) WHERE c.relkind = 'r'";
    let pages: Option<i64> = pg::query_scalar(select).bind(spec.table.sql()).fetch_one(connection).await?;
    Ok(u32::try_from(pages.unwrap_or(0)).unwrap_or(u32::MAX))
}

/// The table in windows, which are handed out one by one.
struct Windows {
    pages: u32,
    parallel: u32,
    next: AtomicU32,
}

impl Windows {
    const FEWEST_PAGES: u32 = 256;
    const MOST_PAGES: u32 = 8192;

    fn of(pages: u32, parallel: usize) -> Self {
        // An empty table is a window too: it has no end.
        let pages = pages.clamp(1, u32::MAX - Self::MOST_PAGES);
        Self { pages, parallel: u32::try_from(parallel).unwrap_or(u32::MAX), next: AtomicU32::new(0) }
    }

    /// Returns the end of the window that begins at `from`. Large at first, so that there are few statements; small at
    /// last, so that all connections end at about the same time.
    fn end(&self, from: u32) -> u32 {
        let share = (self.pages - from) / self.parallel.saturating_mul(2).max(1);
        from + share.clamp(Self::FEWEST_PAGES, Self::MOST_PAGES)
    }

    fn take(&self) -> Option<Range> {
        let next = |from| (from < self.pages).then(|| self.end(from));
        let from = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        let to = self.end(from);
        Some(Range { from, to: (to < self.pages).then_some(to) })
    }
}

/// Connects, to work as the owner of the table.
async fn connect(
    connector: &Connector,
    stop: &CancellationToken,
    on: &Relation,
) -> Result<(PgConnection, Owner), Error> {
    let connection = connector.connect_patiently("verify", stop, None).await?;
    let mut connection = connection.ok_or(Error::Interrupted)?;
    let owner = Owner::enter(&mut connection, on.oid).await.map_err(|error| Error::or_gone(error, &on.table))?;
    Ok((connection, owner))
}

/// Checks windows until there are none left, and returns the connection.
async fn worker(
    (mut connection, owner): (PgConnection, Owner),
    stop: &CancellationToken,
    view: View<'_>,
    windows: &Windows,
    results: &mpsc::UnboundedSender<Checked>,
) -> Result<(PgConnection, Owner), Error> {
    while let Some(range) = windows.take() {
        let mut tries = 0;
        let (counts, keys) = loop {
            if stop.is_cancelled() {
                return Err(Error::Interrupted);
            }
            match look(&mut connection, &owner, view, range).await {
                Ok(found) => break found,
                Err(error) => {
                    tries += 1;
                    match pg::class_of(&error) {
                        ErrorClass::Contention if tries < TRIES => {}
                        _ => return Err(error.into()),
                    }
                }
            }
        };
        if results.send(Checked { range, counts, keys }).is_err() {
            break;
        }
    }
    Ok((connection, owner))
}

/// Checks one window. A suspect, or a value that does not convert, needs the second statement.
async fn look(
    connection: &mut PgConnection,
    owner: &Owner,
    view: View<'_>,
    range: Range,
) -> Result<(Counts, Vec<MismatchKey>), sqlx::Error> {
    let Range { from, to } = range;
    let spec = view.spec;
    match first_look(connection, owner, view, range).await {
        Ok((rows, 0)) => return Ok((Counts { rows, equal: rows, ..Counts::default() }, vec![])),
        Ok(_) => {}
        Err(error) if pg::class_of(&error) == ErrorClass::Other => {
            tracing::debug!(%error, from, "a value does not convert");
        }
        Err(error) => return Err(error),
    }
    let counted: Vec<Counts> = ask(connection, owner, view, &spec.count(from, to)).await?;
    let counts = counted.into_iter().next().ok_or(sqlx::Error::RowNotFound)?;
    let keys = if counts.mismatches() > 0 {
        let rows: Vec<Unequal> = ask(connection, owner, view, &spec.keys(from, to, MAX_KEYS)).await?;
        rows.into_iter().map(mismatch_key).collect::<Result<_, _>>()?
    } else {
        vec![]
    };
    Ok((counts, keys))
}

/// Returns how many rows a window has, and how many of them may not be equal.
async fn first_look(
    connection: &mut PgConnection,
    owner: &Owner,
    view: View<'_>,
    range: Range,
) -> Result<(i64, i64), sqlx::Error> {
    let Range { from, to } = range;
    let spec = view.spec;
    let meter = spec.meter();
    let suspects =
        owner.ask(&format!("SELECT count::pg_catalog.text FROM ({}) AS asked", spec.only_suspects(from, to)));
    // The server counts for each partition.
    let said = if view.partitioned {
        vec![]
    } else {
        fetch(connection, view, &format!("{meter}; {suspects}; {meter}")).await?
    };
    if let [before, suspects, after] = said.as_slice() {
        let (before, after): (i64, i64) = (before.try_get("count")?, after.try_get("count")?);
        let suspects: String = suspects.try_get(0)?;
        if after > before {
            return Ok((after - before, suspects.parse().unwrap_or(after - before)));
        }
    }
    // No rows, or the server keeps no count of those that a scan comes across.
    let said: Vec<Suspects> = ask(connection, owner, view, &spec.suspects(from, to)).await?;
    let Suspects { rows, suspects } = said.into_iter().next().ok_or(sqlx::Error::RowNotFound)?;
    Ok((rows, suspects))
}

#[derive(serde::Deserialize)]
struct Suspects {
    rows: i64,
    suspects: i64,
}

#[derive(serde::Deserialize)]
struct Unequal {
    key: String,
    class: i32,
    values: serde_json::Value,
    transaction: String,
}

fn mismatch_key(Unequal { key, class, values, transaction }: Unequal) -> Result<MismatchKey, sqlx::Error> {
    let class = match class {
        1 => "empty",
        2 => "different",
        _ => "unconverted",
    };
    let key = serde_json::from_str(&key).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(MismatchKey { key, class: class.to_owned(), values, written: Written { transaction, ..Written::default() } })
}

/// Asks as the owner, whose conversions these may be. Returns the rows.
async fn ask<T: serde::de::DeserializeOwned>(
    connection: &mut PgConnection,
    owner: &Owner,
    view: View<'_>,
    sql: &str,
) -> Result<Vec<T>, sqlx::Error> {
    let rows = format!("SELECT COALESCE(pg_catalog.json_agg(asked), '[]')::pg_catalog.text FROM ({sql}) AS asked");
    let said = fetch(connection, view, &owner.ask(&rows)).await?;
    let text: String = said.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
    serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Queries in a transaction of their own, as a TID range scan whatever the planner thinks of the table's size, and by this
/// process alone: the counting of rows knows of no other.
async fn fetch(
    connection: &mut PgConnection,
    view: View<'_>,
    sql: &str,
) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
    let more = format!(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT {}; \
         SET LOCAL enable_seqscan = off; SET LOCAL max_parallel_workers_per_gather = 0",
        crate::sql::quote_literal(view.snapshot)
    );
    pg::look(connection, LIMITS, &more, sql).await
}

/// Adds up the windows and reports progress.
struct Tally {
    phase: Phase,
    pages: u32,
    pages_done: u32,
    counts: Counts,
    keys: Vec<(u32, MismatchKey)>,
    start: Instant,
    progress_due: Instant,
}

impl Tally {
    fn new(phase: Phase, pages: u32) -> Self {
        let now = Instant::now();
        Self {
            phase,
            pages: pages.max(1),
            pages_done: 0,
            counts: Counts::default(),
            keys: vec![],
            start: now,
            progress_due: now,
        }
    }

    fn add(&mut self, checked: Checked, sink: &EventSink) {
        let Range { from, to } = checked.range;
        self.pages_done += to.unwrap_or(self.pages).saturating_sub(from);
        self.counts += checked.counts;
        self.keys.extend(checked.keys.into_iter().map(|key| (from, key)));
        self.keys.sort_by_key(|(page, _)| *page);
        self.keys.truncate(MAX_KEYS);
        let now = Instant::now();
        if now >= self.progress_due || self.pages_done == self.pages {
            self.progress_due = now + PROGRESS;
            sink(self.progress());
        }
    }

    fn progress(&self) -> Event {
        let share = f64::from(self.pages_done) / f64::from(self.pages);
        let seconds = self.start.elapsed().as_secs_f64().max(0.001);
        let rows_done = self.counts.rows;
        let done = i128::from(self.pages_done.max(1));
        let rows_total = i64::try_from(i128::from(rows_done) * i128::from(self.pages) / done).unwrap_or(i64::MAX);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rows_per_second = rows_done as f64 / seconds;
        let eta_seconds = (share > 0.0).then(|| seconds / share - seconds);
        let progress = Progress::new(rows_done, rows_total, rows_per_second, eta_seconds);
        Event::Progress { phase: self.phase, progress }
    }

    fn outcome(self, took: Duration) -> Outcome {
        let keys = self.keys.into_iter().map(|(_, key)| key).collect();
        Outcome { counts: self.counts, seconds: took.as_secs_f64(), keys }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_lie_side_by_side_and_the_last_has_no_end() {
        for pages in [0, 1, 255, 256, 257, 5_000, 1_000_000, u32::MAX] {
            for parallel in [1, 2, 3] {
                let windows = Windows::of(pages, parallel);
                let (mut next, mut last) = (0, false);
                while let Some(Range { from, to }) = windows.take() {
                    assert!(!last && from == next, "{pages} {parallel}: {from} after {next}");
                    (next, last) = (to.unwrap_or(from), to.is_none());
                }
                assert!(last, "{pages} {parallel}: something is left");
            }
        }
    }

    #[test]
    fn windows_become_smaller() {
        let windows = Windows::of(26_000, 2);
        let starts: Vec<u32> = std::iter::from_fn(|| windows.take()).map(|range| range.from).collect();
        assert_eq!(starts[..3], [0, 6500, 11_375]);
        assert_eq!(starts.len(), 16);
    }
}
