//! Makes the columns equal again, after a person has said which side wins.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::check::table_pages;
use crate::change::REPAIR_SETTING;
use crate::engine::fill::BatchSize;
use crate::engine::{Error, Work};
use crate::pg::{self, ErrorClass};
use crate::run::{CompareSpec, Side};

/// What one transaction should take.
const TARGET: Duration = Duration::from_millis(100);
/// Short, so that applications never wait long for rows that crossfade has locked while it waits itself.
const LIMITS: pg::Limits =
    pg::Limits { lock: Duration::from_millis(100), statement: Duration::from_secs(30), durable: true };
/// How many attempts one page gets.
const TRIES: u32 = 100;

/// Sets the losing side of every row that is empty or different; the value of the other side decides. Rows that do not
/// convert stay as they are. Only in these transactions does the sync trigger do nothing.
///
/// Returns the number of rows that were changed. Every transaction proves the lease. Takes row locks for the time
/// of a small transaction each; may be repeated, and dropped at any point.
///
/// # Errors
/// [`Error::Interrupted`] when `stop` was cancelled; [`Error::RowStaysLocked`] when a row stays locked; the lease's error;
/// the server's error, when a value does not convert for example.
pub async fn repair(work: &Work, spec: &CompareSpec, winner: Side) -> Result<i64, Error> {
    let mut connection = connect(work).await?;
    // All waits of a batch together end before the detector of a session of the application looks, so that it finds no
    // deadlock with crossfade.
    let waits_end = pg::waits_end(pg::deadlock_timeout(&mut connection).await?);
    let gone = || Error::TableGone { table: spec.table.clone() };
    let is_it = work.run.program.relation(spec.relation).ok_or_else(gone)?.is_it();
    let pages = table_pages(&mut connection, spec).await?;
    let mut size = BatchSize::new(TARGET);
    let (mut from, mut changed, mut tries) = (0_u32, 0_i64, 0);
    loop {
        if work.stop.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let end = from.saturating_add(size.pages(None));
        // The last one has no end, so that rows appended or moved meanwhile are seen too.
        let to = (end < pages).then_some(end);
        // Because the page is locked, or because it takes long: now it may, for it waits for nobody.
        let lock = (tries > 0 && end - from == 1).then(|| spec.lock(from, to));
        match batch(work, &mut connection, waits_end, lock, &format!("{} AND {is_it}", spec.repair(from, to, winner)))
            .await
        {
            Ok((rows, time)) => {
                size.took(end - from, rows, time);
                changed = changed.saturating_add(i64::try_from(rows).unwrap_or(i64::MAX));
                tries = 0;
                match to {
                    Some(to) => from = to,
                    None => return Ok(changed),
                }
            }
            Err(error) => {
                tries += 1;
                match error.class() {
                    ErrorClass::Contention if tries <= TRIES => {
                        size.contended(end - from);
                        tokio::time::sleep(pg::jitter(Duration::from_millis(75))).await;
                    }
                    ErrorClass::Connection if tries <= TRIES => connection = connect(work).await?,
                    ErrorClass::Contention => {
                        return Err(Error::RowStaysLocked { table: spec.table.clone(), page: from });
                    }
                    _ => return Err(error),
                }
            }
        }
    }
}

async fn connect(work: &Work) -> Result<PgConnection, Error> {
    work.connector.connect_patiently("repair", &work.stop, Some(&work.sink)).await?.ok_or(Error::Interrupted)
}

async fn batch(
    work: &Work,
    connection: &mut PgConnection,
    waits_end: Duration,
    lock: Option<String>,
    sql: &str,
) -> Result<(u64, Duration), Error> {
    pg::transaction(connection, LIMITS, async |tx| {
        pg::batch(tx, &format!("SET LOCAL enable_seqscan = off; SET LOCAL {REPAIR_SETTING} = 'on'")).await?;
        work.ledger.leases().fence(tx, work.lease).await?;
        pg::batch(tx, &format!("SET LOCAL statement_timeout = {}", waits_end.as_millis().max(1))).await?;
        if let Some(lock) = lock {
            let statement = LIMITS.statement.as_millis();
            let then = format!("{lock}; SET LOCAL statement_timeout = {statement}; SET LOCAL lock_timeout = 10");
            pg::batch(tx, &then).await?;
        }
        let start = Instant::now();
        let rows = pg::update(tx, sql).await?;
        Ok((rows, start.elapsed()))
    })
    .await
}
