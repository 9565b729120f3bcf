//! Makes the columns equal again, after a person has said which side wins.

use std::time::Duration;

use sqlx::PgConnection;

use super::check::table_pages;
use crate::engine::fill::BatchSize;
use crate::engine::{Error, Work};
use crate::ledger::NOT_OURS;
use crate::pg::{self, ErrorClass, Owner};
use crate::run::{CompareSpec, Relation, Side};

/// What one transaction should take.
const TARGET: Duration = Duration::from_millis(100);
/// Short, so that applications never wait long for rows that crossfade has locked while it waits itself.
const LIMITS: pg::Limits =
    pg::Limits { lock: Duration::from_millis(100), statement: Duration::from_secs(30), durable: true };
/// How many attempts one page gets.
const TRIES: u32 = 100;

/// Sets the losing side of every row that is empty or different; the value of the other side decides. Rows that do not
/// convert stay as they are. The sync trigger leaves a pair alone that agrees, and so does nothing.
///
/// Returns the number of rows that were changed. Every transaction proves the lease. Takes row locks for the time
/// of a small transaction each; may be repeated, and dropped at any point.
///
/// # Errors
/// [`Error::Interrupted`] when `stop` was cancelled; [`Error::RowStaysLocked`] when a row stays locked; the lease's error;
/// the server's error, when a value does not convert for example.
pub async fn repair(work: &Work, spec: &CompareSpec, winner: Side) -> Result<i64, Error> {
    let gone = || Error::TableGone { table: spec.table.clone() };
    let relation = work.run.program.relation(spec.relation).ok_or_else(gone)?;
    sweep(work, relation, spec, |from, to| spec.repair(from, to, winner)).await
}

/// Runs an UPDATE for all pages of a table, a range at a time, as [`repair`] does. Returns the number of rows that were changed.
///
/// # Errors
/// As [`repair`].
pub(super) async fn sweep(
    work: &Work,
    relation: &Relation,
    spec: &CompareSpec,
    update: impl Fn(u32, Option<u32>) -> String,
) -> Result<i64, Error> {
    let (mut connection, mut owner) = connect(work, relation).await?;
    // All waits of a batch together end before the detector of a session of the application looks, so that it finds no
    // deadlock with crossfade.
    let waits_end = pg::waits_end(pg::deadlock_timeout(&mut connection).await?);
    let is_it = relation.is_it();
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
        let statement = format!("{} AND {is_it}", update(from, to));
        match batch(work, (&mut connection, &owner), waits_end, lock, &statement).await {
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
                    ErrorClass::Connection if tries <= TRIES => (connection, owner) = connect(work, relation).await?,
                    ErrorClass::Contention => {
                        return Err(Error::RowStaysLocked { table: spec.table.clone(), page: from });
                    }
                    _ => return Err(error),
                }
            }
        }
    }
}

async fn connect(work: &Work, relation: &Relation) -> Result<(PgConnection, Owner), Error> {
    let connection = work.connector.connect_patiently("repair", &work.stop, Some(&work.sink)).await?;
    let mut connection = connection.ok_or(Error::Interrupted)?;
    let owner = Owner::enter(&mut connection, relation.oid).await;
    let owner = owner.map_err(|error| Error::or_gone(error, &relation.table))?;
    Ok((connection, owner))
}

/// One transaction, which is one message: rows are locked for as long as the server works and no longer. Returns how many rows
/// were changed, and how long that took.
async fn batch(
    work: &Work,
    (connection, owner): (&mut PgConnection, &Owner),
    waits_end: Duration,
    lock: Option<String>,
    sql: &str,
) -> Result<(u64, Duration), Error> {
    let lock = lock.map_or_else(String::new, |lock| {
        let statement = LIMITS.statement.as_millis();
        format!("{}; SET LOCAL statement_timeout = {statement}; SET LOCAL lock_timeout = 10; ", owner.ask(&lock))
    });
    let script = format!(
        "SET LOCAL enable_seqscan = off; {}; SET LOCAL statement_timeout = {}; {lock}{CLOCK}; {}; {}; {CLOCK}; COMMIT",
        work.ledger.leases().fence_guard(work.lease),
        waits_end.as_millis().max(1),
        owner.run(sql),
        owner.settle(LIMITS).join("; "),
        CLOCK = pg::CLOCK,
    );
    let said = pg::begin_script(connection, LIMITS, &script).await;
    if let Some(error) = said.error {
        pg::rollback(connection).await;
        // Behind the fence, it is the table owner's code that raises it.
        if said.texts.is_empty() && pg::sqlstate(&error).as_deref() == Some(NOT_OURS) {
            return Err(work.ledger.leases().lost(connection, work.lease).await.into());
        }
        return Err(error.into());
    }
    let [.., begun, rows, ended] = said.texts.as_slice() else { return Err(pg::no_answer().into()) };
    Ok((rows.parse().unwrap_or(0), pg::time_between(begun, ended)))
}
