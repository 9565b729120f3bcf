//! Compares every row, window by window, over several connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::{PgConnection, Row};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Counts, Identity, MismatchKey, Outcome, Spec};
use crate::event::{Event, EventSink};
use crate::ledger::Ledger;
use crate::pg::{self, Connector, ErrorClass};
use crate::phase::Phase;
use crate::runner::Error;
use crate::step::Program;

/// Keys of rows that are not equal are reported up to this number.
const MAX_KEYS: usize = 20;
/// Between two progress events.
const PROGRESS: Duration = Duration::from_millis(250);
/// A window takes a fraction of a second; this is for expressions that are out of the ordinary.
const TIMEOUTS: pg::Timeouts = pg::Timeouts { lock: Duration::from_secs(5), statement: Duration::from_mins(10) };
/// A lock on the table that is held for longer than this many lock timeouts ends the check.
const TRIES: u32 = 12;

/// A range of pages; the last one has no end, so that rows appended meanwhile count.
#[derive(Debug, Clone, Copy)]
struct Range {
    from: u32,
    to: Option<u32>,
}

/// What a window held.
struct Checked {
    window: u32,
    counts: Counts,
    keys: Vec<MismatchKey>,
}

/// Compares every row of the table over `parallel` connections. Each window is one statement and so one snapshot; none
/// holds back the horizon of vacuum for long. Windows in which something may not be equal are looked at again by a
/// statement of their own, and only what that one finds is reported.
///
/// Returns the result and what it counts for. Takes ACCESS SHARE, window by window. May be dropped at any point.
///
/// # Errors
/// [`Error::Interrupted`] when `stop` was cancelled; [`Error::Blocked`] when the table was rewritten meanwhile; the
/// server's error.
#[expect(clippy::too_many_arguments, reason = "a check needs no lease, and so no run")]
pub async fn check(
    connector: &Connector,
    ledger: &Ledger,
    program: &Program,
    spec: &Spec,
    sink: &EventSink,
    stop: &CancellationToken,
    phase: Phase,
    parallel: usize,
) -> Result<(Outcome, Identity), Error> {
    let start = Instant::now();
    let connections = (0..parallel.max(1)).map(|_| connect(connector, stop));
    let mut connections = futures_util::future::try_join_all(connections).await?;
    let first = connections.first_mut().ok_or(Error::Interrupted)?;
    let tag = &program.tag;
    let identity = Identity::read(ledger, first, &spec.table, tag).await?;
    let plan = Arc::new(Windows::of(table_pages(first, spec).await?, parallel.max(1)));
    let (results, mut checked) = mpsc::unbounded_channel();
    let mut workers = JoinSet::new();
    for connection in connections {
        let (connector, stop, results) = (connector.clone(), stop.clone(), results.clone());
        let (spec, plan) = (spec.clone(), Arc::clone(&plan));
        workers.spawn(async move { worker(connection, &connector, &stop, &spec, &plan, &results).await });
    }
    drop(results);
    let mut tally = Tally::new(phase, plan.count);
    while let Some(window) = checked.recv().await {
        tally.add(window, sink);
    }
    let mut connection = None;
    while let Some(ended) = workers.join_next().await {
        connection = Some(ended.map_err(|_| Error::Interrupted)??);
    }
    let mut connection = connection.ok_or(Error::Interrupted)?;
    let after = Identity::read(ledger, &mut connection, &spec.table, tag).await?;
    if after.relfilenode != identity.relfilenode {
        let reason =
            format!("table {} was rewritten during the check, which so counts for nothing; check again", spec.table);
        return Err(Error::Blocked { reason });
    }
    Ok((tally.outcome(start.elapsed()), identity))
}

pub(super) async fn table_pages(connection: &mut PgConnection, spec: &Spec) -> Result<u32, sqlx::Error> {
    let select = "SELECT pg_catalog.pg_relation_size(pg_catalog.to_regclass($1)) / pg_catalog.current_setting('block_size')::bigint";
    let row = pg::query(select).bind(spec.table.sql()).fetch_one(connection).await?;
    let pages: Option<i64> = row.try_get(0)?;
    Ok(u32::try_from(pages.unwrap_or(0)).unwrap_or(u32::MAX))
}

/// The table in windows, handed out one by one.
struct Windows {
    pages_each: u32,
    count: u32,
    next: AtomicU32,
}

impl Windows {
    /// Small enough that all connections end at about the same time, large enough that statements cost nothing.
    fn of(pages: u32, parallel: usize) -> Self {
        let parallel = u32::try_from(parallel).unwrap_or(u32::MAX);
        let pages_each = (pages / parallel.saturating_mul(16).max(1)).clamp(256, 8192);
        Self { pages_each, count: pages.div_ceil(pages_each).max(1), next: AtomicU32::new(0) }
    }

    fn take(&self) -> Option<(u32, Range)> {
        let window = self.next.fetch_add(1, Ordering::Relaxed);
        (window < self.count).then(|| {
            let from = window * self.pages_each;
            (window, Range { from, to: (window + 1 < self.count).then(|| from + self.pages_each) })
        })
    }
}

async fn connect(connector: &Connector, stop: &CancellationToken) -> Result<PgConnection, Error> {
    connector.connect_patiently("verify", stop, None).await?.ok_or(Error::Interrupted)
}

/// Checks windows until there are none left, and returns the connection.
async fn worker(
    mut connection: PgConnection,
    connector: &Connector,
    stop: &CancellationToken,
    spec: &Spec,
    windows: &Windows,
    results: &mpsc::UnboundedSender<Checked>,
) -> Result<PgConnection, Error> {
    while let Some((window, range)) = windows.take() {
        let mut tries = 0;
        let (counts, keys) = loop {
            if stop.is_cancelled() {
                return Err(Error::Interrupted);
            }
            match look(&mut connection, spec, range).await {
                Ok(found) => break found,
                Err(error) => {
                    tries += 1;
                    match pg::class_of(&error) {
                        ErrorClass::Connection if tries < TRIES => connection = connect(connector, stop).await?,
                        ErrorClass::Contention if tries < TRIES => {}
                        _ => return Err(error.into()),
                    }
                }
            }
        };
        if results.send(Checked { window, counts, keys }).is_err() {
            break;
        }
    }
    Ok(connection)
}

/// Looks at one window. A suspicion, or a value that does not convert, makes a second look necessary.
async fn look(
    connection: &mut PgConnection,
    spec: &Spec,
    range: Range,
) -> Result<(Counts, Vec<MismatchKey>), sqlx::Error> {
    let Range { from, to } = range;
    match fetch(connection, &spec.suspects(from, to)).await {
        Ok(rows) => {
            let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
            let (rows, suspects): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            if suspects == 0 {
                return Ok((Counts { rows, equal: rows, ..Counts::default() }, vec![]));
            }
        }
        Err(error) if pg::class_of(&error) == ErrorClass::Other => {
            tracing::debug!(%error, from, "a value does not convert");
        }
        Err(error) => return Err(error),
    }
    let rows = fetch(connection, &spec.count(from, to)).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let counts = Counts {
        rows: row.try_get(0)?,
        equal: row.try_get(1)?,
        empty: row.try_get(2)?,
        different: row.try_get(3)?,
        unconverted: row.try_get(4)?,
        only_new: row.try_get(5)?,
    };
    let keys = if counts.mismatches() > 0 {
        let rows = fetch(connection, &spec.keys(from, to, MAX_KEYS)).await?;
        rows.iter().map(mismatch_key).collect::<Result<_, _>>()?
    } else {
        vec![]
    };
    Ok((counts, keys))
}

fn mismatch_key(row: &sqlx::postgres::PgRow) -> Result<MismatchKey, sqlx::Error> {
    let (key, class): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
    let class = match class {
        1 => "empty",
        2 => "different",
        _ => "unconverted",
    };
    let key = serde_json::from_str(&key).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(MismatchKey { key, class: class.to_owned() })
}

/// One query in a transaction of its own, as a TID range scan whatever the planner thinks of the table's size.
async fn fetch(connection: &mut PgConnection, sql: &str) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
    pg::look(connection, TIMEOUTS, "SET LOCAL enable_seqscan = off", sql).await
}

/// Adds up the windows and tells how far the check is.
struct Tally {
    phase: Phase,
    windows: u32,
    windows_done: u32,
    counts: Counts,
    keys: Vec<(u32, MismatchKey)>,
    start: Instant,
    progress_due: Instant,
}

impl Tally {
    fn new(phase: Phase, windows: u32) -> Self {
        let now = Instant::now();
        Self { phase, windows, windows_done: 0, counts: Counts::default(), keys: vec![], start: now, progress_due: now }
    }

    fn add(&mut self, checked: Checked, sink: &EventSink) {
        self.windows_done += 1;
        self.counts += checked.counts;
        self.keys.extend(checked.keys.into_iter().map(|key| (checked.window, key)));
        self.keys.sort_by_key(|(window, _)| *window);
        self.keys.truncate(MAX_KEYS);
        let now = Instant::now();
        if now >= self.progress_due || self.windows_done == self.windows {
            self.progress_due = now + PROGRESS;
            sink(self.progress());
        }
    }

    fn progress(&self) -> Event {
        let share = f64::from(self.windows_done) / f64::from(self.windows.max(1));
        let seconds = self.start.elapsed().as_secs_f64().max(0.001);
        let rows_done = self.counts.rows;
        let done = i128::from(self.windows_done.max(1));
        let rows_total = i64::try_from(i128::from(rows_done) * i128::from(self.windows) / done).unwrap_or(i64::MAX);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rows_per_second = rows_done as f64 / seconds;
        let eta_seconds = (share > 0.0).then(|| seconds / share - seconds);
        Event::Progress { phase: self.phase, rows_done, rows_total, rows_per_second, eta_seconds }
    }

    fn outcome(self, took: Duration) -> Outcome {
        let keys = self.keys.into_iter().map(|(_, key)| key).collect();
        Outcome { counts: self.counts, seconds: took.as_secs_f64(), keys }
    }
}
